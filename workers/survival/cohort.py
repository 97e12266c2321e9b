"""The cohort table: a CSV in canonical columns becomes one validated value.

Columns: patient_id, treatment (CCRT | ICT+CCRT), age_years, sex (M | F), ebv_dna_gt_4000 (1, 0, empty = unknown),
prognostic_score, predictive_score, clinical factors (1, 0, empty = unknown), tumour_volume_ml, cohort (a label),
and `<endpoint>_days`, `<endpoint>_event` for dfs, os, dmfs, lrrfs. `read_cohort` validates all of it; the functions
that take a `Cohort` do not check it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.vocabulary import TreatmentArm
from workers.survival.cohort_cells import CellProblem, ColumnReader, repeated_patients
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
# A year of 12 months of 30 days. No horizon can be reported below it, and such a maximum usually means that the column
# holds months.
SHORTEST_FOLLOW_UP_DAYS = 360


@dataclass(frozen=True)
class Outcome:
    """Follow-up of n patients for one endpoint.

    Attributes
    ----------
    durations_days : array, shape (n,)
        Days from the start of follow-up to the event or to censoring, >= 0.
    event_observed : bool array, shape (n,)
        True where the event was observed, False where the patient was censored.
    """

    durations_days: FloatArray
    event_observed: BoolArray

    def where(self, selected: BoolArray) -> Outcome:
        """Return the follow-up of the selected patients (bool array, shape (n,)), in the same order."""
        return Outcome(self.durations_days[selected], self.event_observed[selected])


@dataclass(frozen=True)
class Cohort:
    """Patients with their treatment, covariates and follow-up, in the order of the file.

    Attributes
    ----------
    source : str
        The file, for error messages.
    patient_ids, labels : tuple of str, length n
        Identity, and the label in the column ``cohort`` (empty where the file has no such column).
    treated : bool array, shape (n,)
        True for ICT+CCRT, False for CCRT.
    values : mapping of str to array, shape (n,)
        Numeric columns, NaN where unknown; the column ``sex`` becomes ``sex_male`` (1 or 0).
    outcomes : mapping of str to Outcome
        By endpoint: ``dfs``, ``os``, ``dmfs``, ``lrrfs``.
    texts : mapping of str to tuple of str
        Every column as written, for labels that only some commands read (centre, image folder).
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

    def where(self, selected: BoolArray) -> Cohort:
        """Return the selected patients.

        Parameters
        ----------
        selected : bool array, shape (n,)
            True for the patients to return.

        Returns
        -------
        Cohort
            In the same order, with all columns.
        """
        # Positions, because tuples cannot be indexed by a mask.
        at = np.flatnonzero(selected)
        return replace(
            self,
            patient_ids=tuple(self.patient_ids[i] for i in at),
            labels=tuple(self.labels[i] for i in at),
            treated=self.treated[at],
            values={name: values[at] for name, values in self.values.items()},
            outcomes={name: outcome.where(selected) for name, outcome in self.outcomes.items()},
            texts={name: tuple(column[i] for i in at) for name, column in self.texts.items()},
        )

    def patients_digest(self) -> str:
        """Return a digest of who the patients are, whatever their order: equal digests mean the same patients.

        Returns
        -------
        str
            SHA-256 of the sorted Patient IDs, 64 hexadecimal digits; it tells nothing about a single patient.
        """
        return hashlib.sha256("\n".join(sorted(self.patient_ids)).encode()).hexdigest()

    def labelled(self, label: str) -> Cohort:
        """Return the patients with one label in the column ``cohort``.

        Raises
        ------
        InputError
            No patient has this label.
        """
        selected = np.array([patient_label == label for patient_label in self.labels])
        if not selected.any():
            labels = ", ".join(sorted(set(self.labels)))
            raise InputError(f"{self.source}: no patient has the cohort {label!r}; found {labels}")
        return self.where(selected)

    def arm(self, arm: TreatmentArm) -> Cohort:
        """Return the patients who received one of the two treatments."""
        return self.where(self.treated == (arm is TreatmentArm.ICT_CCRT))

    def outcome(self, endpoint: str) -> Outcome:
        """Return the follow-up for an endpoint.

        Parameters
        ----------
        endpoint : str
            ``dfs``, ``os``, ``dmfs`` or ``lrrfs``.

        Raises
        ------
        InputError
            The file has no such columns.
        """
        if endpoint not in self.outcomes:
            have = ", ".join(self.outcomes) or "none"
            raise InputError(f"{self.source}: missing {endpoint}_days and {endpoint}_event; endpoints found: {have}")
        return self.outcomes[endpoint]

    def column(self, name: str) -> FloatArray:
        """Return a numeric column.

        Returns
        -------
        array, shape (n,)
            NaN where unknown.

        Raises
        ------
        InputError
            The file has no such numeric column.
        """
        if name not in self.values:
            raise InputError(f"{self.source}: missing the numeric column {name}; found {', '.join(self.values)}")
        return self.values[name]

    def covariates(self) -> PatientCovariates:
        """Return what the nomogram reads of each patient.

        Returns
        -------
        PatientCovariates
            Arrays of shape (n,). EBV DNA must be known for all (see `with_known_ebv_dna`): the nomogram refuses NaN.
        """
        return PatientCovariates(*(self.column(name) for name in ("age_years", EBV, *SCORES)))

    def with_known_ebv_dna(self) -> Cohort:
        """Return the patients whose EBV DNA is known.

        Unknown EBV DNA is informative (in the paper's external cohort 20 of 22 such patients received ICT+CCRT), so
        nothing is imputed.
        """
        return self.where(~np.isnan(self.column(EBV)))


