"""The paper's training in one resumable run: images and a cohort in, a verified model bundle out.

    cohort ─► patches ─► three SE-ResNets ─► features ─► multi-task network ─► CPTDN ─► evaluation ─► bundle

Every part saves its state in the working folder; a run that was killed resumes where it stopped.

References: Zhong et al., EBioMedicine 2021;70:103522, sections 2.3 and 2.4.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from config.bundle_manifest import INDICATION, TEMPLATES
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from workers.bundles.bundle import Bundle
from workers.bundles.bundle_files import DISTRIBUTIONS, NOMOGRAM, SCORES, WEIGHTS, save_weights
from workers.bundles.drift import quantiles_of
from workers.bundles.packing import pack_bundle
from workers.nomogram.nomogram_file import load_nomogram_for, write_nomogram
from workers.scores.multitask_network import SEQUENCES
from workers.survival.cohort import TRAINING, Cohort, read_cohort, require_events, require_follow_up
from workers.training.cohort_outcomes import OUTCOME_ENDPOINTS
from workers.training.cross_validation import cross_validate, out_of_fold_metrics, require_folds, write_out_of_fold
from workers.training.image_source import ImageSource
from workers.training.loading import ON_CPU, BatchLoader
from workers.training.model_evaluation import performance
from workers.training.network_training import TrainedNetworks, claim_work_folder, fit_training_nomogram, train_networks
from workers.training.patch_store import build_store
from workers.training.training_config import Progress, TrainingConfig
from workers.volumes.patches import PATCH_SIZE

OUT_OF_FOLD = "out_of_fold.csv"
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
    demonstration : bool
        Every report is marked as a demonstration.
    nomogram : Path or None
        A nomogram.json to use instead of fitting one to the training patients.
    indication : Indication
        What the bundle answers for: horizons, biomarker threshold, stage.
    """

    name: str
    version: str = "1"
    intended_use: str = "research only, until validated at the site that uses it"
    demonstration: bool = False
    population: str = "the site's own training cohort"
    nomogram: Path | None = None
    indication: Indication = NASOPHARYNX


def train_bundle(
    cohort_file: Path,
    images: Callable[[Cohort], ImageSource],
    out: Path,
    work: Path,
    config: TrainingConfig,
    description: BundleDescription,
    loader: BatchLoader = ON_CPU,
    progress: Progress = lambda stage, done, total, note: None,
    n_folds: int = 0,
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
        Also cross-validate; the result is in the manifest, the scores are in ``work/out_of_fold.csv``. 0: not.

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
    cohort = read_cohort(cohort_file, need_scores=False, endpoints=OUTCOME_ENDPOINTS)
    training = np.array([label == TRAINING for label in cohort.labels])
    require_events(cohort.labelled(TRAINING), "dfs")
    if n_folds:
        require_folds(cohort, training, n_folds)  # the cross-validation comes last: refuse before hours of training
    # Refusals come before the hours of training: a nomogram that does not fit and a follow-up that is too short.
    published = None
    if description.nomogram is None:
        days = cohort.outcome("dfs").durations_days[training]
        require_follow_up(days, description.indication.horizons_months, cohort.source)
    else:
        published = load_nomogram_for(description.indication, description.nomogram)
    claim_work_folder(work, config, cohort_file)
    source = images(cohort)
    store = build_store(
        cohort.patient_ids, source.read_patches, work / "patches", lambda done, n: progress("images", done, n, "")
    )
    trained = train_networks(cohort, training, store, config, work, loader, progress)
    checked = None
    if n_folds:
        checked = cross_validate(
            cohort, training, store, config, n_folds, work, published, loader, progress, description.indication
        )
        write_out_of_fold(checked, work / OUT_OF_FOLD)
    out.mkdir(parents=True, exist_ok=True)
    _write_parts(out, trained, source, cohort, training, description)
    content = _manifest(cohort, training, trained, source, config, description, out, loader.device)
    if checked is not None:
        content["metrics"]["out_of_fold"] = out_of_fold_metrics(checked)
    return pack_bundle(out, content)


def _write_parts(
    out: Path,
    trained: TrainedNetworks,
    source: ImageSource,
    cohort: Cohort,
    training: NDArray[np.bool_],
    description: BundleDescription,
) -> None:
    for role, network in trained.networks.items():
        save_weights(network, out / WEIGHTS[role])
    save_weights(trained.score_network, out / SCORES)
    tensors: dict[str, NDArray[np.float32]] = {}
    for role, distribution in trained.distributions(training)[0].items():
        tensors |= {f"{role}/mean": distribution.mean, f"{role}/precision": distribution.precision}
    save_file(tensors, out / DISTRIBUTIONS)
    templates = {role: template.to_json() for role, template in source.templates.items()}
    (out / TEMPLATES).write_text(json.dumps(templates, indent=1) + "\n", encoding="utf-8")
    if description.nomogram is None:
        name = f"CPTDN of {description.name}"
        fitted = fit_training_nomogram(
            cohort, training, trained.scores, name, description.population, description.indication
        )
        write_nomogram(fitted, out)
    elif description.nomogram.resolve() != (out / NOMOGRAM).resolve():
        shutil.copyfile(description.nomogram, out / NOMOGRAM)


def _manifest(
    cohort: Cohort,
    training: NDArray[np.bool_],
    trained: TrainedNetworks,
    source: ImageSource,
    config: TrainingConfig,
    description: BundleDescription,
    out: Path,
    device: torch.device,
) -> dict[str, Any]:
    distributions, calibration = trained.distributions(training)
    return {
        "name": description.name,
        "version": description.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "intended_use": description.intended_use,
        "demonstration": description.demonstration,
        INDICATION: description.indication.model_dump(mode="json"),
        "training_data": {
            "description": description.population,
            "n": int(training.sum()),
            "n_dfs_events": int(cohort.outcome("dfs").event_observed[training].sum()),
            "cohort": cohort_name(cohort),
        },
        "training": {
            "recipe": config.to_json(),
            "seconds": {name: round(value, 1) for name, value in trained.seconds.items()},
            "machine": machine(device),
            "epochs": {role: len(trained.history[role]) for role in SEQUENCES},
            "history": trained.history,
        },
        "metrics": performance(cohort, trained.scores, out / NOMOGRAM),
        "architecture": {
            "backbone": config.backbone.to_json(),
            "scores": trained.score_network.architecture.to_json(),
            "weights": "float16 matrices, float32 biases, norms and statistics",
        },
        "preprocessing": {
            "spacing_mm": source.spacing_mm,
            "patch_size": PATCH_SIZE,
            "intensity": INTENSITY[config.normalisation],
        },
        "intensity_distance_limit": {role: t.distance_limit for role, t in source.templates.items()},
        "feature_distance_limit": {role: distribution.limit for role, distribution in distributions.items()},
        "feature_distance_calibration": calibration,
        "training_distributions": _distributions(trained, training, source, description),
        "software": {name: version(name) for name in ("cptdn-node", "torch", "numpy", "SimpleITK", "lifelines")},
    }


def _distributions(
    trained: TrainedNetworks, training: NDArray[np.bool_], source: ImageSource, description: BundleDescription
) -> dict[str, Any]:
    # Later studies are compared with these quantiles (workers/bundles/drift.py).
    distances = {role: t.training_distances for role, t in source.templates.items() if t.training_distances}
    return {
        "description": description.population,
        "prognostic_score": quantiles_of(trained.scores.prognostic[training]),
        "predictive_score": quantiles_of(trained.scores.predictive[training]),
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
