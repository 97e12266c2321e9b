"""Phantom patients: latent scores drawn like the published ones, survival drawn from the published nomogram.

References: quantiles of both scores, of follow-up, and clinical marginals of Zhong et al., EBioMedicine 2021;70:103522
(aggregates of the matched training cohort); hazards from the published CPTDN of the demonstration bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from config.settings import BUNDLES
from workers.nomogram.published_case_mix import AGE_MEAN, AGE_RANGE, AGE_SD, EBV_PREVALENCE, scores_at
from workers.training.cohort_origin import PHANTOM_ID

# Quantiles of potential follow-up (months of 30 days).
FOLLOW_UP_QUANTILES = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)
FOLLOW_UP_MONTHS = (4, 16, 35, 46, 53.4, 64, 78.3, 91, 102, 112, 116)
# First failure: distant, locoregional, or death without either; survival after a failure.
FAILURE_SHARES = (0.55, 0.35, 0.10)
MEAN_SURVIVAL_AFTER_FAILURE_DAYS = 900.0
DECISION_DAYS = NASOPHARYNX.decision.horizon_months * DAYS_PER_MONTH

ENDPOINTS = tuple(endpoint.value for endpoint in NASOPHARYNX.endpoints)


def published_nomogram() -> dict[str, Any]:
    """Return the document of the published CPTDN, which the demonstration bundle contains."""
    import json

    document: dict[str, Any] = json.loads((BUNDLES / "demonstration" / "nomogram.json").read_text(encoding="utf-8"))
    return document


@dataclass(frozen=True)
class PhantomPatient:
    """One phantom: its cohort row, and the truth behind it.

    Attributes
    ----------
    record : mapping
        Canonical columns of a cohort.
    prognostic, predictive : float
        Latent scores in (-1, 1).
    linear_predictor : float
        The true one, under the treatment that decided the survival.
    dfs_60 : pair of float
        True 5-year DFS under CCRT and under ICT+CCRT.
    """

    record: Mapping[str, Any]
    prognostic: float
    predictive: float
    linear_predictor: float
    dfs_60: tuple[float, float]

    @property
    def benefit(self) -> float:
        """True difference of 5-year DFS, ICT+CCRT minus CCRT."""
        return self.dfs_60[1] - self.dfs_60[0]


@dataclass(frozen=True)
class Truth:
    """How survival depends on the latents.

    Attributes
    ----------
    interaction_scale : float
        1 as published; 0 removes main effect and interaction of the Predictive value.
    flipped : bool
        Exchange the treatment labels in the records, so that the recommendations of a learner must flip.
    """

    interaction_scale: float = 1.0
    flipped: bool = False


def draw_patient(
    seed: int, number: int, nomogram: Mapping[str, Any], cohort: str = "training", truth: Truth | None = None
) -> PhantomPatient:
    """Draw the phantom of a seed and number; equal arguments give an equal phantom.

    Parameters
    ----------
    seed, number : int
        Of the cohort, and of the patient in it.
    nomogram : mapping
        From `published_nomogram`.
    cohort : str
        Label in the column cohort.
    truth : Truth, optional
        By default as published.
    """
    truth = truth or Truth()
    rng = patient_rng(seed, number, stream=0)
    u = rng.standard_normal()
    prognostic, predictive = scores_at(u, rng.standard_normal())
    age = round(float(np.clip(rng.normal(AGE_MEAN, AGE_SD), *AGE_RANGE)))
    ebv = int(rng.random() < EBV_PREVALENCE)
    # Randomised: the true difference of the arms is then free of confounding.
    ict = int(rng.random() < 0.5)
    clinical = _clinical(rng)
    lps = [_linear_predictor(nomogram, age, prognostic, predictive, arm, ebv, truth) for arm in (0, 1)]
    h60 = _cumulative_hazard(nomogram, DECISION_DAYS)
    # Survival follows the treatment given, the table shows the other: a pipeline must then advise the opposite.
    recorded = 1 - ict if truth.flipped else ict
    record = {
        "patient_id": f"{PHANTOM_ID}{seed}-{number:05d}",
        "cohort": cohort,
        "treatment": "ICT+CCRT" if recorded else "CCRT",
        "age_years": age,
        "ebv_dna_gt_4000": ebv,
        **clinical,
        **_follow_up(nomogram, lps[ict], rng),
    }
    survival = tuple(float(np.exp(-h60 * np.exp(lp))) for lp in lps)
    return PhantomPatient(record, prognostic, predictive, lps[ict], (survival[0], survival[1]))


def patient_rng(seed: int, number: int, stream: int) -> np.random.Generator:
    """Return an independent generator of one phantom.

    Parameters
    ----------
    seed, number : int
        Of the cohort, and of the phantom in it, counted from 0.
    stream : int
        0 for facts, 1 for anatomy, 2 and up for scans.

    Returns
    -------
    numpy Generator
        Independent of the other streams, so that another scanner does not change a patient.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, number, stream]))


