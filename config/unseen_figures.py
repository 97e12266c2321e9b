"""The figures of a manifest on patients that no part of the model had seen, in the forms of all versions.

A manifest is written by others: what is missing, no number or not finite counts as not stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

from config.bundle_origin import demonstration_signs
from config.indication.conventions import Z_95
from config.indication.vocabulary import TreatmentArm
from config.messages.catalogue import CATALOGUE
from config.messages.message import message

OUT_OF_FOLD = "out_of_fold"
ARMS = tuple(arm.value for arm in (TreatmentArm.CCRT, TreatmentArm.ICT_CCRT))


@dataclass(frozen=True)
class UnseenFigures:
    """Figures of one group of patients; None: not stated.

    Attributes
    ----------
    title : str
        Key of the group in ``metrics``.
    c_index, slope : float or None
        Harrell's C-index of all patients, and the calibration slope.
    ci95 : pair of float or None
        Of the C-index; approximate where the manifest states none.
    has_interval : bool
        Whether the manifest states the interval, possibly an impossible one.
    events_by_arm : mapping of str to float
        Without the arms that are not stated.
    decides : bool
        False for a further group, which marks and does not refuse.
    n_cases : int or None
        Patients, or phantoms, of the group.
    slope_ci95 : pair of float or None
        Of the calibration slope.
    """

    title: str
    c_index: float | None
    ci95: tuple[float, float] | None
    has_interval: bool
    slope: float | None
    events_by_arm: Mapping[str, float]
    decides: bool
    n_cases: int | None = None
    slope_ci95: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        """The title for a sentence."""
        return group_words(self.title)

    @property
    def c_text(self) -> str:
        """The C-index with its interval."""
        if self.ci95 is None:
            return f"{self.c_index:.3f}"
        return message("model.value_and_interval", value=self.c_index, low=self.ci95[0], high=self.ci95[1])


def group_words(title: str) -> str:
    """Return the title of a group of patients or phantoms for a sentence."""
    return message(f"group.{title}") if f"group.{title}" in CATALOGUE else title.replace("_", " ")


def unseen_figures(content: Mapping[str, Any]) -> list[UnseenFigures]:
    """Return the figures of every group of unseen patients.

    Parameters
    ----------
    content : mapping
        A manifest.

    Returns
    -------
    list of UnseenFigures
        Those out of fold decide; without them, and for a model of phantoms alone, held-out phantoms do.
    """
    metrics = mapping_of(content.get("metrics"))
    unseen = [_performance(OUT_OF_FOLD, metrics[OUT_OF_FOLD], True)] if OUT_OF_FOLD in metrics else []
    # Of a model of phantoms alone: held-out phantoms are drawn from the population that it is for.
    phantoms_decide = not unseen and bool(demonstration_signs(content))
    for title, group in metrics.items():
        is_against_truth = "oracle_c_index" in mapping_of(group)
        if title in (OUT_OF_FOLD, "training", "learning_curve") or not isinstance(group, Mapping):
            continue  # "training" of earlier versions is of seen patients
        unseen.append(_performance(title, group, is_against_truth and phantoms_decide))
    return unseen


def _performance(title: str, group: Any, decides: bool) -> UnseenFigures:
    group = mapping_of(group)
    c_index = group.get("c_index")
    if "c_index" not in group:  # earlier versions: {"all": C, "ci95": {"all": [low, high]}}
        c_index = {"value": group.get("all"), "ci95": mapping_of(group.get("ci95")).get("all")}
    elif isinstance(c_index, Mapping):
        c_index = c_index.get("all", c_index)
    else:
        c_index = {"value": c_index}  # against the truth of phantoms
    c_index = mapping_of(c_index)
    value, interval = number_of(c_index.get("value")), c_index.get("ci95")
    stated = interval_of(interval)
    if interval is None:
        stated = _approximate_interval(value, number_of(group.get("n")), number_of(group.get("n_events")))
    arms = mapping_of(group.get("events_by_arm"))
    events = {arm: n for arm in ARMS if (n := number_of(arms.get(arm))) is not None}
    slope, n = mapping_of(group.get("calibration_slope")), number_of(group.get("n"))
    return UnseenFigures(
        title, value, stated, interval is not None, number_of(slope.get("value")), events, decides,
        None if n is None else int(n), interval_of(slope.get("ci95")),
    )  # fmt: skip


def _approximate_interval(c: float | None, n: float | None, n_events: float | None) -> tuple[float, float] | None:
    """Return the 95 % interval of a C-index whose manifest states none, from its numbers of patients and events.

    References
    ----------
    Hanley and McNeil, Radiology 1982;143:29, for an area under the curve with events as cases; censoring is ignored.
    """
    if c is None or not 0 < c < 1 or n is None or n_events is None or not 0 < n_events < n:
        return None
    cases, controls = n_events, n - n_events
    q1, q2 = c / (2 - c), 2 * c * c / (1 + c)
    variance = c * (1 - c) + (cases - 1) * (q1 - c * c) + (controls - 1) * (q2 - c * c)
    half = Z_95 * sqrt(max(variance, 0.0) / (cases * controls))
    return c - half, c + half


def interval_of(value: Any) -> tuple[float, float] | None:
    """Return a stated interval; None where it is none, has no width or is not finite."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = number_of(value[0]), number_of(value[1])
    return (low, high) if low is not None and high is not None and low < high else None


def number_of(value: Any) -> float | None:
    """Return a finite number; None for anything else, as a manifest is written by others."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def mapping_of(value: Any) -> Mapping[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}
