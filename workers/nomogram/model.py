"""CPTDN: disease-free survival of one patient under both regimens.

h(t|x) = h0(t) exp(age + Prognostic-score + EBV DNA > 4000 + treatment + Predictive-score
                   + Predictive-score x treatment)

with the Efron baseline as a right-continuous step function, x uncentred. Numpy alone, so that scoring starts at once.
Source: Zhong et al., EBioMedicine 2021;70:103522, section 2.4 and Figure 2a.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.bundle_manifest import INDICATION, BundleManifest, read_indication
from config.errors import InputError, ModelBundleError
from config.indication.conventions import DAYS_PER_MONTH, Z_95
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from config.indication.vocabulary import EbvCategory, TreatmentArm
from workers.nomogram.points import AGE, EBV, INTERACTION, PREDICTIVE, PROGNOSTIC, TERMS, TREATMENT, PointsScale
from workers.nomogram.result import ArmEstimates, NomogramResult
from workers.survival.covariates import PatientCovariates

FILE_NAME = "nomogram.json"
CHUNK = 1 << 14  # patients at a time: the working arrays stay in the processor's cache

_INPUTS = (AGE, "ebv_dna_gt_threshold", PROGNOSTIC, PREDICTIVE)
_RANGE_TOLERANCE = 1e-9


class HorizonError(InputError):
    """A horizon lies beyond the follow-up of the fitted cohort, or is not a positive number of months."""


@dataclass(frozen=True)
class VarianceTerms:
    """Terms of the closed-form variance of log S at one horizon (Tsiatis; as R's survfit.coxph).

    a : sum over event times of (hazard increment) / (risk-set weight).
    q : (6,) sum over event times of (weighted mean covariates) x (hazard increment).
    """

    a: float
    q: FloatArray


@dataclass(frozen=True)
class CoxNomogram:
    """A fitted CPTDN.

    coefficients : term -> log hazard ratio per unit (age in years).
    covariance : (6, 6) of the coefficients in the order of `points.TERMS`.
    event_days, cumulative_hazard : (k,) steps of the baseline for x = 0.
    follow_up_days : longest follow-up; no probability is given beyond it.
    variance_terms : days -> VarianceTerms, where the fit kept them.
    indication : what it was fitted with: its horizons, its biomarker threshold.
    document : the JSON that this nomogram was read from; its canonical form has the digest.
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
        """`sha256:...` over the canonical JSON (keys sorted, no spaces): the same for the same facts."""
        canonical = json.dumps(self.document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def citation(self) -> str:
        return str(self.document.get("citation", ""))

    def linear_predictor(self, covariates: PatientCovariates, arm: TreatmentArm) -> FloatArray:
        """(n,) uncentred linear predictor under one arm."""
        inputs = validated_inputs(covariates)
        return _design(inputs, arm) @ self._beta()

    def baseline_hazard(self, horizons_months: Sequence[float]) -> FloatArray:
        """(h,) cumulative baseline hazard: the last step at or before each horizon.

        Raises HorizonError for a horizon that is not positive or lies beyond the follow-up.
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
        steps = np.concatenate(([0.0], self.cumulative_hazard))
        return steps[np.searchsorted(self.event_days, days, side="right")]

    def dfs_by_arm(
        self, covariates: PatientCovariates, horizons_months: Sequence[float]
    ) -> dict[TreatmentArm, FloatArray]:
        """Disease-free survival under each arm, without intervals: arm -> (n, h) probabilities in [0, 1]."""
        inputs, hazard = validated_inputs(covariates), self.baseline_hazard(horizons_months)
        return {
            arm: np.exp(-np.multiply.outer(np.exp(_design(inputs, arm) @ self._beta()), hazard)) for arm in TreatmentArm
        }

    def score(
        self,
        covariates: PatientCovariates,
        horizons_months: Sequence[float] | None = None,
        threshold: float = 0.0,
        decision_horizon: float | None = None,
    ) -> NomogramResult:
        """Points, DFS of both arms with 95 % intervals, their difference and the recommended regimen.

        covariates : n patients; a single number is one patient.
        horizons_months, decision_horizon : None: those that the nomogram was fitted for.
        threshold : ICT+CCRT is recommended where its DFS at `decision_horizon` (months) exceeds CCRT's by more.
        Intervals: S exp(-+ z se(log S)), at most 1; of the difference by the delta method with the covariance of
        both arms. NaN at horizons whose variance terms the nomogram does not keep.
        Raises InputError for impossible inputs, HorizonError for horizons beyond the follow-up.
        """
        inputs = validated_inputs(covariates)
        fitted = self.indication
        horizons = tuple(float(m) for m in (fitted.horizons_months if horizons_months is None else horizons_months))
        decision_horizon = float(fitted.decision.horizon_months if decision_horizon is None else decision_horizon)
        hazard = self.baseline_hazard(horizons)
        decisive_hazard = self.baseline_hazard([decision_horizon])
        terms = [self.variance_terms.get(round(month * DAYS_PER_MONTH, 6)) for month in horizons]
        n = len(inputs[AGE])
        tables = {name: np.empty((n, len(horizons))) for name in _TABLES}
        lp = {arm: np.empty(n) for arm in TreatmentArm}
        ict_preferred = np.empty(n, dtype=np.bool_)
        for start in range(0, n, CHUNK):
            rows = slice(start, min(start + CHUNK, n))
            part = {name: values[rows] for name, values in inputs.items()}
            found = self._estimate(part, hazard, terms)
            for name, table in tables.items():
                table[rows] = found[name]
            for arm in TreatmentArm:
                lp[arm][rows] = found[f"lp {arm}"]
            ict, ccrt = (np.exp(-decisive_hazard * np.exp(found[f"lp {arm}"])) for arm in TreatmentArm)
            ict_preferred[rows] = ict - ccrt > threshold
        return self._result(inputs, horizons, threshold, decision_horizon, tables, lp, ict_preferred)

    def score_each_category(self, covariates: PatientCovariates, **options: Any) -> dict[EbvCategory, NomogramResult]:
        """The answer for EBV DNA below and above the threshold, for patients whose EBV DNA is unknown.

        `covariates.ebv_dna_gt_threshold` is not read; the options are those of `score`.
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
        self, inputs: Mapping[str, FloatArray], hazard: FloatArray, terms: Sequence[VarianceTerms | None]
    ) -> dict[str, FloatArray]:
        """DFS, intervals and difference of one chunk of patients: name -> (n, h), and the linear predictors (n,)."""
        x = {arm: _design(inputs, arm) for arm in TreatmentArm}
        lp = {arm: x[arm] @ self._beta() for arm in TreatmentArm}
        relative = {arm: np.exp(lp[arm]) for arm in TreatmentArm}
        n, h = len(inputs[AGE]), len(hazard)
        out = {name: np.full((n, h), np.nan) for name in _TABLES}
        for at in range(h):
            s = {arm: np.exp(-hazard[at] * relative[arm]) for arm in TreatmentArm}
            difference = s[TreatmentArm.ICT_CCRT] - s[TreatmentArm.CCRT]
            out["difference"][:, at] = difference
            for arm in TreatmentArm:
                out[f"dfs {arm}"][:, at] = s[arm]
            found = terms[at]
            if found is None:
                continue
            g = {arm: hazard[at] * x[arm] - found.q for arm in TreatmentArm}
            g_cov = {arm: g[arm] @ self.covariance for arm in TreatmentArm}
            se = {
                arm: relative[arm] * np.sqrt(found.a + np.einsum("ij,ij->i", g_cov[arm], g[arm]))
                for arm in TreatmentArm
            }
            for arm in TreatmentArm:
                width = np.exp(Z_95 * se[arm])
                out[f"low {arm}"][:, at] = s[arm] / width
                out[f"high {arm}"][:, at] = np.minimum(s[arm] * width, 1.0)
            ict, ccrt = TreatmentArm.ICT_CCRT, TreatmentArm.CCRT
            cross = relative[ict] * relative[ccrt] * (found.a + np.einsum("ij,ij->i", g_cov[ict], g[ccrt]))
            variance = (s[ict] * se[ict]) ** 2 + (s[ccrt] * se[ccrt]) ** 2 - 2 * s[ict] * s[ccrt] * cross
            half = Z_95 * np.sqrt(np.maximum(variance, 0.0))
            out["difference low"][:, at] = difference - half
            out["difference high"][:, at] = difference + half
        return {**out, **{f"lp {arm}": lp[arm] for arm in TreatmentArm}}

    def _result(
        self,
        inputs: Mapping[str, FloatArray],
        horizons: tuple[float, ...],
        threshold: float,
        decision_horizon: float,
        tables: Mapping[str, FloatArray],
        lp: Mapping[TreatmentArm, FloatArray],
        ict_preferred: Any,
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
                name: (inputs[name] < low - _RANGE_TOLERANCE) | (inputs[name] > high + _RANGE_TOLERANCE)
                for name, (low, high) in ranges.items()
            },
            training_ranges=ranges,
        )