def _clinical(rng: np.random.Generator) -> dict[str, Any]:
    sex = "M" if rng.random() < 0.678 else "F"
    smoking = int(rng.random() < (0.42 if sex == "M" else 0.05))
    return {
        "sex": sex,
        "tumour_volume_ml": round(float(np.clip(rng.gamma(4.6, 29.2 / 4.6), 4, 90)), 2),
        "smoking": smoking,
        "drinking": int(rng.random() < (0.25 if smoking else 0.045)),
        "family_history": int(rng.random() < 0.276),
        "haemoglobin_abnormal": int(rng.random() < 0.124),
        "albumin_abnormal": int(rng.random() < 0.079),
        "crp_abnormal": int(rng.random() < 0.262),
        "ldh_abnormal": int(rng.random() < 0.073),
        "who_type_iii": int(rng.random() < 0.99),
    }


def _linear_predictor(
    nomogram: Mapping[str, Any], age: int, prognostic: float, predictive: float, ict: int, ebv: int, truth: Truth
) -> float:
    b = nomogram["coefficients"]
    scale = truth.interaction_scale
    # Without interaction the mean main effect stays: half of the product's coefficient, so hazards keep their size.
    lp = b["age_years"] * age + b["prognostic_score"] * prognostic + b["ebv_dna_gt_4000"] * ebv
    lp += b["treatment_ict"] * ict
    lp += scale * (b["predictive_score"] + b["predictive_score_x_treatment_ict"] * ict) * predictive
    return float(lp)


def _baseline(nomogram: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
    """Corners of the cumulative hazard at x = 0, continued beyond the last event at its average rate."""
    steps = nomogram["baseline"]
    days = np.concatenate([[0.0], np.asarray(steps["times"], dtype=np.float64)])
    hazard = np.concatenate([[0.0], np.asarray(steps["cumulative_hazard"], dtype=np.float64)])
    later = 10 * days[-1]
    # Without the continuation no patient could fail after the last published event.
    return np.append(days, later), np.append(hazard, hazard[-1] * later / days[-1])


def _cumulative_hazard(nomogram: Mapping[str, Any], days: float) -> float:
    return float(np.interp(days, *_baseline(nomogram)))


def _follow_up(nomogram: Mapping[str, Any], linear_predictor: float, rng: np.random.Generator) -> dict[str, int]:
    """Days and events of the four endpoints."""
    days, hazard = _baseline(nomogram)
    # Inverse transform: H0(T) exp(lp) is exponential with mean 1. Linear between the steps, so that times are not all
    # tied.
    failure = float(np.interp(rng.exponential() / np.exp(linear_predictor), hazard, days))
    # Potential follow-up is drawn independently of the failure: censoring carries no information.
    end = float(np.interp(rng.random(), FOLLOW_UP_QUANTILES, FOLLOW_UP_MONTHS)) * DAYS_PER_MONTH
    kind = rng.choice(3, p=FAILURE_SHARES)
    death = failure if kind == 2 else failure + rng.exponential(MEAN_SURVIVAL_AFTER_FAILURE_DAYS)
    at = {
        "dfs": failure,
        "os": death,
        # A death ends each endpoint, as in the definitions of DMFS and LRRFS; another kind of failure does not.
        "dmfs": failure if kind == 0 else death,
        "lrrfs": failure if kind == 1 else death,
    }
    follow_up: dict[str, int] = {}
    for endpoint in ENDPOINTS:
        # Whole days, at least one: a follow-up of 0 would be in no risk set.
        follow_up[f"{endpoint}_days"] = max(1, round(min(at[endpoint], end)))
        follow_up[f"{endpoint}_event"] = int(at[endpoint] <= end)
    return follow_up