def read_cohort(
    path: Path,
    *,
    need_scores: bool = True,
    need_ebv_dna: bool = True,
    endpoints: Sequence[str] = ("dfs",),
    without: Collection[str] = (),
) -> Cohort:
    """Read a cohort and validate every column that this program uses.

    Parameters
    ----------
    path : Path
        CSV with commas, one row per patient; UTF-8 or GB18030.
    need_scores : bool
        The columns prognostic_score and predictive_score are required and complete.
    need_ebv_dna : bool
        The column ebv_dna_gt_4000 is required; single values may still be unknown.
    endpoints : sequence of str
        Endpoints whose columns are required.
    without : collection of str
        Patients whose rows are left out and not validated; an empty one stands for rows without a patient.

    Returns
    -------
    Cohort
        All other rows, in the order of the file.

    Raises
    ------
    InputError
        A column is missing, a patient occurs twice, a treatment is unknown, a value is not a number or out of range, a
        duration is negative or looks like months, or an arm has no patient.
    """
    header, rows = read_table(path, "cohort")
    needed = _needed_columns(need_scores, need_ebv_dna, endpoints)
    missing = [name for name in needed if name not in header]
    if missing:
        raise InputError(f"{path}: missing the column {', '.join(missing)}; found {', '.join(header)}")
    rows = _without(header, rows, without)
    if not rows:
        raise InputError(f"{path}: expected patients that can be used, found none")
    texts = {name: tuple(row[at].strip() for row in rows) for at, name in enumerate(header)}
    for problem in repeated_patients(texts["patient_id"]):
        text = f"expected each patient once, found {problem.found}" if problem.patient_id else problem.found
        raise InputError(f"{path}: {text}")
    reader = ColumnReader(str(path), texts, texts["patient_id"])
    values, treated, outcomes = _columns(reader, need_scores)
    for arm, present in ((TreatmentArm.ICT_CCRT, treated.any()), (TreatmentArm.CCRT, not treated.all())):
        if not present:
            raise InputError(f"{path}: both arms are needed, no patient has the treatment {arm.value}")
    for name, outcome in outcomes.items():
        _refuse_months(str(path), name, outcome.durations_days)
    # Any other column that is numeric throughout becomes a covariate, so that a site can examine factors of its own.
    known = {name for name in texts if name in values or name in ("patient_id", "cohort", "treatment", "sex")}
    for name in [name for name in texts if name not in known and not name.endswith(("_days", "_event"))]:
        numbers = reader.numbers_if_all_are(name)
        if numbers is not None:
            values[name] = numbers
    return Cohort(
        source=str(path),
        patient_ids=texts["patient_id"],
        labels=texts.get("cohort", ("",) * len(rows)),
        treated=treated,
        values=values,
        outcomes=outcomes,
        texts=texts,
    )


