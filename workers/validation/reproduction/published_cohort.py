"""The paper's cohorts among the given rows, the names of the published columns, and the models of the paper.

The models are refitted on the given training rows, as the paper fitted them: that is what is compared here. No other
part of an evaluation fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from config.settings import BUNDLES
from workers.nomogram.fitting import TrainingData, fit_nomogram
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.survival.cohort import EBV, SCORES, TRAINING, Cohort, Outcome
from workers.survival.cox_models import CohortModel, FactorTest, examine_factor, fit_compared_models
from workers.validation.reproduction.printed import Value
from workers.validation.survival_comparison import total_points_received

# One computed value: its key, the value, and what other definitions give, by their description.
Computed = tuple[str, Value, Mapping[str, Value]]
Values = Iterator[Computed]

INTERNAL, EXTERNAL = "internal", "external"
LABELS = {
    TRAINING: TRAINING,
    INTERNAL: INTERNAL,
    "internal_test": INTERNAL,
    EXTERNAL: EXTERNAL,
    "external_test": EXTERNAL,
}
ARMS: Mapping[str, TreatmentArm | None] = {"all": None, "ccrt": TreatmentArm.CCRT, "ict": TreatmentArm.ICT_CCRT}
# published name -> (our column, units of ours in one of theirs)
COLUMNS = {
    "age": ("age_years", 100.0),
    "sex": ("sex_male", 1.0),
    "HGBcut": ("haemoglobin_abnormal", 1.0),
    "EBV_4k": (EBV, 1.0),
    "drinkingcut": ("drinking", 1.0),
    "His_cancercut": ("family_history", 1.0),
    "smokingcut": ("smoking", 1.0),
    "tumor_volume": ("tumour_volume_ml", 100.0),
    "WHOcut": ("who_type_iii", 1.0),
    "ALBcut": ("albumin_abnormal", 1.0),
    "CRPcut": ("crp_abnormal", 1.0),
    "LDHcut": ("ldh_abnormal", 1.0),
}
CATEGORIES = {
    "HGBcut": ("hgbN", "hgbA"), "His_cancercut": ("famN", "famY"), "smokingcut": ("smkN", "smkY"),
    "drinkingcut": ("drkN", "drkY"), "WHOcut": ("who12", "who3"), "ALBcut": ("albN", "albA"),
    "CRPcut": ("crpN", "crpA"), "LDHcut": ("ldhN", "ldhA"), "EBV_4k": ("ebvL", "ebvH"),
}  # fmt: skip


@dataclass(frozen=True)
class PublishedCohort:
    """The given patients by the paper's cohorts."""

    parts: Mapping[str, Cohort]

    @cached_property
    def nomogram(self) -> CoxNomogram:
        """The CPTDN refitted on the training rows; without them the published one, which was fitted on them."""
        training = self.parts.get(TRAINING)
        if training is None or not has(training, EBV, *SCORES, endpoint="dfs"):
            return load_nomogram(BUNDLES / "demonstration")
        training = known(training, EBV, *SCORES)
        outcome = training.outcome("dfs")
        data = TrainingData(training.covariates(), training.treated, outcome.durations_days, outcome.event_observed)
        return fit_nomogram(data, name="CPTDN", population=training.source).nomogram

    @cached_property
    def models(self) -> Mapping[str, CohortModel]:
        """The comparison models refitted on the training rows; empty where they are not given."""
        training = self.parts.get(TRAINING)
        if training is None or not has(training, endpoint="dfs"):
            return {}
        return fit_compared_models(training)[0]

    @cached_property
    def univariate(self) -> Mapping[str, FactorTest]:
        """Each clinical factor of the training rows alone and with the treatment, by the published names."""
        training = self.parts.get(TRAINING)
        if training is None or not has(training, endpoint="dfs"):
            return {}
        present = {name: column for name, (column, _) in COLUMNS.items() if column in training.values}
        return {name: examine_factor(training, present[name]) for name in present if name != "WHOcut"}

    def whole(self, *labels: str) -> Cohort | None:
        """Return the patients of several cohorts together; None where one of them is not given."""
        if any(label not in self.parts for label in labels):
            return None
        return _joined([self.parts[label] for label in labels])


