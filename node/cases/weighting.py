"""The weighting that acquisition physics supports: T1, T2, STIR, another one, or none.

It follows from the formation of the signal. Spin echo: short TR and TE give T1, long TR and TE give T2. Spoiled
gradient echo: a flip angle above the Ernst angle of tissue (arccos exp(-TR/T1)) with a short TE gives T1. After an
inversion, TI separates STIR (nulls fat) from T1 contrast and from FLAIR (nulls water).

Source of the thresholds: SeriesRules; of the relations: Bernstein, King, Zhou, Handbook of MRI Pulse Sequences, 2004.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from config.messages.message import message
from config.settings import SeriesRules
from node.cases.physics import Physics

Kind = Literal["T1", "T2", "STIR", "other", "none"]

TISSUE_T1_MS = 900.0  # white matter and muscle at 1.5-3 T; the Ernst angle depends only weakly on it
# Strength of a weighting. WEAK is below the least confidence of a role (0.7 by default), so a name must agree; with
# PARTIAL a name that agrees is just enough.
STRONG, FAIR, WEAK, PARTIAL = 0.85, 0.74, 0.6, 0.45
SHORTEST_REPETITION_MS = 1.5  # shorter ones were written in seconds
SHORTEST_ECHO_MS = {"SE": 2.0, "GR": 0.3, "unknown": 0.3}


@dataclass(frozen=True)
class Weighting:
    """A weighting with its strength in [0, 1], and half a sentence that explains it."""

    kind: Kind
    strength: float
    because: str


def weighting_of(physics: Physics, rules: SeriesRules) -> Weighting:
    """Return the weighting that the acquisition alone supports.

    Parameters
    ----------
    physics : Physics
        The acquisition.
    rules : SeriesRules
        Thresholds of the site, ms.

    Returns
    -------
    Weighting
        Of kind "none" where the acquisition fits no weighting or states too little.
    """
    if physics.repetition_time_ms is None or physics.echo_time_ms is None:
        return _partial(physics, rules)
    # Some converters write seconds, which would make a long TR a very short one.
    if physics.repetition_time_ms < SHORTEST_REPETITION_MS or physics.echo_time_ms < SHORTEST_ECHO_MS[physics.family]:
        return Weighting("none", 0.0, message("weighting.no_milliseconds", times=_times(physics)))
    if physics.family == "GR":
        return _gradient_echo(physics, rules)
    if physics.inverted and physics.family == "SE":
        return _inversion_recovery(physics, rules)
    if physics.family == "SE":
        return _spin_echo(physics, rules)
    return _by_times_alone(physics, rules)


def _times(physics: Physics) -> str:
    parts: list[str] = [f"TR {physics.repetition_time_ms:.4g} ms"] if physics.repetition_time_ms is not None else []
    if physics.echo_time_ms is not None:
        parts.append(f"TE {physics.echo_time_ms:.3g} ms")
    if physics.inversion_time_ms is not None:
        parts.append(f"TI {physics.inversion_time_ms:.4g} ms")
    if physics.family == "GR" and physics.flip_angle_deg is not None:
        parts.append(message("weighting.flip_angle", angle=physics.flip_angle_deg))
    return message("weighting.times", times=parts)


def _spin_echo(physics: Physics, rules: SeriesRules) -> Weighting:
    repetition, echo = physics.repetition_time_ms or 0.0, physics.echo_time_ms or 0.0
    stated = message("weighting.spin_echo", times=_times(physics))
    # A long echo train, or a 3D sequence with variable flip angles, gives T2 contrast at a TR that would be too short
    # for a single echo.
    train = physics.echo_train_length >= rules.t2_min_echo_train or physics.three_d is True
    if echo > rules.max_echo_time_ms:
        return Weighting("other", 0.9, message("weighting.hydrography", stated=stated))
    if echo >= rules.t2_min_echo_time_ms:
        if repetition >= rules.t2_min_repetition_time_ms:
            if physics.maybe_epi:
                return Weighting("T2", WEAK, message("weighting.maybe_echo_planar", stated=stated))
            return Weighting("T2", STRONG, stated)
        if train and not (repetition <= rules.t1_max_repetition_time_ms and physics.echo_train_length < 20):
            return Weighting("T2", FAIR, message("weighting.echo_train", stated=stated))
        if repetition > rules.t1_max_repetition_time_ms:
            return Weighting("T2", PARTIAL, message("weighting.tr_near_limit", stated=stated))
        return Weighting("none", 0.0, message("weighting.short_tr_long_te", stated=stated))
    if repetition <= rules.t1_max_repetition_time_ms and echo <= rules.t1_max_echo_time_ms:
        # A spin echo with a TR below 100 ms hardly exists: the family is doubtful, and a name should agree.
        return Weighting("T1", STRONG if repetition >= 100 else FAIR, stated)
    if echo >= 0.8 * rules.t2_min_echo_time_ms and repetition >= rules.t2_min_repetition_time_ms:
        return Weighting("T2", PARTIAL, message("weighting.te_near_limit", stated=stated))
    if repetition <= 1.5 * rules.t1_max_repetition_time_ms and echo <= rules.t1_max_echo_time_ms:
        return Weighting("T1", PARTIAL, message("weighting.tr_near_limit", stated=stated))
    if repetition >= rules.t2_min_repetition_time_ms and echo <= rules.t1_max_echo_time_ms + 10:
        return Weighting("other", FAIR, message("weighting.proton_density", stated=stated))
    return Weighting("none", 0.0, message("weighting.between", stated=stated))


def _inversion_recovery(physics: Physics, rules: SeriesRules) -> Weighting:
    repetition, echo = physics.repetition_time_ms or 0.0, physics.echo_time_ms or 0.0
    inversion = physics.inversion_time_ms
    stated = message("weighting.inversion_recovery", times=_times(physics))
    if inversion is None:
        if echo >= rules.t2_min_echo_time_ms and repetition >= rules.t2_min_repetition_time_ms:
            return Weighting("none", 0.0, message("weighting.stir_or_flair", stated=stated))
        return Weighting("T1" if echo <= rules.t1_max_echo_time_ms else "none", PARTIAL, stated)
    # TI = T1 ln 2 nulls fat: about 150 ms at 1.5 T, 200 ms and more at 3 T.
    if inversion <= rules.stir_max_inversion_time_ms and repetition > rules.t1_max_repetition_time_ms:
        return Weighting("STIR", STRONG, message("weighting.nulls_fat", stated=stated))
    if echo > rules.t1_max_echo_time_ms + 10:
        if inversion >= rules.flair_min_inversion_time_ms:
            return Weighting("other", 0.9, message("weighting.nulls_water", stated=stated))
        return Weighting("none", 0.0, message("weighting.fits_none", stated=stated))
    # TI is a part of TR; near the whole of it the time is misread or the sequence another one.
    if inversion <= rules.t1_max_inversion_time_ms and inversion < 0.7 * repetition:
        fits = 2 * inversion <= repetition
        return Weighting("T1", FAIR if fits else PARTIAL, message("weighting.t1_inversion_recovery", stated=stated))
    return Weighting("none", 0.0, message("weighting.long_inversion", stated=stated))


def _gradient_echo(physics: Physics, rules: SeriesRules) -> Weighting:
    repetition, echo = physics.repetition_time_ms or 0.0, physics.echo_time_ms or 0.0
    stated = message("weighting.gradient_echo", times=_times(physics))
    if echo > rules.gr_t1_max_echo_time_ms:
        if echo <= 1.5 * rules.gr_t1_max_echo_time_ms and _above_ernst(physics, 1.2) and repetition < 100:
            return Weighting("T1", WEAK, message("weighting.te_long", stated=stated))
        return Weighting("other", FAIR, message("weighting.t2_star", stated=stated))
    inverted = physics.inversion_time_ms is not None and physics.inversion_time_ms >= 300
    # MPRAGE and its relatives: the preparation gives the T1 contrast, so TR between the echoes and flip angle say
    # little.
    if (physics.prepared or inverted) and physics.three_d is not False:
        return Weighting("T1", STRONG, message("weighting.prepared", stated=stated))
    if repetition > rules.gr_t1_max_repetition_time_ms:
        return Weighting("none", 0.0, message("weighting.tr_too_long", stated=stated))
    if physics.flip_angle_deg is None:
        return Weighting("T1", PARTIAL, message("weighting.no_flip_angle", stated=stated))
    # Below the Ernst angle the signal depends on proton density more than on T1.
    if not _above_ernst(physics, 1.0):
        return Weighting("none", 0.0, message("weighting.below_ernst", stated=stated))
    clear = _above_ernst(physics, 1.2) and physics.spoiled is not False and physics.three_d is not False
    if "FC" in physics.sequence_words.upper().split():
        clear = False
    return Weighting("T1", STRONG if clear else WEAK, message("weighting.above_ernst", stated=stated))


def _above_ernst(physics: Physics, factor: float) -> bool:
    if physics.flip_angle_deg is None or physics.repetition_time_ms is None:
        return False
    ernst = math.degrees(math.acos(math.exp(-physics.repetition_time_ms / TISSUE_T1_MS)))
    return physics.flip_angle_deg >= factor * ernst


def _by_times_alone(physics: Physics, rules: SeriesRules) -> Weighting:
    """Return a weighting that supports a name but is not enough alone.

    Diffusion, FLAIR and field-map series have such TR and TE as well, and the sequence family is not stated.
    """
    repetition, echo = physics.repetition_time_ms or 0.0, physics.echo_time_ms or 0.0
    stated = message("weighting.no_type", times=_times(physics))
    if physics.inverted and physics.inversion_time_ms is not None and physics.inversion_time_ms > 50:
        return _inversion_recovery(physics, rules) if echo > 12 else Weighting("T1", PARTIAL, stated)
    if echo > rules.max_echo_time_ms and physics.three_d is not True:
        return Weighting("other", FAIR, message("weighting.hydrography", stated=stated))
    if echo >= rules.t2_min_echo_time_ms and repetition >= rules.t2_min_repetition_time_ms:
        flair_like = repetition >= rules.flair_min_repetition_time_ms and echo >= 100 and physics.echo_train_length < 2
        return Weighting("T2", PARTIAL if flair_like else WEAK, stated)
    if 150 <= repetition <= rules.t1_max_repetition_time_ms and echo <= rules.t1_max_echo_time_ms:
        return Weighting("T1", WEAK, stated)
    if repetition < 60 and echo <= rules.gr_t1_max_echo_time_ms:
        clear = _above_ernst(physics, 1.2) and physics.three_d is True
        return Weighting("T1", WEAK if clear else PARTIAL, message("weighting.gradient_echo_times", stated=stated))
    return Weighting("none", 0.0, message("weighting.between", stated=stated))


def _partial(physics: Physics, rules: SeriesRules) -> Weighting:
    """Return a weighting from TR or TE alone: enough to agree with a name, never to decide."""
    repetition, echo = physics.repetition_time_ms, physics.echo_time_ms
    if repetition is None and echo is None:
        return Weighting("none", 0.0, message("weighting.nothing_given"))
    missing = "te" if echo is None else "tr"
    stated = message(f"weighting.{missing}_not_given", times=_times(physics))
    if echo is not None:
        if echo > rules.max_echo_time_ms:
            return Weighting("none", 0.0, stated)
        if echo >= rules.t2_min_echo_time_ms:
            return Weighting("T2", PARTIAL, stated)
        return Weighting("T1" if echo <= rules.t1_max_echo_time_ms else "none", PARTIAL, stated)
    if repetition is not None and repetition >= rules.t2_min_repetition_time_ms:
        return Weighting("T1" if physics.family == "GR" and physics.prepared else "T2", PARTIAL, stated)
    return Weighting("T1", PARTIAL, stated)