def patient_ids_of(path: Path) -> list[str]:
    """Return the patients of a cohort table as written, in the order of its rows, each once.

    Raises
    ------
    InputError
        The table cannot be read, or has no column patient_id.
    """
    header, rows = read_table(path, "cohort")
    if "patient_id" not in header:
        raise InputError(f"{path}: missing the column patient_id; found {', '.join(header)}")
    identities = (row[header.index("patient_id")].strip() for row in rows)
    return [identity for identity in dict.fromkeys(identities) if identity]


def unusable_cells(path: Path, *, need_scores: bool = False, endpoints: Sequence[str] = ("dfs",)) -> list[CellProblem]:
    """Return every cell of a cohort table that `read_cohort` would refuse, not only the first.

    Parameters
    ----------
    path, need_scores, endpoints
        As of `read_cohort`.

    Returns
    -------
    list of CellProblem
        Of duplicates and missing identities, then column by column.

    Raises
    ------
    InputError
        The table cannot be read or a column is missing: there is no single row to blame.
    """
    header, rows = read_table(path, "cohort")
    missing = [name for name in _needed_columns(need_scores, True, endpoints) if name not in header]
    if missing:
        raise InputError(f"{path}: missing the column {', '.join(missing)}; found {', '.join(header)}")
    texts = {name: tuple(row[at].strip() for row in rows) for at, name in enumerate(header)}
    problems = repeated_patients(texts["patient_id"])
    _columns(
        ColumnReader(str(path), texts, texts["patient_id"], lambda problem, source: problems.append(problem)),
        need_scores,
    )
    return problems


def _needed_columns(need_scores: bool, need_ebv_dna: bool, endpoints: Sequence[str]) -> list[str]:
    needed = ["patient_id", "treatment", "age_years"]
    needed += list(SCORES) if need_scores else []
    needed += [EBV] if need_ebv_dna else []
    return needed + [f"{endpoint}_{part}" for endpoint in endpoints for part in ("days", "event")]


def _without(header: Sequence[str], rows: list[list[str]], left_out: Collection[str]) -> list[list[str]]:
    at = header.index("patient_id")
    return [row for row in rows if row[at].strip() not in left_out]


def _columns(reader: ColumnReader, need_scores: bool) -> tuple[dict[str, FloatArray], BoolArray, dict[str, Outcome]]:
    """Return numeric columns, treatment (True: ICT+CCRT) and follow-up by endpoint."""
    texts = reader.texts
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
    # The exact words only: with a code 0/1 a swapped coding would flip every recommendation unnoticed.
    treated = reader.choice("treatment", arms, unknown_allowed=False) == 1
    outcomes = {}
    for name in ENDPOINTS:
        if f"{name}_days" in texts and f"{name}_event" in texts:
            days, events = reader.follow_up(name)
            outcomes[name] = Outcome(days, events == 1)
    return values, treated, outcomes


def _refuse_months(source: str, endpoint: str, days: FloatArray) -> None:
    # Months in the column of days would give a plausible fit with all horizons far beyond the follow-up.
    if len(days) and days.max() < SHORTEST_FOLLOW_UP_DAYS:
        raise InputError(
            f"{source}: {endpoint}_days ends at {days.max():g}: expected days, at least one patient followed "
            f"for {SHORTEST_FOLLOW_UP_DAYS} or more; are these months?"
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
    """Check that a Cox model can be fitted: both arms have at least one event.

    Raises
    ------
    InputError
        No patient had the event, or none in one arm.
    """
    outcome = cohort.outcome(endpoint)
    for arm in TreatmentArm:
        events = int(outcome.event_observed[cohort.treated == (arm is TreatmentArm.ICT_CCRT)].sum())
        if events == 0:
            whose = "no patient" if not outcome.event_observed.any() else f"no patient with {arm.value}"
            raise InputError(f"{cohort.source}: {whose} had an event in {endpoint}_event; a Cox model needs events")
