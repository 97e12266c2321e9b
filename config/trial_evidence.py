"""Randomised evidence, from a table that a site can edit, beside the mean effect that a bundle predicts.

A model of observed patients may contradict the trials: confounding by indication is one reason, another case mix is
another. Neither is decided here; a disagreement is named, in the manifest, before activation and in every report.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.errors import SettingsError
from config.indication.conventions import Z_95
from config.indication.vocabulary import ConditionState
from config.messages.message import message

SHIPPED = Path(__file__).parent / "trial_evidence.toml"
# Key of the manifest: title -> {"mean", "ci95", "n", "horizon_months", "by_month": {month: {"mean", "ci95"}}},
# differences of DFS as fractions.
EFFECT = "effect"
TITLES = {"own": "its own cohort", "published_case_mix": "the published case mix"}
CACHED_TABLES = 8


class Trial(BaseModel):
    """One trial or analysis of the table; survival as a fraction at `horizon_months`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    doi: str = ""
    regimen: str = ""
    population: str = ""
    endpoint: str
    n: int | None = Field(None, gt=0)  # randomised, both arms
    horizon_months: int = Field(gt=0)
    survival_ict_ccrt: float | None = Field(None, gt=0, lt=1)
    survival_ccrt: float | None = Field(None, gt=0, lt=1)
    hazard_ratio: float | None = Field(None, gt=0)
    hazard_ratio_ci95: tuple[float, float] | None = None
    difference_range: tuple[float, float] | None = None  # where only a range is reported
    checked: str  # when and in what the figures were compared with the source; empty: they were not
    decides: bool  # whether a bundle is compared with it

    @model_validator(mode="after")
    def _decides_with_checked_figures(self) -> Trial:
        if self.decides and not self.checked:
            raise ValueError("a trial that decides needs `checked`: when the figures were compared with the source")
        if self.decides and self.difference_ci95 is None:
            raise ValueError("a trial that decides needs survival_ict_ccrt, survival_ccrt and n or hazard_ratio_ci95")
        return self

    @property
    def difference(self) -> float | None:
        """Gain of survival by induction chemotherapy, a fraction; None where the table has no survival by arm."""
        if self.survival_ict_ccrt is None or self.survival_ccrt is None:
            return None
        return self.survival_ict_ccrt - self.survival_ccrt

    @property
    def difference_ci95(self) -> tuple[float, float] | None:
        """Interval of the gain: from that of the hazard ratio, else from the number of patients."""
        if self.difference is None or self.survival_ccrt is None or self.survival_ict_ccrt is None:
            return None
        if self.hazard_ratio_ci95 is not None:
            # Proportional hazards: S1 = S0 ** HR at every time.
            low, high = (self.survival_ccrt**ratio - self.survival_ccrt for ratio in reversed(self.hazard_ratio_ci95))
            return low, high
        if self.n is None:
            return None
        # Binomial with two equal arms; censoring before the horizon makes the true interval somewhat wider.
        variance = sum(s * (1 - s) for s in (self.survival_ict_ccrt, self.survival_ccrt)) / (self.n / 2)
        half = Z_95 * sqrt(variance)
        return self.difference - half, self.difference + half

    def contains(self, difference: float) -> bool:
        """Return whether a gain of survival lies within the interval of the trial."""
        interval = self.difference_ci95
        return interval is not None and interval[0] <= difference <= interval[1]


@dataclass(frozen=True)
class TrialEvidence:
    """The table: when it was last updated, and its trials."""

    updated: str
    trials: tuple[Trial, ...]

    @property
    def deciding(self) -> tuple[Trial, ...]:
        """The trials that bundles are compared with."""
        return tuple(trial for trial in self.trials if trial.decides)


@dataclass(frozen=True)
class EvidenceVerdict:
    """Whether a bundle agrees with the trials, and the sentence about it."""

    state: ConditionState
    text: str


