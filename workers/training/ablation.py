"""Which choice is better on this cohort: trainings that differ in one choice, on the same folds with the same seeds.

The reference has every choice as configured; each alternative differs from it in one. All are cross-validated on the
same folds, so their C-indices are compared on the same patients and the interval of a difference is paired. Such an
interval contains the chance of the patients; the chance of the first weights shows in repeats with other seeds.
Several comparisons are not corrected for multiplicity.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.conventions import Z_95
from workers.nomogram.model import CoxNomogram
from workers.survival.cohort import TRAINING, Cohort
from workers.survival.concordance import (
    Concordance,
    ConcordanceDifference,
    concordance_difference,
    harrell_concordance,
    mean_concordance,
)
from workers.training.cohort_check import read_trainable
from workers.training.cross_fitting import cross_validate
from workers.training.loading import BatchLoader
from workers.training.network_training import claim_work_folder
from workers.training.out_of_fold import OutOfFold
from workers.training.patch_store import PatchStore
from workers.training.phantom_evaluation import CLEAR_BENEFIT, read_truth
from workers.training.training_config import Progress, TrainingConfig, config_from_choices

CHOICES: dict[str, tuple[Any, ...]] = {
    "pooling": ("maximum", "attention"),
    "normalisation": ("landmarks", "n4_landmarks", "z_score"),
    "variant": ("basic", "bottleneck"),
    "schedule": ("one_cycle", "paper"),
    "augmentation": ("scanner", "paper"),
    "transfer": (False, True),
}
REFERENCE = "reference"
TRUTH = "truth.csv"


@dataclass(frozen=True)
class AblationArm:
    """One training to compare.

    Attributes
    ----------
    name, choice, value : str
        ``pooling=attention``, ``pooling``, ``attention``; the reference has no choice.
    config : TrainingConfig
        At the first seed.
    """

    name: str
    choice: str
    value: str
    config: TrainingConfig


@dataclass(frozen=True)
class Ablation:
    """What to compare, and how thoroughly.

    Attributes
    ----------
    arms : tuple of AblationArm
        The reference first.
    n_folds, n_repeats : int
        Folds of each cross-validation; repeats with other folds and first weights.
    nomogram : CoxNomogram or None
        Used in every fold; None: one is fitted in each.
    """

    arms: tuple[AblationArm, ...]
    n_folds: int = 5
    n_repeats: int = 1
    nomogram: CoxNomogram | None = None


@dataclass(frozen=True)
class AblationArmResult:
    """One arm in all repeats, beside the reference.

    Attributes
    ----------
    arm : AblationArm
        What was trained.
    concordance : tuple of Concordance
        One per repeat.
    difference : ConcordanceDifference or None
        Of the mean C-index from that of the reference; None for the reference.
    truth : dict or None
        Agreement with the truth of phantoms, and correlations, where it is known.
    seconds : float
        Duration of the trainings of one repeat.
    """

    arm: AblationArm
    concordance: tuple[Concordance, ...]
    difference: ConcordanceDifference | None
    truth: dict[str, Any] | None
    seconds: float

    @property
    def c_index(self) -> tuple[float, tuple[float, float]]:
        """Mean over the repeats, with the ends of its 95 % interval over patients."""
        # Influences are averaged before squaring: the patients are the same in every repeat, so repeats do not narrow
        # the interval over patients.
        value, influence = mean_concordance(self.concordance)
        reach = Z_95 * float(np.sqrt((influence**2).sum()))
        return value, (value - reach, value + reach)

    @property
    def verdict(self) -> str:
        """What the interval of the difference shows: ``higher``, ``lower`` or ``no difference shown``."""
        if self.difference is None:
            return REFERENCE
        low, high = self.difference.ci95
        if np.isnan(low):
            return "cannot be compared"
        return "higher" if low > 0 else "lower" if high < 0 else "no difference shown"

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of one arm."""
        value, ci95 = self.c_index
        different = self.difference
        return {
            "name": self.arm.name,
            "choice": self.arm.choice,
            "value": self.arm.value,
            "c_index": {"value": value, "ci95": list(ci95), "by_repeat": [repeat.value for repeat in self.concordance]},
            "difference": None if different is None else {"value": different.value, "ci95": list(different.ci95)},
            "verdict": self.verdict,
            "truth": self.truth,
            "seconds": round(self.seconds, 1),
            "recipe": self.arm.config.to_json(),
        }


