"""The door of every cohort command: a CSV in canonical columns becomes one checked value.

Columns: patient_id, treatment (CCRT | ICT+CCRT), age_years, sex (M | F), ebv_dna_gt_4000 (1, 0, empty = unknown),
prognostic_score, predictive_score, clinical factors (1, 0, empty = unknown), tumour_volume_ml, cohort (a label),
and `<endpoint>_days`, `<endpoint>_event` for dfs, os, dmfs, lrrfs. Behind this door nothing is checked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.vocabulary import TreatmentArm
from workers.survival.covariates import PatientCovariates
from workers.survival.csv_table import read_table

ENDPOINTS = tuple(endpoint.value for endpoint in NASOPHARYNX.endpoints)
SCORES = ("prognostic_score", "predictive_score")
EBV = "ebv_dna_gt_4000"
BINARY_FACTORS = (
    "smoking",
    "drinking",
    "family_history",
    "haemoglobin_abnormal",
    "albumin_abnormal",
    "crp_abnormal",
    "ldh_abnormal",
    "who_type_iii",
    EBV,
)
TRAINING = "training"
SHORTEST_FOLLOW_UP_DAYS = 360  # a year of 12 months of 30 days: nothing can be said of a cohort that ends before
_MISSING = ("", "NA", "NaN", "nan")


@dataclass(frozen=True)
class Outcome:
    """Follow-up for one endpoint: (n,) days since the start and whether the event was observed (else censored)."""

    durations_days: FloatArray
    event_observed: BoolArray


@dataclass(frozen=True)
class Cohort:
    """n patients in the order of the file.

    treated : (n,) True for ICT+CCRT.
    values : numeric columns, (n,) with NaN where unknown; `sex_male` stands for the column sex.
    outcomes : endpoint -> Outcome.
    texts : every column as it was written, for labels that only some commands know (centre, image folder).
    """

    source: str
    patient_ids: tuple[str, ...]
    labels: tuple[str, ...]
    treated: BoolArray
    values: Mapping[str, FloatArray]
    outcomes: Mapping[str, Outcome]
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.patient_ids)

    def where(self, keep: BoolArray) -> Cohort:
        """The patients for which `keep` (n,) is True."""
        at = np.flatnonzero(keep)
        return replace(
            self,
            patient_ids=tuple(self.patient_ids[i] for i in at),
            labels=tuple(self.labels[i] for i in at),
            treated=self.treated[at],
            values={name: values[at] for name, values in self.values.items()},
            outcomes={
                name: Outcome(outcome.durations_days[at], outcome.event_observed[at])
                for name, outcome in self.outcomes.items()
            },
            texts={name: tuple(column[i] for i in at) for name, column in self.texts.items()},
        )

    def labelled(self, label: str) -> Cohort:
        """The patients with one label in the column cohort. Raises InputError when there is none."""
        keep = np.array([found == label for found in self.labels])
        if not keep.any():
            found = ", ".join(sorted(set(self.labels)))
            raise InputError(f"{self.source}: no patient has the cohort {label!r}; found {found}")
        return self.where(keep)

    def arm(self, arm: TreatmentArm) -> Cohort:
        return self.where(self.treated == (arm is TreatmentArm.ICT_CCRT))

    def outcome(self, endpoint: str) -> Outcome:
        """Raises InputError when the file has no such endpoint."""
        if endpoint not in self.outcomes:
            have = ", ".join(self.outcomes) or "none"
            raise InputError(f"{self.source} lacks {endpoint}_days and {endpoint}_event; endpoints found: {have}")
        return self.outcomes[endpoint]

    def column(self, name: str) -> FloatArray:
        """A numeric column. Raises InputError when the file lacks it."""
        if name not in self.values:
            raise InputError(f"{self.source} lacks the numeric column {name}; found {', '.join(self.values)}")
        return self.values[name]

    def covariates(self) -> PatientCovariates:
        """What the nomogram reads; every patient's EBV DNA must be known (see `with_known_ebv_dna`)."""
        return PatientCovariates(*(self.column(name) for name in ("age_years", EBV, *SCORES)))

    def with_known_ebv_dna(self) -> Cohort:
        """Complete cases: unknown EBV DNA is informative (paper's external cohort), so nothing is imputed."""
        return self.where(~np.isnan(self.column(EBV)))