def trial_evidence(path: Path | None = None) -> TrialEvidence:
    """Read the table of a site, or the one that came with the program.

    Parameters
    ----------
    path : Path, optional
        ``[model] trial_evidence``.

    Raises
    ------
    SettingsError
        The file cannot be read, or a trial lacks a figure; the sentence names the place.
    """
    path = path or SHIPPED
    try:
        status = path.stat()
    except OSError as error:
        raise SettingsError(f"[model] trial_evidence: cannot read {path}: {error.strerror}") from error
    # Asked at every assessment: the time is part of the key, so that an edited table counts at once.
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(CACHED_TABLES)
def _read(path: Path, mtime_ns: int, size: int) -> TrialEvidence:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        trials = tuple(Trial.model_validate(entry) for entry in document["trial"])
        return TrialEvidence(str(document["updated"]), trials)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "trial"
        raise SettingsError(f"{path}: [{place}] {first['msg'].removeprefix('Value error, ')}") from error
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: expected `updated` and [[trial]] tables, found: {error}") from error


def compare_with_trials(content: Mapping[str, Any], evidence: TrialEvidence) -> EvidenceVerdict:
    """Compare the mean effect that a bundle predicts with the trials, each at the horizon of the trial.

    Parameters
    ----------
    content : mapping
        A manifest; its ``effect`` is read.
    evidence : TrialEvidence
        The site's table.

    Returns
    -------
    EvidenceVerdict
        ``met`` where every mean effect lies within the interval of a deciding trial, ``not_met`` where one does not,
        ``not_checked`` where the manifest or the table states none. An effect that the manifest does not state at the
        horizon of a trial is compared at that of the decision, and the text says so.
    """
    if not evidence.deciding:
        text = message("trial_evidence.no_deciding_trial")
        return EvidenceVerdict(ConditionState.NOT_CHECKED, text)
    compared = [(trial, list(_effects(content, trial.horizon_months))) for trial in evidence.deciding]
    if not any(effects for _, effects in compared):
        text = message("trial_evidence.no_effect")
        return EvidenceVerdict(ConditionState.NOT_CHECKED, text)
    agreeing = {effect.title for trial, effects in compared for effect in effects if trial.contains(effect.mean)}
    is_outside = any(effect.title not in agreeing for _, effects in compared for effect in effects)
    sentences = []
    for trial, effects in compared:
        low, high = trial.difference_ci95 or (None, None)  # a trial that decides has one
        stated = [effect.text(trial.horizon_months) for effect in effects]
        sentences.append(
            message(
                "trial_evidence.compared",
                low=_points(low),
                high=_points(high),
                month=trial.horizon_months,
                source=trial.source,
                difference=_points(trial.difference),
                stated=stated,
            )
        )
    text = message("trial_evidence.disagrees" if is_outside else "trial_evidence.agrees", compared=sentences)
    return EvidenceVerdict(ConditionState.NOT_MET if is_outside else ConditionState.MET, text)


@dataclass(frozen=True)
class _Effect:
    """A stated mean effect of a group of patients at a horizon, with its interval as text."""

    key: str
    title: str
    mean: float
    interval: str
    month: int | None

    def text(self, wanted_month: int) -> str:
        stated = {"mean": _points(self.mean), "interval": self.interval, "group": message(f"effect.{self.key}")}
        if self.month in (None, wanted_month):
            return message("trial_evidence.effect", **stated)
        return message("trial_evidence.effect_at_month", **stated, month=self.month)


def _effects(content: Mapping[str, Any], month: int) -> Iterator[_Effect]:
    """Yield each stated effect at a horizon, or at that of the decision where it is not stated there."""
    effect = content.get(EFFECT)
    for key, title in TITLES.items():
        stated = effect.get(key) if isinstance(effect, Mapping) else None
        if not isinstance(stated, Mapping):
            continue
        by_month = stated.get("by_month")
        there = by_month.get(str(month)) if isinstance(by_month, Mapping) else None
        figures = there if isinstance(there, Mapping) else stated
        mean = figures.get("mean")
        if not isinstance(mean, int | float) or isinstance(mean, bool) or not isfinite(mean):
            continue
        interval = figures.get("ci95")
        is_pair = isinstance(interval, list | tuple) and len(interval) == 2
        shown = (
            message("trial_evidence.interval", low=_points(interval[0]), high=_points(interval[1]))
            if is_pair and interval
            else ""
        )
        yield _Effect(key, title, float(mean), shown, month if figures is there else stated.get("horizon_months"))


def _points(fraction: float | None) -> str:
    return message("part.unknown") if fraction is None else f"{100 * fraction:+.1f}"