@dataclass(frozen=True)
class AblationResult:
    """All arms in order, the reference first.

    Attributes
    ----------
    cohort : str
        File name.
    n, n_events, n_folds, n_repeats : int
        Size of the comparison.
    arms : tuple of AblationArmResult
        The reference first.
    oracle : float or None
        C-index of the true linear predictor of phantoms.
    """

    cohort: str
    n: int
    n_events: int
    n_folds: int
    n_repeats: int
    arms: tuple[AblationArmResult, ...]
    oracle: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of ``ablate``."""
        return {
            "cohort": self.cohort,
            "n": self.n,
            "n_events": self.n_events,
            "folds": self.n_folds,
            "repeats": self.n_repeats,
            "oracle_c_index": self.oracle,
            "arms": [arm.to_json() for arm in self.arms],
            "remarks": self.remarks(),
        }

    def remarks(self) -> list[str]:
        """Return what a reader must know beside the numbers."""
        remarks = [
            "Intervals contain the chance of the patients: paired, within folds, by the infinitesimal jackknife.",
            "They do not contain the chance of folds and first weights; "
            + (
                "its size shows in the spread of the repeats."
                if self.n_repeats > 1
                else "one repeat does not show it. Give --repeats 3 or more before believing a small difference."
            ),
        ]
        n_compared = len(self.arms) - 1
        if n_compared > 1:
            share = 1 - 0.95**n_compared
            remarks.append(
                f"{n_compared} comparisons, not corrected: were all choices equal, one would still be called different "
                f"in up to {100 * share:.0f} % of such cohorts."
            )
        return remarks


def ablation_arms(options: Mapping[str, Any], vary: Sequence[str]) -> tuple[AblationArm, ...]:
    """Return the reference, and one arm for every other value of each choice that varies.

    Parameters
    ----------
    options : mapping
        Arguments of `config_from_choices`.
    vary : sequence of str
        Keys of `CHOICES`.

    Returns
    -------
    tuple of AblationArm
        The reference first.

    Raises
    ------
    InputError
        An unknown choice, or a network shape that cannot be built.
    """
    unknown = [name for name in vary if name not in CHOICES]
    if unknown or not vary:
        raise InputError(f"expected choices to vary among {', '.join(CHOICES)}, found {', '.join(unknown) or 'none'}")
    arms = [AblationArm(REFERENCE, "", "", config_from_choices(**options))]
    for choice in dict.fromkeys(vary):
        reference_value = _value_of(choice, arms[0].config)
        for value in CHOICES[choice]:
            if value != reference_value:
                shown = ("no", "yes")[value] if isinstance(value, bool) else str(value)
                arms.append(
                    AblationArm(f"{choice}={shown}", choice, shown, config_from_choices(**{**options, choice: value}))
                )
    return tuple(arms)


def _value_of(choice: str, config: TrainingConfig) -> Any:
    """Return the value that a configuration has for a choice."""
    if choice == "augmentation":
        return "scanner" if config.scanner_augmentation else "paper"
    return getattr(config.backbone if choice in ("pooling", "variant") else config, choice)


def run_ablation(
    cohort_file: Path,
    store_of: Callable[[Cohort, TrainingConfig], PatchStore],
    work: Path,
    plan: Ablation,
    loader: BatchLoader,
    progress: Progress,
    without: Collection[str] = (),
) -> AblationResult:
    """Cross-validate every arm and compare; a call after a kill resumes where it stopped.

    Parameters
    ----------
    cohort_file : Path
        Patients labelled ``training`` are used. A ``truth.csv`` beside it is the truth of phantoms.
    store_of : callable
        Returns the patches of the cohort with the normalisation of a configuration.
    work : Path
        Folder of the state, one subfolder per arm and seed.
    plan : Ablation
        Arms, folds, repeats.
    loader : BatchLoader
        Device and loader threads.
    progress : Progress
        Called after every epoch and check.
    without : collection of str
        Patients of the table that are left out.

    Returns
    -------
    AblationResult
        Paired differences from the reference.

    Raises
    ------
    InputError
        The cohort or the images cannot be used.
    """
    cohort, training = read_trainable(cohort_file, without)
    patients = cohort.labelled(TRAINING)
    truth_file = cohort_file.parent / TRUTH
    truth = read_truth(truth_file, patients.patient_ids) if truth_file.is_file() else None
    results: list[AblationArmResult] = []
    for number, arm in enumerate(plan.arms, start=1):
        store = store_of(cohort, arm.config)
        repeats = []
        for repeat in range(plan.n_repeats):
            # The same seeds for every arm: the folds agree, and the difference is paired over patients.
            config = replace(arm.config, seed=arm.config.seed + repeat)
            folder = work / arm.name.replace("=", "-") / f"seed-{config.seed}"
            claim_work_folder(folder, config, cohort_file, without=without)

            def arm_progress(
                stage: str, done: int, total: int, note: str, title: str = f"{number}/{len(plan.arms)} {arm.name}"
            ) -> None:
                progress(f"{title}, {stage}", done, total, note)

            repeats.append(
                cross_validate(
                    cohort, training, store, config, plan.n_folds, folder, plan.nomogram, loader, arm_progress
                )
            )
        results.append(_compared(arm, repeats, results[0] if results else None, truth))
    outcome = patients.outcome("dfs")
    return AblationResult(
        cohort=cohort_file.name,
        n=len(patients),
        n_events=int(outcome.event_observed.sum()),
        n_folds=plan.n_folds,
        n_repeats=plan.n_repeats,
        arms=tuple(results),
        oracle=None
        if truth is None
        else harrell_concordance(truth["linear_predictor"], outcome.durations_days, outcome.event_observed).value,
    )


def _compared(
    arm: AblationArm,
    repeats: Sequence[OutOfFold],
    reference: AblationArmResult | None,
    truth: Mapping[str, FloatArray] | None,
) -> AblationArmResult:
    concordance = tuple(repeat.concordance() for repeat in repeats)
    return AblationArmResult(
        arm,
        concordance,
        None if reference is None else concordance_difference(concordance, reference.concordance),
        None if truth is None else _against_truth(repeats, truth),
        float(np.mean([repeat.seconds for repeat in repeats])),
    )


def _against_truth(repeats: Sequence[OutOfFold], truth: Mapping[str, FloatArray]) -> dict[str, Any]:
    """How often the recommendation agrees with the oracle's where the true difference of 5-year DFS exceeds 5 %.

    Counts are those of the mean over repeats, so that repeats do not narrow the (exact binomial) interval.
    """
    benefit = truth["dfs_60_ict_ccrt"] - truth["dfs_60_ccrt"]
    clear = np.abs(benefit) > CLEAR_BENEFIT
    n = int(clear.sum())
    # Mean over the repeats first: pooled, the same patient would count once per repeat and narrow the interval.
    agrees = float(np.mean([np.sum((repeat.benefit > 0)[clear] == (benefit > 0)[clear]) for repeat in repeats]))
    interval = binomtest(round(agrees), n).proportion_ci() if n else None
    return {
        "agreement": agrees / n if n else None,
        "ci95": None if interval is None else [float(interval.low), float(interval.high)],
        "n": n,
        "correlation_prognostic": _correlation([repeat.scores.prognostic for repeat in repeats], truth["prognostic"]),
        "correlation_predictive": _correlation([repeat.scores.predictive for repeat in repeats], truth["predictive"]),
    }


def _correlation(scores: Sequence[FloatArray], latent: FloatArray) -> float | None:
    """Return the mean over the repeats; None where a score is the same for all patients."""
    # corrcoef would give NaN with a warning, and JSON has no NaN.
    if any(np.ptp(score) == 0 for score in scores):
        return None
    return float(np.mean([np.corrcoef(score, latent)[0, 1] for score in scores]))