_TABLES = (
    *(f"{what} {arm}" for what in ("dfs", "low", "high") for arm in TreatmentArm),
    "difference",
    "difference low",
    "difference high",
)


def validated_inputs(covariates: PatientCovariates) -> dict[str, FloatArray]:
    """Name -> (n,) float64 inputs. Raises InputError naming the first patient (from 1) whose value is impossible."""
    given = (
        covariates.age_years,
        covariates.ebv_dna_gt_threshold,
        covariates.prognostic_score,
        covariates.predictive_score,
    )
    inputs = {name: np.atleast_1d(np.asarray(v, dtype=np.float64)) for name, v in zip(_INPUTS, given, strict=True)}
    shapes = {values.shape for values in inputs.values()}
    if len(shapes) != 1 or inputs[AGE].ndim != 1:
        raise InputError(f"the inputs of the nomogram must be arrays of one length, found shapes {sorted(shapes)}")
    allowed = (
        (AGE, "age between 0 and 130 years", (inputs[AGE] >= 0) & (inputs[AGE] <= 130)),
        ("ebv_dna_gt_threshold", "EBV DNA category 0 or 1", np.isin(inputs["ebv_dna_gt_threshold"], (0.0, 1.0))),
        (PROGNOSTIC, "Prognostic-score between -1 and 1", np.abs(inputs[PROGNOSTIC]) <= 1),
        (PREDICTIVE, "Predictive-score between -1 and 1", np.abs(inputs[PREDICTIVE]) <= 1),
    )
    for name, expected, good in allowed:
        if not bool(good.all()):
            first = int(np.argmin(good))
            raise InputError(f"patient {first + 1}: expected {expected}, found {inputs[name][first]:g}")
    return inputs


