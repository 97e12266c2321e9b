"""Calibration of a finished bundle on patients that its networks did not learn from.

Limits of plausibility come from the measures of these patients, those of intensities and of deep features from their
distances to the training's templates and distribution. Networks, landmarks and nomogram stay as they are, so no score
changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.atomic_files import write_atomically
from config.bundle_manifest import TEMPLATES
from workers.bundles.bundle import Bundle
from workers.bundles.bundle_files import PLAUSIBILITY
from workers.bundles.packing import pack_bundle
from workers.hostile.study_volumes import StudyVolumes, prepare_volumes
from workers.pipeline.computation import extract_study_features
from workers.plausibility.limits import PlausibilityLimits, calibrate
from workers.plausibility.measures import study_measures
from workers.training.distribution_limits import (
    FALSE_ALARM_RATE,
    calibration_document,
    conformal_quantile,
    joint_limits,
)


@dataclass(frozen=True)
class Measured:
    """Measures of calibration patients, and by role the distances of their intensities and of their features."""

    measures: list[dict[str, float]]
    intensities: dict[str, FloatArray]
    features: dict[str, FloatArray]


def measure_patients(
    studies: Iterable[StudyVolumes], bundle: Bundle, device: str = "cpu", progress: Callable[[], None] = lambda: None
) -> Measured:
    """Measure patients one after the other.

    Parameters
    ----------
    studies : iterable of StudyVolumes
        Patients that the networks did not learn from.
    bundle : Bundle
        Its preprocessing and networks.
    device : str
        As in the settings.
    progress : callable
        Called after every patient.

    Returns
    -------
    Measured
        In the order of the patients.
    """
    measures: list[dict[str, float]] = []
    intensities: dict[str, list[float]] = {role: [] for role in bundle.templates}
    features: dict[str, list[float]] = {role: [] for role in bundle.templates}
    for study in studies:
        prepared = prepare_volumes(study, bundle)
        measures.append(study_measures(prepared))
        extracted = extract_study_features([prepared], bundle, device)
        for role in prepared:
            intensities[role.value].append(prepared[role].landmark_distance)
            features[role.value].append(bundle.feature_distance(role.value, extracted.of_study(role, 0)))
        progress()
    return Measured(
        measures,
        {role: np.array(values) for role, values in intensities.items()},
        {role: np.array(values) for role, values in features.items()},
    )


def plausible_bundle(
    bundle: Bundle, studies: Iterable[StudyVolumes], description: Mapping[str, Any], progress: Callable[[], None]
) -> Bundle:
    """Write limits of plausibility from the training patients themselves into a new bundle, and pack it again.

    Parameters
    ----------
    bundle : Bundle
        In a folder that can be written to.
    studies : iterable of StudyVolumes
        Whole series of the training patients; the networks play no part in these measures.
    description : mapping
        Whose measures they are.
    progress : callable
        Called after every patient.

    Returns
    -------
    Bundle
        Verified.

    Raises
    ------
    ModelBundleError
        Too few patients.
    """
    measures = []
    for study in studies:
        measures.append(study_measures(prepare_volumes(study, bundle)))
        progress()
    _write_limits(bundle, calibrate(measures, description))
    return pack_bundle(bundle.folder, _content(bundle))


def _write_limits(bundle: Bundle, limits: PlausibilityLimits) -> None:
    document = json.dumps(limits.to_json(), indent=1, ensure_ascii=False)
    write_atomically(bundle.folder / PLAUSIBILITY, document + "\n")


def _content(bundle: Bundle) -> dict[str, Any]:
    """Return the manifest without the digests of the files, which packing writes anew."""
    return {key: value for key, value in bundle.manifest.content.items() if key != "files"}


def calibrated_bundle(
    bundle: Bundle, measured: Measured, description: Mapping[str, Any], rate: float = FALSE_ALARM_RATE
) -> Bundle:
    """Write the limits into a bundle and pack it again.

    Parameters
    ----------
    bundle : Bundle
        In a folder that can be written to.
    measured : Measured
        From `measure_patients`.
    description : mapping
        Whose measures they are, for plausibility.json and the manifest.
    rate : float
        Stated false-alarm rate of the intensities, and of the deep features, of a study with all its series.

    Returns
    -------
    Bundle
        Verified; signatures of the earlier manifest are removed.

    Raises
    ------
    ModelBundleError
        Too few patients.
    """
    limits: PlausibilityLimits = calibrate(measured.measures, description)
    _write_limits(bundle, limits)
    intensity_limits = _intensity_limits(bundle, measured, rate)
    templates = {
        role: replace(template, distance_limit=intensity_limits[role]).to_json()
        for role, template in bundle.templates.items()
    }
    write_atomically(bundle.folder / TEMPLATES, json.dumps(templates, indent=1) + "\n")
    how = "distances of patients that the networks did not learn from"
    calibration = {
        **calibration_document(len(measured.measures), rate, how), "patients": dict(description)
    }  # fmt: skip
    content = {
        **_content(bundle),
        "intensity_distance_limit": intensity_limits,
        "intensity_distance_calibration": calibration,
        "feature_distance_limit": joint_limits(measured.features, rate),
        "feature_distance_calibration": calibration,
    }
    return pack_bundle(bundle.folder, content)


def _intensity_limits(bundle: Bundle, measured: Measured, rate: float) -> dict[str, float]:
    """Return the limits of the intensities, in the ratio that the training gave them and not below those."""
    present = {role: template.distance_limit for role, template in bundle.templates.items()}
    relative = np.max([measured.intensities[role] / limit for role, limit in present.items()], axis=0)
    factor = max(1.0, conformal_quantile(relative, rate))
    return {role: factor * limit for role, limit in present.items()}
