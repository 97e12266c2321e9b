"""Manifests of sound and of absurd models, made without training: figures over the files of the shipped bundle."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.bundle_manifest import MANIFEST
from config.settings import BUNDLES
from workers.bundles.packing import pack_bundle

SOUND_PERFORMANCE: dict[str, Any] = {
    "n": 684, "n_events": 107, "events_by_arm": {"CCRT": 53, "ICT+CCRT": 54},
    "c_index": {
        "all": {"value": 0.754, "ci95": [0.705, 0.802]}, "CCRT": {"value": 0.76, "ci95": [0.69, 0.83]},
        "ICT+CCRT": {"value": 0.74, "ci95": [0.67, 0.81]},
    },
    "calibration_slope": {"value": 0.96, "ci95": [0.78, 1.15]},
}  # fmt: skip


def sound_manifest() -> dict[str, Any]:
    """The manifest of a model of 684 patients that meets every rule and agrees with the trials."""
    quantiles = {"n": 684, "quantiles": [-0.9, 0.0, 0.9]}
    return {
        "name": "sound", "version": "1", "intended_use": "clinical use at the site", "demonstration": False,
        "training_data": {
            "description": "patients of the site", "n": 684, "n_dfs_events": 107,
            "origin": {"patients": 684, "phantoms": 0},
        },
        "cox_model": {"parameters": 6, "n": 684, "events": 107, "widest_hazard_ratio": 21.2},
        "metrics": {"out_of_fold": copy.deepcopy(SOUND_PERFORMANCE)},
        "training_distributions": {"prognostic_score": quantiles, "predictive_score": quantiles},
        "effect": {"own": {"mean": 0.081, "ci95": [0.035, 0.127], "n": 684}},
    }  # fmt: skip


def with_figures(**changes: Any) -> dict[str, Any]:
    """The sound manifest with other figures out of fold; None removes one."""
    content = sound_manifest()
    figures = {**content["metrics"]["out_of_fold"], **changes}
    content["metrics"]["out_of_fold"] = {name: value for name, value in figures.items() if value is not None}
    return content


def c_index(value: float, low: float, high: float) -> dict[str, Any]:
    return {"all": {"value": value, "ci95": [low, high]}}


def admit(bundle: Path) -> Path:
    """Pack a tiny bundle of the tests again with the figures of a sound model, so that the program computes with it.

    What such a bundle predicts is noise; the tests that use it are about the program around the numbers.
    """
    content = json.loads((bundle / MANIFEST).read_text())
    metrics = {"out_of_fold": SOUND_PERFORMANCE}
    pack_bundle(bundle, {**content, "metrics": metrics})
    return bundle


def linked_bundle(folder: Path, changes: Mapping[str, Any]) -> Path:
    """A bundle with the files of the shipped one, by links, whose manifest differs."""
    shipped = BUNDLES / "demonstration"
    folder.mkdir(parents=True)
    for path in shipped.rglob("*"):
        target = folder / path.relative_to(shipped)
        if path.is_dir():
            target.mkdir()
        elif path.name != MANIFEST:
            target.symlink_to(path)
    content = json.loads((shipped / MANIFEST).read_text())
    document = {**content, **changes}
    (folder / MANIFEST).write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    return folder


def _without_interval() -> dict[str, Any]:
    return with_figures(c_index=c_index(0.8, 0.8, 0.8))


def _eight_events() -> dict[str, Any]:
    content = with_figures(
        n=40, n_events=8, events_by_arm={"CCRT": 1, "ICT+CCRT": 7}, c_index=c_index(0.62, 0.38, 0.86)
    )
    content["training_data"].update(n=40, n_dfs_events=8, description="40 phantoms",
                                    origin={"patients": 0, "phantoms": 40})  # fmt: skip
    content["cox_model"] = {"parameters": 6, "n": 40, "events": 8, "widest_hazard_ratio": 4.2e9}
    # The interval of the report: -165.5 to +54.1 points.
    content["effect"]["own"] = {"mean": -0.557, "ci95": [-1.655, 0.541], "n": 40}
    return content


def _six_per_parameter() -> dict[str, Any]:
    content = with_figures(events_by_arm={"CCRT": 18, "ICT+CCRT": 18}, n_events=36)
    content["cox_model"].update(events=36)
    return content


def _in_sample_only() -> dict[str, Any]:
    content = sound_manifest()
    content["metrics"] = {"training": {"all": 0.94, "CCRT": 0.95, "ICT+CCRT": 0.93, "n": 684, "n_events": 107}}
    return content


def _constant_scores() -> dict[str, Any]:
    content = with_figures(c_index=c_index(0.5, 0.44, 0.56))
    content["training_distributions"]["predictive_score"] = {"n": 684, "quantiles": [0.01, 0.01, 0.01]}
    return content


def _stripped_phantoms() -> dict[str, Any]:
    content = sound_manifest()
    del content["training_data"]["origin"]
    return content


def _trial_contradicted() -> dict[str, Any]:
    content = sound_manifest()
    content["effect"]["own"] = {"mean": -0.024, "ci95": [-0.081, 0.033], "n": 684}
    return content


# The models of the issue: announced 0.833 and unseen 0.654 with a slope of 0.5; 100 patients that taught nothing; 40
# phantoms with 8 events.
REFUSED = {
    "100 patients, nothing learned": (
        lambda: with_figures(
            n=100, n_events=31, events_by_arm={"CCRT": 15, "ICT+CCRT": 16}, c_index=c_index(0.535, 0.431, 0.639)
        ),
        {"no_discrimination"},
    ),
    "40 phantoms with 8 events": (
        _eight_events,
        {"events_per_parameter", "no_discrimination", "events_in_arm", "degenerate_interval"},
    ),
    "one arm without events": (
        lambda: with_figures(events_by_arm={"CCRT": 0, "ICT+CCRT": 107}),
        {"events_in_arm"},
    ),
    "constant scores": (_constant_scores, {"constant_scores", "no_discrimination"}),
    "figures of seen patients only": (_in_sample_only, {"no_unseen_figures"}),
    "C 0.52 with a wide interval": (lambda: with_figures(c_index=c_index(0.52, 0.36, 0.68)), {"no_discrimination"}),
    "C below 0.5": (lambda: with_figures(c_index=c_index(0.31, 0.22, 0.40)), {"no_discrimination"}),
    "an interval without width": (_without_interval, {"degenerate_interval"}),
    "stripped phantom marks": (_stripped_phantoms, {"origin_not_stated"}),
    "stripped slope": (lambda: with_figures(calibration_slope=None), {"unseen_figures_incomplete"}),
}
MARKED = {
    "announced 0.833, unseen 0.654, slope 0.5": (
        lambda: with_figures(
            n=600, n_events=89, events_by_arm={"CCRT": 45, "ICT+CCRT": 44}, c_index=c_index(0.654, 0.592, 0.716),
            calibration_slope={"value": 0.50, "ci95": [0.31, 0.69]},
        ),
        {"calibration_slope"},
    ),
    "slope 0.3": (lambda: with_figures(calibration_slope={"value": 0.3, "ci95": [0.1, 0.5]}), {"calibration_slope"}),
    "6 events per parameter": (_six_per_parameter, {"events_per_parameter"}),
}  # fmt: skip
CONTRADICTED = _trial_contradicted
