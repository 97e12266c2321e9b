"""CPTDN: disease-free survival of one patient under both regimens.

h(t|x) = h0(t) exp(age + Prognostic-score + EBV DNA > 4000 + treatment + Predictive-score
                   + Predictive-score x treatment)

with the Efron baseline as a right-continuous step function and x uncentred. Numpy alone, so that a command starts in
half a second.

References: Zhong et al., EBioMedicine 2021;70:103522, section 2.4 and Figure 2a.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.profile import Indication
from config.indication.vocabulary import AnswerRule, EbvCategory, TreatmentArm
from workers.nomogram.inputs import term_columns, validated_inputs
from workers.nomogram.intervals import TABLES, CoxTerms, VarianceTerms, estimate_horizon
from workers.nomogram.points import AGE, EBV, PREDICTIVE, PROGNOSTIC, TERMS, PointsScale
from workers.nomogram.result import ArmEstimates, DecisiveEstimates, NomogramResult
from workers.nomogram.score_error import ScoreError
from workers.survival.covariates import PatientCovariates

CHUNK = 1 << 14  # patients at a time: the working arrays stay in the processor's cache

_RANGE_TOLERANCE = 1e-9


class HorizonError(InputError):
    """A horizon exceeds the follow-up of the fitted cohort, or is not a positive number of months."""


@dataclass(frozen=True)
class CoxNomogram:
    """A fitted CPTDN.

    Attributes
    ----------
    name : str
        Shown in reports.
    coefficients : mapping of str to float
        Term -> log hazard ratio per unit (age in years).
    covariance : array, shape (6, 6)
        Of the coefficients, in the order of `points.TERMS`.
    event_days, cumulative_hazard : array, shape (k,)
        Steps of the baseline for x = 0.
    follow_up_days : float
        Longest follow-up; no probability is given beyond it.
    variance_terms : mapping of float to VarianceTerms
        By horizon in days, where the fit stored them.
    scale : PointsScale
        Axes and points.
    training_ranges : mapping of str to pair of float
        Smallest and largest value of each input in the training cohort.
    mean_total_points : float
        Of the training cohort; the cut between low and high risk.
    indication : Indication
        What it was fitted for: horizons, biomarker threshold, stage.
    document : mapping
        The JSON that this nomogram was read from; the digest is over its canonical form.
    """

    name: str
    coefficients: Mapping[str, float]
    covariance: FloatArray
    event_days: FloatArray
    cumulative_hazard: FloatArray
    follow_up_days: float
    variance_terms: Mapping[float, VarianceTerms]
    scale: PointsScale
    training_ranges: Mapping[str, tuple[float, float]]
    mean_total_points: float
    indication: Indication
    document: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """``sha256:...`` of the canonical JSON (keys sorted, no spaces): equal for equal content."""
        # json writes each number as the shortest text that reads back as the same double, so the digest is the same on
        # every machine.
        canonical = json.dumps(self.document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def citation(self) -> str:
        """What to cite; empty for a site's own nomogram."""
        return str(self.document.get("citation", ""))

    @property
    def marks(self) -> list[dict[str, str]]:
        """Code and text of what its file says against it, for example too few events; empty as a rule."""
        return [dict(mark) for mark in self.document.get("marked", ())]

    def linear_predictor(self, covariates: PatientCovariates, arm: TreatmentArm) -> FloatArray:
        """Return the uncentred linear predictor under one arm.

        Parameters
        ----------
        covariates : PatientCovariates
            n patients.
        arm : TreatmentArm
            The treatment to assume.

        Returns
        -------
        array, shape (n,)
            Rises with risk.
        """
        inputs = validated_inputs(covariates)
        return term_columns(inputs, arm is TreatmentArm.ICT_CCRT) @ self._beta()

    def baseline_hazard(self, horizons_months: Sequence[float]) -> FloatArray:
        """Return the cumulative baseline hazard: the last step at or before each horizon.

        Parameters
        ----------
        horizons_months : sequence of float, length h
            Months of 30 days.

        Returns
        -------
        array, shape (h,)
            For a patient whose covariates are all zero.

        Raises
        ------
        HorizonError
            A horizon is not positive or exceeds the follow-up.
        """
        days = np.asarray(horizons_months, dtype=np.float64) * DAYS_PER_MONTH
        if days.size == 0 or not bool(np.all(days > 0)):
            raise HorizonError(f"horizons must be positive numbers of months, found {list(horizons_months)}")
        if bool(np.any(days > self.follow_up_days)):
            longest = self.follow_up_days / DAYS_PER_MONTH
            raise HorizonError(
                f"the cohort behind {self.name!r} was followed for {longest:.1f} months at most, "
                f"found a horizon of {float(days.max()) / DAYS_PER_MONTH:g} months"
            )
        # A step function, as survfit has it: side "right" counts the events up to and including the day, and before the
        # first event the hazard is 0. Interpolation between the steps would change reported rates.
        steps = np.concatenate(([0.0], self.cumulative_hazard))
        return steps[np.searchsorted(self.event_days, days, side="right")]

    def dfs_by_arm(
        self, covariates: PatientCovariates, horizons_months: Sequence[float]
    ) -> dict[TreatmentArm, FloatArray]:
        """Return disease-free survival under each arm, without intervals.

        Parameters
        ----------
        covariates : PatientCovariates
            n patients.
        horizons_months : sequence of float, length h
            Months.

        Returns
        -------
        dict of TreatmentArm to array, shape (n, h)
            Probabilities in [0, 1].

        Raises
        ------
        HorizonError
            A horizon is not positive or exceeds the follow-up.
        """
        inputs, hazard = validated_inputs(covariates), self.baseline_hazard(horizons_months)
        return {
            arm: np.exp(
                -np.multiply.outer(np.exp(term_columns(inputs, arm is TreatmentArm.ICT_CCRT) @ self._beta()), hazard)
            )
            for arm in TreatmentArm
        }

    def score(
        self,
        covariates: PatientCovariates,
        horizons_months: Sequence[float] | None = None,
        threshold: float = 0.0,
        decision_horizon: float | None = None,
        score_error: ScoreError | None = None,
        rule: AnswerRule = AnswerRule.INTERVAL,
    ) -> NomogramResult:
        """Return points, DFS of both arms with 95 % intervals, their difference and the recommended regimen.

        Parameters
        ----------
        covariates : PatientCovariates
            n patients; a single number is one patient.
        horizons_months : sequence of float, length h, optional
            When survival is reported, in months; by default the horizons that the nomogram was fitted for.
        threshold : float
            ICT+CCRT is better where its DFS at the decision horizon exceeds CCRT's by more than this fraction.
        decision_horizon : float, optional
            Months, by default that of the nomogram's indication; need not be among the reported horizons.
        score_error : ScoreError, optional
            How uncertain the scores are; without it the intervals are those of the Cox model only.
        rule : AnswerRule
            Whether the interval of the difference decides, or the bare difference.

        Returns
        -------
        NomogramResult
            Intervals as `intervals` defines them; NaN at horizons whose variance terms the nomogram does not store.

        Raises
        ------
        InputError
            An input is impossible; HorizonError for a horizon beyond the follow-up.

        References
        ----------
        Zhong et al. 2021, section 2.4; survival::survfit.coxph, ``conf.type = "log"``.
        """
        inputs = validated_inputs(covariates)
        fitted = self.indication
        months = fitted.horizons_months if horizons_months is None else horizons_months
        horizons = tuple(float(month) for month in months)
        decision_horizon = float(fitted.decision.horizon_months if decision_horizon is None else decision_horizon)
        evaluated = horizons if decision_horizon in horizons else (*horizons, decision_horizon)
        at = evaluated.index(decision_horizon)
        hazard = self.baseline_hazard(evaluated)
        # Rounded, since 4.1 months are 122.99999999999999 days in double precision and the keys are those of a JSON
        # file.
        terms = [self.variance_terms.get(round(month * DAYS_PER_MONTH, 6)) for month in evaluated]
        n = len(inputs[AGE])
        tables = {name: np.empty((n, len(evaluated))) for name in TABLES}
        lp = {arm: np.empty(n) for arm in TreatmentArm}
        # A million patients at once would need gigabytes of temporary arrays; chunks are faster, too.
        for start in range(0, n, CHUNK):
            rows = slice(start, min(start + CHUNK, n))
            part = {name: values[rows] for name, values in inputs.items()}
            estimates = self._estimate(part, hazard, terms, None if score_error is None else score_error.rows(rows))
            for name, table in tables.items():
                table[rows] = estimates[name]
            for arm in TreatmentArm:
                lp[arm][rows] = estimates[f"lp {arm}"]
        ict, ccrt = (tables[f"dfs {arm}"][:, at] for arm in TreatmentArm)
        decisive = DecisiveEstimates(rule, ict, ccrt, tables["difference low"][:, at], tables["difference high"][:, at])
        reported = {name: table[:, : len(horizons)] for name, table in tables.items()}
        # From unrounded survival, and strictly: at exact equality the paper's group is that without induction.
        preferred = ict - ccrt > threshold
        return self._result(
            inputs, horizons, threshold, decision_horizon, reported, lp, preferred, decisive, score_error
        )

    def score_each_category(self, covariates: PatientCovariates, **options: Any) -> dict[EbvCategory, NomogramResult]:
        """Score patients whose EBV DNA is unknown once for each category.

        Parameters
        ----------
        covariates : PatientCovariates
            Its ``ebv_dna_gt_threshold`` is not read.
        **options
            Those of `score`.

        Returns
        -------
        dict of EbvCategory to NomogramResult
            Not above the threshold, then above it.
        """
        n = np.size(covariates.prognostic_score)
        return {
            category: self.score(
                PatientCovariates(
                    covariates.age_years, np.full(n, value), covariates.prognostic_score, covariates.predictive_score
                ),
                **options,
            )
            for category, value in ((EbvCategory.NOT_ABOVE, 0.0), (EbvCategory.ABOVE, 1.0))
        }

    def _beta(self) -> FloatArray:
        return np.array([self.coefficients[term] for term in TERMS])

    def _estimate(
        self,
        inputs: Mapping[str, FloatArray],
        hazard: FloatArray,
        terms: Sequence[VarianceTerms | None],
        score_error: ScoreError | None,
    ) -> dict[str, FloatArray]:
        """Return DFS, intervals and difference of one chunk: name -> (n, h), and the linear predictors (n,)."""
        x = {arm: term_columns(inputs, arm is TreatmentArm.ICT_CCRT) for arm in TreatmentArm}
        cox = CoxTerms(x, self._beta(), self.covariance)
        horizons = [estimate_horizon(cox, float(h), at, score_error) for h, at in zip(hazard, terms, strict=True)]
        tables = {name: np.column_stack([horizon[name] for horizon in horizons]) for name in TABLES}
        return tables | {f"lp {arm}": cox.linear_predictor(arm) for arm in TreatmentArm}

    def _result(
        self,
        inputs: Mapping[str, FloatArray],
        horizons: tuple[float, ...],
        threshold: float,
        decision_horizon: float,
        tables: Mapping[str, FloatArray],
        lp: Mapping[TreatmentArm, FloatArray],
        ict_preferred: BoolArray,
        decisive: DecisiveEstimates,
        score_error: ScoreError | None,
    ) -> NomogramResult:
        arms = {
            arm: ArmEstimates(
                predictive_points=self.scale.of_predictive_score(arm, inputs[PREDICTIVE]),
                total_points=self.scale.total(lp[arm]),
                linear_predictor=lp[arm],
                dfs=tables[f"dfs {arm}"],
                low=tables[f"low {arm}"],
                high=tables[f"high {arm}"],
            )
            for arm in TreatmentArm
        }
        ranges = {name: self.training_ranges[name] for name in (AGE, PROGNOSTIC, PREDICTIVE)}
        return NomogramResult(
            inputs=inputs,
            horizons_months=horizons,
            threshold=threshold,
            decision_horizon_months=decision_horizon,
            points={
                AGE: self.scale.of_factor(AGE, inputs[AGE]),
                EBV: self.scale.of_factor(EBV, inputs["ebv_dna_gt_threshold"]),
                PROGNOSTIC: self.scale.of_factor(PROGNOSTIC, inputs[PROGNOSTIC]),
            },
            arms=arms,
            difference=tables["difference"],
            difference_low=tables["difference low"],
            difference_high=tables["difference high"],
            ict_preferred=ict_preferred,
            extrapolated={
                # A patient at the end of the training range must not be marked because the range went through JSON.
                name: (inputs[name] < low - _RANGE_TOLERANCE) | (inputs[name] > high + _RANGE_TOLERANCE)
                for name, (low, high) in ranges.items()
            },
            training_ranges=ranges,
            decisive=decisive,
            score_error=score_error,
        )