def published_cohort(cohorts: Sequence[Cohort]) -> PublishedCohort:
    """Sort patients into the paper's cohorts by their label.

    Parameters
    ----------
    cohorts : sequence of Cohort
        One file or several; patients with another label are left out.

    Raises
    ------
    InputError
        No patient has a label of the paper, or one patient occurs twice under the same label.
    """
    found: dict[str, list[Cohort]] = {}
    for cohort in cohorts:
        for label in sorted(set(cohort.labels)):
            if label.lower() in LABELS:
                part, name = cohort.labelled(label), LABELS[label.lower()]
                found.setdefault(name, []).append(replace(part, labels=(name,) * len(part)))
    if not found:
        labels = sorted({label or "(empty)" for cohort in cohorts for label in cohort.labels})
        raise InputError(
            f"{', '.join(cohort.source for cohort in cohorts)}: expected patients labelled training, internal or "
            f"external in the column cohort, found {', '.join(labels)}"
        )
    for label, tables in found.items():
        _refuse_twice(label, tables)
    return PublishedCohort({label: _joined(found[label]) for label in (TRAINING, INTERNAL, EXTERNAL) if label in found})


def _joined(cohorts: Sequence[Cohort]) -> Cohort:
    """Return the patients of several tables as one cohort, with the columns that all of them have."""
    first, others = cohorts[0], cohorts[1:]
    if not others:
        return first
    return Cohort(
        source=", ".join(dict.fromkeys(cohort.source for cohort in cohorts)),
        patient_ids=tuple(patient for cohort in cohorts for patient in cohort.patient_ids),
        labels=tuple(label for cohort in cohorts for label in cohort.labels),
        treated=np.concatenate([cohort.treated for cohort in cohorts]),
        values={
            name: np.concatenate([cohort.values[name] for cohort in cohorts])
            for name in first.values
            if all(name in cohort.values for cohort in others)
        },
        outcomes={
            name: Outcome(
                np.concatenate([cohort.outcomes[name].durations_days for cohort in cohorts]),
                np.concatenate([cohort.outcomes[name].event_observed for cohort in cohorts]),
            )
            for name in first.outcomes
            if all(name in cohort.outcomes for cohort in others)
        },
    )


def _refuse_twice(label: str, cohorts: Sequence[Cohort]) -> None:
    # Centres number their patients on their own, so only patients of one label are compared.
    counts = Counter(patient for cohort in cohorts for patient in cohort.patient_ids)
    if twice := sorted(patient for patient, count in counts.items() if count > 1):
        files = ", ".join(cohort.source for cohort in cohorts)
        raise InputError(f"{files}: expected each patient labelled {label} once, found {twice[0]} twice")


def has(cohort: Cohort, *columns: str, endpoint: str | None = None) -> bool:
    """Return whether a cohort has these columns, and the endpoint with at least one event."""
    followed = endpoint is None or (
        endpoint in cohort.outcomes and bool(cohort.outcomes[endpoint].event_observed.any())
    )
    return followed and all(name in cohort.values for name in columns)


def known(cohort: Cohort, *columns: str) -> Cohort:
    """Return the patients for whom these columns are known."""
    complete: BoolArray = np.ones(len(cohort), dtype=np.bool_)
    for name in columns:
        complete &= ~np.isnan(cohort.column(name))
    return cohort.where(complete)


def points_received(nomogram: CoxNomogram, cohort: Cohort) -> FloatArray:
    """Return the total points of n patients under the treatment received."""
    return total_points_received(nomogram.score(cohort.covariates()), cohort.treated)


def in_arm(cohort: Cohort, arm: TreatmentArm | None) -> Cohort:
    """Return the patients of one arm, or of both."""
    return cohort if arm is None else cohort.arm(arm)
