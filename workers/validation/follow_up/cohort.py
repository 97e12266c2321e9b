"""Patients with a report, a regimen and follow-up, beside what the nomogram had predicted for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from config.arrays import BoolArray, FloatArray, Int64Array
from config.indication.vocabulary import TreatmentArm
from workers.nomogram.inputs import validated_inputs
from workers.nomogram.model import CoxNomogram
from workers.survival.cohort import Outcome
from workers.survival.covariates import PatientCovariates


@dataclass(frozen=True)
class FollowedCohort:
    """n patients under the treatment that they received.

    Attributes
    ----------
    nomogram : CoxNomogram
        That predicted them.
    covariates : PatientCovariates
        As in their reports.
    start_day : int array, shape (n,)
        First day of treatment, as a proleptic ordinal day.
    days : array, shape (n,)
        From the first day of treatment to the event or to the last contact, at most to the last step of the baseline.
    event : bool array, shape (n,)
        True where recurrence, metastasis or death was observed by then.
    treated, ict_recommended : bool array, shape (n,)
        True for ICT+CCRT.
    has_recommendation : bool array, shape (n,)
        False where the report found no reliable difference; `ict_recommended` says nothing there.
    """

    nomogram: CoxNomogram
    covariates: PatientCovariates
    start_day: Int64Array
    days: FloatArray
    event: BoolArray
    treated: BoolArray
    ict_recommended: BoolArray
    has_recommendation: BoolArray

    def __len__(self) -> int:
        return len(self.days)

    @property
    def outcome(self) -> Outcome:
        """Follow-up as the functions of this room take it.

        Returns
        -------
        Outcome
            Days and events of the n patients.
        """
        return Outcome(self.days, self.event)

    @property
    def effect(self) -> FloatArray:
        """Predicted log hazard ratio of ICT+CCRT against CCRT.

        Returns
        -------
        array, shape (n,)
            Below 0 where ICT+CCRT is better.
        """
        ict, ccrt = self._both
        return ict - ccrt

    @property
    def prognosis(self) -> FloatArray:
        """Mean of the linear predictors under both regimens.

        Returns
        -------
        array, shape (n,)
            Rises with risk.
        """
        # In the middle of both regimens, so that an error of the effect does not look like one of the prognosis.
        ict, ccrt = self._both
        return (ict + ccrt) / 2

    @property
    def effect_received(self) -> FloatArray:
        """Plus or minus half of the predicted effect.

        Returns
        -------
        array, shape (n,)
            The risk received minus the prognosis.
        """
        return np.where(self.treated, 0.5, -0.5) * self.effect

    @property
    def risk(self) -> FloatArray:
        """Linear predictor under the treatment received.

        Returns
        -------
        array, shape (n,)
            Rises with risk.
        """
        return self.prognosis + self.effect_received

    def expected(self, until_days: FloatArray | None = None) -> FloatArray:
        """Return the predicted cumulative hazard of each patient.

        Parameters
        ----------
        until_days : array, shape (n,), optional
            Days since the start of treatment; by default the end of each follow-up.

        Returns
        -------
        array, shape (n,)
            The sum over patients is the expected number of events.
        """
        until = self.days if until_days is None else until_days
        return np.exp(self.risk) * interpolated_hazard(self.nomogram, until)

    def where(self, chosen: BoolArray | Int64Array) -> FollowedCohort:
        """Return some of the patients.

        Parameters
        ----------
        chosen : bool array, shape (n,), or int array
            Flags or positions.
        """
        part = self.covariates
        return replace(
            self,
            covariates=PatientCovariates(
                *(
                    np.asarray(values)[chosen]
                    for values in (
                        part.age_years, part.ebv_dna_gt_threshold, part.prognostic_score, part.predictive_score
                    )
                )
            ),
            **{
                name: getattr(self, name)[chosen]
                for name in ("start_day", "days", "event", "treated", "ict_recommended", "has_recommendation")
            },
        )  # fmt: skip

    def until(self, day: int) -> FollowedCohort:
        """Return what was known on a day.

        Parameters
        ----------
        day : int
            Ordinal day; later events and contacts are not yet there.
        """
        known = self.where(self.start_day < day)
        left = (day - known.start_day).astype(np.float64)
        return replace(known, event=known.event & (known.days <= left), days=np.minimum(known.days, left))

    @property
    def _both(self) -> tuple[FloatArray, FloatArray]:
        arms = (TreatmentArm.ICT_CCRT, TreatmentArm.CCRT)
        ict, ccrt = (self.nomogram.linear_predictor(self.covariates, arm) for arm in arms)
        return ict, ccrt


def followed_cohort(
    nomogram: CoxNomogram,
    covariates: PatientCovariates,
    start_day: Int64Array,
    days: FloatArray,
    event: BoolArray,
    treated: BoolArray,
    ict_recommended: BoolArray,
    has_recommendation: BoolArray | None = None,
) -> FollowedCohort:
    """Return followed patients, whose follow-up is cut at the last step of the nomogram's baseline.

    Parameters
    ----------
    nomogram, covariates, start_day, days, event, treated, ict_recommended
        As the attributes of `FollowedCohort`; `days` may go beyond the baseline.
    has_recommendation : bool array, shape (n,), optional
        By default every patient has one.

    Returns
    -------
    FollowedCohort
        Beyond the last step nothing is predicted, so nothing that happens there counts.

    Raises
    ------
    InputError
        A covariate is impossible.
    """
    validated_inputs(covariates)
    last = float(nomogram.event_days[-1])
    if has_recommendation is None:
        has_recommendation = np.ones(len(days), dtype=np.bool_)
    return FollowedCohort(
        nomogram, covariates, start_day, np.minimum(days, last), event & (days <= last), treated, ict_recommended,
        has_recommendation,
    )  # fmt: skip


def interpolated_hazard(nomogram: CoxNomogram, days: FloatArray) -> FloatArray:
    """Return the cumulative baseline hazard, linear between its steps.

    Parameters
    ----------
    nomogram : CoxNomogram
        Its baseline is a step function.
    days : array
        Days since the start of treatment, >= 0.

    Returns
    -------
    array
        With the step function itself an event between two steps would have happened where the hazard is zero.
    """
    corners = np.concatenate(([0.0], nomogram.event_days))
    return np.interp(days, corners, np.concatenate(([0.0], nomogram.cumulative_hazard)))