def _design(inputs: Mapping[str, FloatArray], arm: TreatmentArm) -> FloatArray:
    """(n, 6) covariates in the order of `points.TERMS` under one arm."""
    treated = 1.0 if arm is TreatmentArm.ICT_CCRT else 0.0
    columns = {
        AGE: inputs[AGE],
        PROGNOSTIC: inputs[PROGNOSTIC],
        PREDICTIVE: inputs[PREDICTIVE],
        TREATMENT: np.full_like(inputs[AGE], treated),
        EBV: inputs["ebv_dna_gt_threshold"],
        INTERACTION: inputs[PREDICTIVE] * treated,
    }
    return np.column_stack([columns[term] for term in TERMS])


def nomogram_of_bundle(manifest: BundleManifest) -> CoxNomogram:
    """Read the nomogram of a model bundle, which answers for what the manifest says.

    Raises ModelBundleError when it was fitted for another biomarker threshold or stage, or cannot answer at a horizon.
    """
    path, expected = manifest.folder / FILE_NAME, manifest.indication
    nomogram = load_nomogram(path, expected)
    if INDICATION in nomogram.document:
        fitted = nomogram.indication
        for name, here, there in (
            ("biomarker.threshold", fitted.biomarker.threshold, expected.biomarker.threshold),
            ("biomarker", fitted.biomarker, expected.biomarker),
            ("stage", fitted.stage.text, expected.stage.text),
        ):
            if here != there:
                raise ModelBundleError(
                    f"{path}: the nomogram was fitted with {name} = {here}, the manifest says {there}"
                )
    require_horizons(nomogram, expected, str(path))
    return replace(nomogram, indication=expected)


