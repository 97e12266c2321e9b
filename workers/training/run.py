"""The paper's training in one resumable run: images and a cohort in, a verified model bundle out.

    cohort ─► patches ─► three SE-ResNets ─► features ─► multi-task network ─► CPTDN ─► evaluation ─► bundle

Every part leaves its state in the working folder; a run that was killed goes on where it stood.
Source: Zhong et al., EBioMedicine 2021;70:103522, sections 2.3 and 2.4.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from config.bundle_manifest import TEMPLATES
from config.errors import InputError
from workers.bundles import (
    DISTRIBUTIONS,
    NOMOGRAM,
    SCORES,
    WEIGHTS,
    Bundle,
    load_weights,
    pack_bundle,
    save_weights,
)
from workers.drift import quantiles_of
from workers.features.se_resnet import PATCH_SIZE, SequenceNetwork
from workers.nomogram.fitting import TrainingData, fit_nomogram
from workers.nomogram.result import PatientCovariates
from workers.scores.multitask_network import SEQUENCES, MultitaskNetwork
from workers.scores.scoring import Scores, concatenated, score_many
from workers.training.cohort import EBV, TRAINING, Cohort, read_cohort, require_events
from workers.training.learning_cohort import LEARNED_ENDPOINTS, outcomes_of
from workers.training.model_evaluation import distribution_of, performance
from workers.training.patch_store import Bags, PatchStore, build_store
from workers.training.recipe import Recipe
from workers.training.sampling import held_back
from workers.training.score_training import ScoreTraining, train_scores
from workers.training.sequence_training import Progress, cohort_features, train_sequence
from workers.volumes.intensity import IntensityTemplate

IndexArray = NDArray[np.intp]
FloatArray = NDArray[np.float32]


TRAINING_ORDER = ("CE-T1w", "T1w", "T2w")


@dataclass(frozen=True)
class Description:
    """What the manifest will say about the model.

    nomogram : a nomogram.json to keep instead of fitting one to the training patients.
    """

    name: str
    version: str = "1"
    intended_use: str = "research only, until validated at the site that uses it"
    demonstration: bool = False
    population: str = "the site's own training cohort"
    nomogram: Path | None = None


@dataclass(frozen=True)
class ImageSource:
    """Where patches come from: one reader for all patients, the templates and spacing they were made with."""

    bags_of: Callable[[str], Bags]
    templates: Mapping[str, IntensityTemplate]
    spacing_mm: float


@dataclass(frozen=True)
class Learned:
    """What a run leaves before it is packed."""

    networks: Mapping[str, SequenceNetwork]
    score_network: MultitaskNetwork
    features: Mapping[str, FloatArray]
    scores: Scores
    seconds: Mapping[str, float]
    history: Mapping[str, Any] = field(default_factory=dict)


def train_bundle(
    cohort_file: Path,
    images: Callable[[Cohort], ImageSource],
    out: Path,
    work: Path,
    recipe: Recipe,
    description: Description,
    device: str = "cpu",
    progress: Progress = lambda stage, done, total, note: None,
) -> Bundle:
    """Train everything and write a verified bundle.

    images : makes the reader of patches for the patients of the cohort. work : checkpoints and gathered patches.
    Raises InputError with one sentence for a cohort or images that cannot be learned from.
    """
    began = time.time()
    cohort = read_cohort(cohort_file, need_scores=False, endpoints=LEARNED_ENDPOINTS)
    training = np.array([label == TRAINING for label in cohort.labels])
    require_events(cohort.labelled(TRAINING), "dfs")
    _same_recipe(work, recipe)
    source = images(cohort)
    store = build_store(
        cohort.patient_ids, source.bags_of, work / "patches", lambda done, n: progress("images", done, n, "")
    )
    learned = learn(cohort, training, store, recipe, work, torch.device(device), progress)
    out.mkdir(parents=True, exist_ok=True)
    _write_parts(out, learned, source, store, cohort, training, description)
    content = _manifest(cohort, training, learned, source, recipe, description, out, device, began)
    return pack_bundle(out, content)


def learn(
    cohort: Cohort,
    training: NDArray[np.bool_],
    store: PatchStore,
    recipe: Recipe,
    work: Path,
    device: torch.device,
    progress: Progress,
) -> Learned:
    """The three SE-ResNets, then the multi-task network; weights are rounded as the bundle keeps them."""
    outcomes = outcomes_of({name: list(column) for name, column in cohort.texts.items()})
    events = outcomes.event_observed[:, LEARNED_ENDPOINTS.index("dfs")].numpy()
    rows = np.flatnonzero(training)
    held = held_back(events[rows], cohort.treated[rows], recipe.validation_share, np.random.default_rng(recipe.seed))
    inside, outside = rows[~held], rows[held]
    networks, features, seconds, history = {}, {}, {}, {}
    first: SequenceNetwork | None = None
    for role in TRAINING_ORDER:
        run = train_sequence(
            store, role, outcomes, inside, outside, recipe, work / WEIGHTS[role], device, first, progress
        )
        first = first or (deepcopy(run.network) if recipe.transfer else None)
        networks[role] = _rounded(run.network, work / f"rounded-{WEIGHTS[role]}")
        features[role] = _kept_features(store, role, networks[role], device, work)
        seconds[role], history[role] = run.seconds, run.history
    trained = train_scores(concatenated(features), outcomes, inside, outside, recipe, work / SCORES, progress)
    score_network = _rounded(trained.network, work / f"rounded-{SCORES}")
    seconds["scores"], history["scores"] = trained.seconds, _thinned(trained)
    return Learned(networks, score_network, features, score_many(features, score_network), seconds, history)


def _thinned(run: ScoreTraining) -> list[dict[str, float]]:
    return run.history[:: max(1, len(run.history) // 20)]


def _rounded(network: Any, path: Path) -> Any:
    """The network with its weights as a bundle keeps them, so that what is measured is what is shipped."""
    save_weights(network, path)
    load_weights(network, path)
    return network


def _kept_features(
    store: PatchStore, role: str, network: SequenceNetwork, device: torch.device, work: Path
) -> FloatArray:
    path = work / f"features-{role}.npy"
    if path.is_file():
        found: FloatArray = np.load(path, allow_pickle=False)
        return found
    features = cohort_features(store, role, network, device)
    aside = path.with_suffix(".part.npy")
    np.save(aside, features, allow_pickle=False)
    aside.replace(path)
    return features


def _same_recipe(work: Path, recipe: Recipe) -> None:
    """A working folder belongs to one recipe: resuming another one would mix two trainings."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "recipe.json"
    wanted = json.loads(json.dumps(recipe.to_json()))
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in wanted if found.get(name) != wanted[name]]
        if changed:
            raise InputError(
                f"{work} holds a training with {changed[0]} = {found.get(changed[0])!r}, expected "
                f"{wanted[changed[0]]!r}: choose another working folder, or remove this one"
            )
    path.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def _write_parts(
    out: Path,
    learned: Learned,
    source: ImageSource,
    store: PatchStore,
    cohort: Cohort,
    training: NDArray[np.bool_],
    description: Description,
) -> None:
    for role, network in learned.networks.items():
        save_weights(network, out / WEIGHTS[role])
    save_weights(learned.score_network, out / SCORES)
    tensors: dict[str, NDArray[np.float32]] = {}
    for role, features in learned.features.items():
        found = distribution_of(features[training])
        tensors |= {f"{role}/mean": found.mean, f"{role}/precision": found.precision}
    save_file(tensors, out / DISTRIBUTIONS)
    templates = {role: template.to_json() for role, template in source.templates.items()}
    (out / TEMPLATES).write_text(json.dumps(templates, indent=1) + "\n", encoding="utf-8")
    if description.nomogram is None:
        _write_nomogram(out, cohort, training, learned.scores, description)
    elif description.nomogram.resolve() != (out / NOMOGRAM).resolve():
        shutil.copyfile(description.nomogram, out / NOMOGRAM)