def read_cohort(
    path: Path,
    *,
    need_scores: bool = True,
    need_ebv_dna: bool = True,
    endpoints: Sequence[str] = ("dfs",),
) -> Cohort:
    """Read a cohort and check all that can be checked.

    need_scores, need_ebv_dna, endpoints : which optional columns the calling command cannot do without.
    Raises InputError with one sentence: missing column, duplicate patient, unknown treatment, a value that is not a
    number or out of range, negative time, an arm without patients.
    """
    header, rows = read_table(path, "cohort")
    needed = ["patient_id", "treatment", "age_years"]
    needed += list(SCORES) if need_scores else []
    needed += [EBV] if need_ebv_dna else []
    needed += [f"{endpoint}_{part}" for endpoint in endpoints for part in ("days", "event")]
    missing = [name for name in needed if name not in header]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}; found {', '.join(header)}")
    texts = {name: tuple(row[at].strip() for row in rows) for at, name in enumerate(header)}
    identities = texts["patient_id"]
    _refuse_duplicates(path, identities)
    reader = _ColumnReader(str(path), texts, identities)
    values = {"age_years": reader.numbers("age_years", (0, 130), unknown_allowed=False)}
    for name in SCORES:
        if name in texts:
            values[name] = reader.numbers(name, (-1, 1), unknown_allowed=not need_scores)
    if "tumour_volume_ml" in texts:
        values["tumour_volume_ml"] = reader.numbers("tumour_volume_ml", (0, 5000))
    values.update({name: reader.flags(name) for name in BINARY_FACTORS if name in texts})
    if "sex" in texts:
        values["sex_male"] = reader.choice("sex", {"M": 1.0, "F": 0.0})
    arms = {TreatmentArm.CCRT.value: 0.0, TreatmentArm.ICT_CCRT.value: 1.0}
    treated = reader.choice("treatment", arms, unknown_allowed=False) == 1
    for arm, present in ((TreatmentArm.ICT_CCRT, treated.any()), (TreatmentArm.CCRT, not treated.all())):
        if not present:
            raise InputError(f"{path}: both arms are needed, no patient has the treatment {arm.value}")
    known = {name for name in texts if name in values or name in ("patient_id", "cohort", "treatment", "sex")}
    for name in [name for name in texts if name not in known and not name.endswith(("_days", "_event"))]:
        numbers = reader.numbers_if_all_are(name)
        if numbers is not None:
            values[name] = numbers
    return Cohort(
        source=str(path),
        patient_ids=identities,
        labels=texts.get("cohort", ("",) * len(rows)),
        treated=treated,
        values=values,
        outcomes={
            name: reader.outcome(name) for name in ENDPOINTS if f"{name}_days" in texts and f"{name}_event" in texts
        },
        texts=texts,
    )


def require_follow_up(durations_days: FloatArray, horizons_months: Sequence[int], source: str) -> None:
    """Refuse a cohort that was not followed for as long as a model shall look ahead.

    Parameters
    ----------
    durations_days : array, shape (n,)
        Follow-up of the endpoint that the model predicts, in days; n > 0.
    horizons_months : sequence of int
        When survival is to be reported.
    source : str
        The cohort, for the error message.

    Raises
    ------
    InputError
        The longest follow-up is shorter than a horizon; the sentence names both.
    """
    longest, last = float(durations_days.max()), max(horizons_months)
    if longest < last * DAYS_PER_MONTH:
        raise InputError(
            f"{source}: the longest follow-up is {longest / DAYS_PER_MONTH:.1f} months and does not reach the horizon "
            f"of {last} months: name horizons within the follow-up with --horizons, or add patients followed for longer"
        )


