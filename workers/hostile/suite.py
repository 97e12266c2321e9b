"""The hostile suite: what a bundle stops of studies that must not be scored, and of studies that may."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from config.errors import IneligibleStudyError
from workers.bundles.bundle import Bundle
from workers.hostile.attacks import ATTACKS, STATED_WHATEVER_IT_IS
from workers.hostile.record import OTHER_SCANNERS_AT_MOST, STOPPED_AT_LEAST, UNTOUCHED_AT_MOST, Share
from workers.hostile.study_volumes import StudyVolumes, prepare_volumes
from workers.pipeline.computation import analyse_study
from workers.pipeline.report_values import implausible_reasons, out_of_distribution_intensities
from workers.plausibility.measures import study_measures

UNTOUCHED, UNTOUCHED_OTHER = "untouched", "untouched, other scanners"


def stopping_codes(study: StudyVolumes, bundle: Bundle, device: str = "cpu") -> list[str]:
    """Return the codes with which the service would refuse a study; empty for one that it scores.

    Parameters
    ----------
    study : StudyVolumes
        Three series and the contour.
    bundle : Bundle
        Limits, templates and networks.
    device : str
        As in the settings; the networks run only where nothing before them stops the study.

    Returns
    -------
    list of str
        Each code once.
    """
    try:
        prepared = prepare_volumes(study, bundle)
        stops, _ = implausible_reasons(study_measures(prepared), bundle)
        reasons = [*stops, *out_of_distribution_intensities(prepared)]
        if not reasons and any(not series.n_slices for series in prepared.values()):
            return ["contour_outside_image"]
        reasons = reasons or list(analyse_study(prepared, bundle, device).out_of_distribution)
    except IneligibleStudyError as error:
        return [error.code]
    return sorted({reason.code for reason in reasons})


def run_suite(
    bundle: Bundle,
    patients: Sequence[StudyVolumes],
    more_untouched: Iterable[StudyVolumes] = (),
    other_scanners: Iterable[StudyVolumes] = (),
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> list[Share]:
    """Apply every attack to every patient, and count what is stopped.

    Parameters
    ----------
    bundle : Bundle
        To be measured.
    patients : sequence of StudyVolumes, at least 2
        Validation patients; the next one gives the series of another patient.
    more_untouched : iterable of StudyVolumes
        Further patients that are only scored as they are.
    other_scanners : iterable of StudyVolumes
        Of scanners that the training did not contain.
    seed : int
        Of the draws.
    progress : callable
        Called after every study.

    Returns
    -------
    list of Share
        Untouched studies first.
    """
    shares = [_share(UNTOUCHED, [*_codes(patients, bundle, progress), *_codes(more_untouched, bundle, progress)])]
    others = _codes(other_scanners, bundle, progress)
    if others:
        shares.append(_share(UNTOUCHED_OTHER, others))
    for kind, attack in ATTACKS.items():
        codes = []
        for number, study in enumerate(patients):
            # A generator for each kind and patient: the draws of one kind do not depend on the others.
            rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
            codes.append(stopping_codes(attack(study, patients[(number + 1) % len(patients)], rng), bundle))
            progress()
        shares.append(_share(kind, codes))
    return shares


def n_studies(n_patients: int, n_more: int, n_other: int) -> int:
    """Return how often `run_suite` calls its progress."""
    return n_patients * (len(ATTACKS) + 1) + n_more + n_other


def _codes(studies: Iterable[StudyVolumes], bundle: Bundle, progress: Callable[[], None]) -> list[list[str]]:
    codes = []
    for study in studies:
        codes.append(stopping_codes(study, bundle))
        progress()
    return codes


def _share(kind: str, codes: Sequence[Sequence[str]]) -> Share:
    at_most = {UNTOUCHED: UNTOUCHED_AT_MOST, UNTOUCHED_OTHER: OTHER_SCANNERS_AT_MOST}.get(kind)
    stated_only = kind in STATED_WHATEVER_IT_IS or at_most is not None
    counts = Counter(code for one in codes for code in one)
    return Share(
        kind, len(codes), sum(bool(one) for one in codes), None if stated_only else STOPPED_AT_LEAST, at_most,
        dict(counts.most_common()),
    )  # fmt: skip