def require_horizons(nomogram: CoxNomogram, indication: Indication, where: str) -> None:
    """Refuse a nomogram that cannot answer at every horizon: a model is refused when it is made, not when it scores.

    Raises ModelBundleError: the follow-up ends before a horizon, or the terms of its confidence intervals are missing.
    """
    for month in indication.horizons_months:
        days = month * DAYS_PER_MONTH
        if days > nomogram.follow_up_days:
            raise ModelBundleError(
                f"{where}: the longest follow-up is {nomogram.follow_up_days / DAYS_PER_MONTH:.1f} months and does not "
                f"reach the horizon of {month} months: choose horizons within it"
            )
        if days not in nomogram.variance_terms:
            raise ModelBundleError(
                f"{where}: expected confidence terms at the horizon of {month} months ({days} days), found them at "
                f"{', '.join(f'{each:g}' for each in sorted(nomogram.variance_terms))} days"
            )


def load_nomogram(source: Path | str | Mapping[str, Any], indication: Indication = NASOPHARYNX) -> CoxNomogram:
    """Read a nomogram from its JSON file, from a folder with a `nomogram.json`, or from the parsed document.

    indication : what it was fitted with, where its document does not say so: the published one does not.
    Raises ModelBundleError naming the file, what was expected and what was found.
    """
    if isinstance(source, Mapping):
        return _from_document(source, "the nomogram", indication)
    path = Path(source)
    path = path / FILE_NAME if path.is_dir() else path
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelBundleError(f"cannot read the nomogram {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelBundleError(f"the nomogram {path} is not JSON: {error}") from error
    return _from_document(document, str(path), indication)


def _from_document(document: Mapping[str, Any], where: str, indication: Indication) -> CoxNomogram:
    try:
        found = tuple(document["terms"])
        if set(found) != set(TERMS):
            raise ModelBundleError(f"{where}: expected the terms {list(TERMS)}, found {list(found)}")
        order = [found.index(term) for term in TERMS]
        confidence, baseline = document["confidence"], document["baseline"]
        ranges = {name: _pair(pair) for name, pair in document["training_ranges"].items()}
        coefficients = {term: float(document["coefficients"][term]) for term in TERMS}
        axes = {name: _pair(pair) for name, pair in document["nomogram"]["axis_ranges"].items()}
        nomogram = CoxNomogram(
            name=str(document["name"]),
            coefficients=coefficients,
            covariance=np.asarray(document["covariance"], dtype=np.float64)[np.ix_(order, order)],
            event_days=np.asarray(baseline["times"], dtype=np.float64),
            cumulative_hazard=np.asarray(baseline["cumulative_hazard"], dtype=np.float64),
            follow_up_days=ranges["dfs_days"][1],
            variance_terms={
                float(days): VarianceTerms(float(a), np.asarray(confidence["q"][days], dtype=np.float64)[order])
                for days, a in confidence["A"].items()
            },
            scale=PointsScale.of(coefficients, axes),
            training_ranges=ranges,
            mean_total_points=float(document["risk_cut"]["mean_total_points_training"]),
            indication=read_indication(document[INDICATION], where) if INDICATION in document else indication,
            document=dict(document),
        )
        _check(nomogram, float(document["nomogram"]["lp_per_point"]), where)
    except (KeyError, IndexError, TypeError) as error:
        raise ModelBundleError(f"{where} is not a nomogram of ours: {type(error).__name__} {error}") from error
    return nomogram


def _check(nomogram: CoxNomogram, lp_per_point: float, where: str) -> None:
    """A damaged file must not score anybody."""
    steps = np.diff(nomogram.cumulative_hazard, prepend=0.0)
    if nomogram.event_days.shape != nomogram.cumulative_hazard.shape or not nomogram.event_days.size:
        raise ModelBundleError(f"{where}: the baseline needs one cumulative hazard for each event time")
    if bool(np.any(steps <= 0)) or bool(np.any(np.diff(nomogram.event_days) <= 0)):
        raise ModelBundleError(f"{where}: the baseline must rise at each event time, and the times too")
    if abs(nomogram.scale.lp_per_point - lp_per_point) > 1e-9:
        expected = nomogram.scale.lp_per_point
        raise ModelBundleError(
            f"{where}: coefficients and axes give {expected} per point, the file says {lp_per_point}"
        )


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)