def require_events(cohort: Cohort, endpoint: str) -> None:
    """Raises InputError where nobody had the event, or nobody in one arm: nothing can be fitted to that."""
    outcome = cohort.outcome(endpoint)
    for arm in TreatmentArm:
        events = int(outcome.event_observed[cohort.treated == (arm is TreatmentArm.ICT_CCRT)].sum())
        if events == 0:
            whose = "no patient" if not outcome.event_observed.any() else f"no patient with {arm.value}"
            raise InputError(f"{cohort.source}: {whose} had an event in {endpoint}_event; a Cox model needs events")


@dataclass(frozen=True)
class _ColumnReader:
    """Turns written cells into numbers; its errors name the file, the patient and the column."""

    source: str
    texts: Mapping[str, tuple[str, ...]]
    patient_ids: tuple[str, ...]

    def numbers(self, name: str, allowed: tuple[float, float], unknown_allowed: bool = True) -> FloatArray:
        low, high = allowed
        expected = f"a number from {low:g} to {high:g}"
        values = self._each(name, expected, float, unknown_allowed)
        bad = np.flatnonzero((values < low) | (values > high) | np.isinf(values))
        if bad.size:
            raise self._error(int(bad[0]), name, expected)
        return values

    def flags(self, name: str) -> FloatArray:
        return self.choice(name, {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0})

    def choice(self, name: str, meanings: Mapping[str, float], unknown_allowed: bool = True) -> FloatArray:
        expected = " or ".join(list(meanings)[:2])
        return self._each(name, expected, meanings.__getitem__, unknown_allowed)

    def outcome(self, endpoint: str) -> Outcome:
        days_column, event_column = f"{endpoint}_days", f"{endpoint}_event"
        days = self._each(days_column, "days of follow-up", float, unknown_allowed=False)
        bad = np.flatnonzero(~(days >= 0) | np.isinf(days))
        if bad.size:
            raise self._error(int(bad[0]), days_column, "days of follow-up, 0 or more")
        meanings = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}
        if len(days) and days.max() < SHORTEST_FOLLOW_UP_DAYS:
            raise InputError(
                f"{self.source}: {days_column} ends at {days.max():g}: expected days, at least one patient followed "
                f"for {SHORTEST_FOLLOW_UP_DAYS} or more; are these months?"
            )
        events = self._each(event_column, "1 (event) or 0 (censored)", meanings.__getitem__, unknown_allowed=False)
        return Outcome(days, events == 1)

    def numbers_if_all_are(self, name: str) -> FloatArray | None:
        try:
            return self._each(name, "a number", float, unknown_allowed=True)
        except InputError:
            return None

    def _each(self, name: str, expected: str, convert: Callable[[str], float], unknown_allowed: bool) -> FloatArray:
        values = np.full(len(self.patient_ids), np.nan)
        for at, text in enumerate(self.texts[name]):
            if text in _MISSING and unknown_allowed:
                continue
            try:
                values[at] = convert(text)
            except (ValueError, KeyError) as error:
                raise self._error(at, name, expected) from error
        return values

    def _error(self, at: int, name: str, expected: str) -> InputError:
        found = self.texts[name][at]
        return InputError(
            f"{self.source}: patient {self.patient_ids[at]}, column {name}: expected {expected}, found {found!r}"
        )


def _refuse_duplicates(path: Path, identities: Sequence[str]) -> None:
    twice = [identity for identity, count in Counter(identities).items() if count > 1]
    if twice:
        raise InputError(f"{path}: patient {twice[0]} stands there {identities.count(twice[0])} times, expected once")
    if "" in identities:
        raise InputError(f"{path}: row {identities.index('') + 1} has no patient_id")