def _write_nomogram(
    out: Path, cohort: Cohort, training: NDArray[np.bool_], scores: Scores, description: Description
) -> None:
    """The CPTDN on the training patients whose EBV DNA is known."""
    ebv = cohort.column(EBV)
    used = training & ~np.isnan(ebv)
    outcome = cohort.outcome("dfs")
    covariates = PatientCovariates(
        cohort.column("age_years")[used], ebv[used], scores.prognostic[used], scores.predictive[used]
    )
    data = TrainingData(covariates, cohort.treated[used], outcome.durations_days[used], outcome.event_observed[used])
    fitted = fit_nomogram(data, name=f"CPTDN of {description.name}", population=description.population)
    text = json.dumps(fitted.nomogram.document, indent=1, ensure_ascii=False) + "\n"
    (out / NOMOGRAM).write_text(text, encoding="utf-8")


def _manifest(
    cohort: Cohort,
    training: NDArray[np.bool_],
    learned: Learned,
    source: ImageSource,
    recipe: Recipe,
    description: Description,
    out: Path,
    device: str,
    began: float,
) -> dict[str, Any]:
    limits = {role: distribution_of(features[training]).limit for role, features in learned.features.items()}
    return {
        "name": description.name,
        "version": description.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "intended_use": description.intended_use,
        "demonstration": description.demonstration,
        "training_data": {
            "description": description.population,
            "n": int(training.sum()),
            "n_dfs_events": int(cohort.outcome("dfs").event_observed[training].sum()),
            "cohort": cohort_name(cohort),
        },
        "training": {
            "recipe": recipe.to_json(),
            "seconds": {name: round(value, 1) for name, value in learned.seconds.items()},
            "machine": machine(device),
            "epochs": {role: len(learned.history[role]) for role in SEQUENCES},
            "history": learned.history,
        },
        "metrics": performance(cohort, learned.scores, out / NOMOGRAM),
        "architecture": {
            "backbone": recipe.backbone.to_json(),
            "scores": learned.score_network.architecture.to_json(),
            "weights": "float16 matrices, float32 biases, norms and statistics",
        },
        "preprocessing": {
            "spacing_mm": source.spacing_mm,
            "patch_size": PATCH_SIZE,
            "intensity": "landmark histogram standardisation (Nyul), clipped to 0..2048, divided by 2048",
        },
        "intensity_distance_limit": {role: t.distance_limit for role, t in source.templates.items()},
        "feature_distance_limit": limits,
        "training_distributions": _distributions(learned, training, source, description),
        "software": {name: version(name) for name in ("cptdn-node", "torch", "numpy", "SimpleITK", "lifelines")},
    }


def _distributions(
    learned: Learned, training: NDArray[np.bool_], source: ImageSource, description: Description
) -> dict[str, Any]:
    """Scores and intensities of the training patients: do later studies look like them (workers/drift.py)?"""
    distances = {role: t.training_distances for role, t in source.templates.items() if t.training_distances}
    return {
        "description": description.population,
        "prognostic_score": quantiles_of(learned.scores.prognostic[training]),
        "predictive_score": quantiles_of(learned.scores.predictive[training]),
        "intensity_distance": {
            role: {"n": source.templates[role].n_images, "quantiles": list(at)} for role, at in distances.items()
        },
    }


def cohort_name(cohort: Cohort) -> str:
    return Path(cohort.source).name


def machine(device: str) -> str:
    """What trained: for the manifest, without naming a host."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{len(os.sched_getaffinity(0))} CPU cores ({platform.machine()}), {torch.get_num_threads()} threads"
