"""The paper's training in one resumable run: images and a cohort in, a verified model bundle out.

    cohort ─► patches ─► K members: three SE-ResNets ─► features ─► multi-task network ─► out-of-fold scores
                                                                        CPTDN ─► evaluation ─► bundle ◄──┘

Every part saves its state in the working folder; a run that was killed resumes where it stopped.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.3 and 2.4.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from config.arrays import BoolArray
from config.bundle_manifest import INDICATION, TEMPLATES
from config.bundle_origin import ORIGIN
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from config.trial_evidence import EFFECT
from workers.bundles.bundle import Bundle
from workers.bundles.bundle_files import (
    COMPARISON_MODELS,
    DISTRIBUTIONS,
    NOMOGRAM,
    SCORES,
    TRAINING_PATIENTS,
    WEIGHTS,
    member_prefixes,
    save_weights,
)
from workers.bundles.drift import quantiles_of
from workers.bundles.feature_distribution import FeatureDistribution
from workers.bundles.packing import pack_bundle
from workers.bundles.training_patients import write_training_patients
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram_for, write_nomogram
from workers.scores.multitask_network import SEQUENCES
from workers.scores.scoring import Scores
from workers.survival.cohort import EBV, TRAINING, Cohort
from workers.survival.cohort import SCORES as SCORE_COLUMNS
from workers.survival.comparison_models import fit_comparison_models, write_comparison_models
from workers.survival.ridge import Penalty
from workers.training.cohort_check import CohortCheck, read_trainable
from workers.training.cohort_origin import CohortOrigin, cohort_origin
from workers.training.cohort_outcomes import learned_endpoints
from workers.training.cohort_scoring import write_scores
from workers.training.cross_fitting import CrossFit, cross_fit
from workers.training.distribution_limits import ensemble_distributions
from workers.training.image_source import ImageSource
from workers.training.learning_curve import learning_curve
from workers.training.loading import ON_CPU, BatchLoader
from workers.training.model_evaluation import own_effect, unseen_performance_by_label
from workers.training.network_training import claim_work_folder, fit_training_nomogram
from workers.training.out_of_fold import out_of_fold_metrics, predict_out_of_fold
from workers.training.out_of_fold_table import write_out_of_fold
from workers.training.patch_store import build_store
from workers.training.score_scale import fit_score_scale
from workers.training.training_config import Progress, TrainingConfig
from workers.volumes.intensity import IntensityTemplate
from workers.volumes.patches import PATCH_SIZE

DEFAULT_FOLDS = 5
OUT_OF_FOLD, SCORES_TABLE = "out_of_fold.csv", "scores.csv"
INTENSITY = {
    "landmarks": "landmark histogram standardisation (Nyul), clipped to 0..2048, divided by 2048",
    "n4_landmarks": "N4 bias field correction, landmark histogram standardisation (Nyul), clipped to 0..2048, divided "
    "by 2048",
    "z_score": "z-scores of the foreground, -3 to 5 standard deviations on 0..2048, clipped, divided by 2048",
}


@dataclass(frozen=True)
class BundleDescription:
    """What the manifest says about the model.

    Attributes
    ----------
    name, version, intended_use, population : str
        Shown by ``cptdn bundle show`` and in reports.
    nomogram : Path or None
        A nomogram.json to use instead of fitting one to the training patients.
    indication : Indication
        What the bundle answers for: horizons, biomarker threshold, stage.
    penalty : float, "auto" or None
        Of a ridge-penalised fit of the nomogram.
    remembers_patients : bool
        The bundle has digests of its training patients, see `training_patients`.
    """

    name: str
    version: str = "1"
    intended_use: str = "research only, until validated at the site that uses it"
    population: str = "the site's own training cohort"
    nomogram: Path | None = None
    indication: Indication = NASOPHARYNX
    penalty: Penalty = None
    remembers_patients: bool = True


def train_bundle(
    cohort_file: Path,
    images: Callable[[Cohort], ImageSource],
    out: Path,
    work: Path,
    config: TrainingConfig,
    description: BundleDescription,
    loader: BatchLoader = ON_CPU,
    progress: Progress = lambda stage, done, total, note: None,
    n_folds: int = DEFAULT_FOLDS,
    left_out: CohortCheck | None = None,
    processes: int = 1,
) -> Bundle:
    """Train everything and write a verified bundle.

    Parameters
    ----------
    cohort_file : Path
        Patients labelled ``training`` are learned from; the others are evaluated.
    images : callable
        Cohort -> ImageSource.
    out : Path
        Folder of the bundle.
    work : Path
        Folder of checkpoints and gathered patches.
    config : TrainingConfig
        What to train.
    description : BundleDescription
        For the manifest.
    loader : BatchLoader
        Device and loader threads.
    progress : Progress
        Called after every epoch and check.
    n_folds : int
        Members of the ensemble, each trained without one fold. ``work/out_of_fold.csv`` has the scores of each patient
        by the member that had not seen the patient.
    left_out : CohortCheck, optional
        Whose unusable patients are left out; the manifest gives their numbers by reason.
    processes : int
        That read images at the same time.

    Returns
    -------
    Bundle
        Verified.

    Raises
    ------
    InputError
        The cohort or the images cannot be used.

    References
    ----------
    Zhong et al. 2021, sections 2.3 and 2.4.
    """
    # Refusals come before the hours of training: a nomogram that does not fit, a follow-up that is too short, and folds
    # without an event.
    published = None
    if description.nomogram is not None:
        published = load_nomogram_for(description.indication, description.nomogram)
    without = frozenset() if left_out is None else left_out.unusable
    horizons = description.indication.horizons_months if published is None else ()
    cohort, training = read_trainable(cohort_file, without, n_folds, horizons)
    claim_work_folder(work, config, cohort_file, n_folds, without)
    source = images(cohort)
    origin = cohort_origin(cohort_file, source.root, cohort.labelled(TRAINING).patient_ids)
    store = build_store(
        cohort.patient_ids,
        source.read_patches,
        work / "patches",
        lambda done, n: progress("images", done, n, ""),
        processes,
    )
    store = replace(store, scale=source.scale)
    fit = cross_fit(cohort, training, store, config, n_folds, work, loader, progress)
    out_of_fold, scale = fit.out_of_fold, None
    if published is not None:
        scale = fit_score_scale(cohort, fit.fold > 0, out_of_fold, published)
        fit = fit.on_scale(scale)
    unseen = predict_out_of_fold(
        cohort,
        fit.fold,
        out_of_fold,
        published,
        description.indication,
        sum(fit.seconds.values()),
        description.penalty,
    )
    write_out_of_fold(unseen, work / OUT_OF_FOLD)
    distributions, calibration = ensemble_distributions([member.features for member in fit.members], fit.fold)
    out.mkdir(parents=True, exist_ok=True)
    (out / TEMPLATES).write_text(_templates_text(source.templates), encoding="utf-8")
    member_patients = [cohort.where(training & (fit.fold != k + 1)).patient_ids for k in range(n_folds)]
    _write_members(out, fit, distributions, [source.scale.of(patients) for patients in member_patients])
    nomogram = _write_nomogram(out, cohort, training, fit, description)
    (out / COMPARISON_MODELS).unlink(missing_ok=True)
    # Beside a given nomogram they would be of other patients than it was fitted on.
    if published is None:
        _write_comparison_models(out, cohort, training, fit, nomogram)
    content = _manifest(cohort, training, fit, source, config, description, loader.device, origin)
    if scale is not None:
        content["training"]["score_scale"] = {**scale.to_json(), "of": nomogram.digest}
    content["training_data"]["left_out"] = {"n": 0, "by_reason": {}} if left_out is None else left_out.left_out
    content |= {
        "feature_distance_limit": {role: each.limit for role, each in distributions[0].items()},
        "feature_distance_calibration": calibration,
        "metrics": {
            "out_of_fold": out_of_fold_metrics(unseen),
            **unseen_performance_by_label(cohort, fit.ensemble, nomogram),
            "learning_curve": learning_curve(
                cohort,
                fit.fold,
                [member.features for member in fit.members],
                out_of_fold,
                config,
                work,
                nomogram=published,
                indication=description.indication,
                penalty=description.penalty,
                device=loader.device,
                progress=progress,
            ),
        },
        EFFECT: {"own": own_effect(cohort, training, fit.out_of_fold, nomogram)},
    }
    (out / TRAINING_PATIENTS).unlink(missing_ok=True)
    if description.remembers_patients:
        write_training_patients(
            out, {cohort.patient_ids[row]: int(fit.fold[row]) for row in np.flatnonzero(fit.fold > 0)}
        )
    inside = fit.fold > 0
    final = Scores(
        np.where(inside, fit.out_of_fold.prognostic, fit.ensemble.prognostic),
        np.where(inside, fit.out_of_fold.predictive, fit.ensemble.predictive),
    )
    write_scores(work / SCORES_TABLE, cohort.texts, final, fit.fold)
    return pack_bundle(out, content)


def _write_members(
    out: Path,
    fit: CrossFit,
    distributions: Sequence[Mapping[str, FeatureDistribution]],
    templates: Sequence[Mapping[str, IntensityTemplate]],
) -> None:
    prefixes = member_prefixes(len(fit.members))
    for prefix, member, by_role, own in zip(prefixes, fit.members, distributions, templates, strict=True):
        folder = out / prefix
        folder.mkdir(exist_ok=True)
        for role, network in member.networks.items():
            save_weights(network, folder / WEIGHTS[role])
        save_weights(member.score_network, folder / SCORES)
        tensors: dict[str, NDArray[np.float32]] = {}
        for role, distribution in by_role.items():
            tensors |= {f"{role}/mean": distribution.mean, f"{role}/precision": distribution.precision}
        save_file(tensors, folder / DISTRIBUTIONS)
        (folder / TEMPLATES).write_text(_templates_text(own), encoding="utf-8")


def _templates_text(templates: Mapping[str, IntensityTemplate]) -> str:
    return json.dumps({role: template.to_json() for role, template in templates.items()}, indent=1) + "\n"


def _write_nomogram(
    out: Path, cohort: Cohort, training: BoolArray, fit: CrossFit, description: BundleDescription
) -> CoxNomogram:
    if description.nomogram is None:
        fitted = fit_training_nomogram(
            cohort,
            training,
            fit.out_of_fold,
            f"CPTDN of {description.name}",
            description.population,
            description.indication,
            description.penalty,
        )
        write_nomogram(fitted, out)
        return fitted
    if description.nomogram.resolve() != (out / NOMOGRAM).resolve():
        shutil.copyfile(description.nomogram, out / NOMOGRAM)
    return load_nomogram_for(description.indication, out / NOMOGRAM)


def _write_comparison_models(
    out: Path, cohort: Cohort, training: BoolArray, fit: CrossFit, nomogram: CoxNomogram
) -> None:
    # The patients and scores of the nomogram's own fit, so that an evaluation compares models of equal rank.
    scores = dict(zip(SCORE_COLUMNS, (fit.out_of_fold.prognostic, fit.out_of_fold.predictive), strict=True))
    scored = replace(cohort, values={**cohort.values, **scores})
    used = training & ~np.isnan(cohort.column(EBV))
    models = fit_comparison_models(scored.where(used), f"{cohort_name(cohort)}, out-of-fold scores")
    write_comparison_models(models, nomogram.digest, out)


def _manifest(
    cohort: Cohort,
    training: BoolArray,
    fit: CrossFit,
    source: ImageSource,
    config: TrainingConfig,
    description: BundleDescription,
    device: torch.device,
    origin: CohortOrigin,
) -> dict[str, Any]:
    first = fit.members[0]
    return {
        "name": description.name,
        "version": description.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "intended_use": description.intended_use,
        "demonstration": origin.phantoms > 0,
        INDICATION: description.indication.model_dump(mode="json"),
        "training_data": {
            "description": description.population,
            "n": int(training.sum()),
            "n_dfs_events": int(cohort.outcome("dfs").event_observed[training].sum()),
            "cohort": cohort_name(cohort),
            ORIGIN: origin.to_json(),
        },
        "training": {
            "recipe": config.to_json(),
            "precision": config.precision,
            "endpoints": dict(zip(("learned", "left_out"), map(list, learned_endpoints(cohort.texts)), strict=True)),
            "members": len(fit.members),
            "scores": "the nomogram is fitted on out-of-fold scores; a patient's scores are the mean of the members'",
            "seconds": {name: round(value, 1) for name, value in fit.seconds.items()},
            "machine": machine(device),
            "epochs": {role: len(first.history[role]) for role in SEQUENCES},
            # The C-index of the watched patients: the fold that the member did not see.
            "history": {f"member-{number}": member.history for number, member in enumerate(fit.members, start=1)},
        },
        "architecture": {
            "members": len(fit.members),
            "backbone": config.backbone.to_json(),
            "scores": first.score_network.architecture.to_json(),
            "weights": "float16 matrices, float32 biases, norms and statistics",
        },
        "preprocessing": {
            "spacing_mm": source.spacing_mm,
            "patch_size": PATCH_SIZE,
            "intensity": INTENSITY[config.normalisation],
        },
        "intensity_distance_limit": {role: t.distance_limit for role, t in source.templates.items()},
        "training_distributions": _distributions(fit, source, description),
        "software": {name: version(name) for name in ("cptdn-node", "torch", "numpy", "SimpleITK", "lifelines")},
    }


def _distributions(fit: CrossFit, source: ImageSource, description: BundleDescription) -> dict[str, Any]:
    # Later studies are compared with these quantiles (workers/bundles/drift.py): unseen patients with unseen ones.
    distances = {role: t.training_distances for role, t in source.templates.items() if t.training_distances}
    inside = fit.fold > 0
    return {
        "description": description.population,
        "prognostic_score": quantiles_of(fit.out_of_fold.prognostic[inside]),
        "predictive_score": quantiles_of(fit.out_of_fold.predictive[inside]),
        "intensity_distance": {
            role: {"n": source.templates[role].n_images, "quantiles": list(at)} for role, at in distances.items()
        },
    }


def cohort_name(cohort: Cohort) -> str:
    """Return the file name of the cohort, without its folder: a manifest leaves the hospital."""
    return Path(cohort.source).name


def machine(device: torch.device) -> str:
    """Return the hardware of the training for the manifest, without naming a host."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    cores = f"{len(os.sched_getaffinity(0))} CPU cores ({platform.machine()})"
    return f"{cores}, {threads} thread{'s' if threads > 1 else ''}"
