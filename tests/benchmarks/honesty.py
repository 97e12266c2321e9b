"""Honesty of a trained model: what it promises beside what it keeps, on phantoms whose truth is known.

Ensembles are trained on feature phantoms of the size of the published training cohort and measured on 2,000 unseen
phantoms each. The peer is the same networks with a nomogram on in-sample scores, as the paper fits it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.measuring import Options, Result
from workers.phantoms.honesty import feature_honesty
from workers.training.training_config import TrainingConfig
from workers.validation.abstention import ABSTENTION_GOAL, WRONG_GOAL

N = 684  # the published training cohort
SEEDS = (101, 102, 103, 104, 105)  # no choice of the program was made on these
CONFIG = TrainingConfig(scores_width=0.25)
GOALS = {  # name -> (lowest, highest)
    "calibration slope": (0.85, 1.15),
    "interval of the difference covers": (0.92, 0.98),
    "interval of ICT+CCRT covers": (0.92, 0.98),
    "interval of CCRT covers": (0.92, 0.98),
    "agreement": (0.80, 1.0),
    "C-index minus the oracle's": (-0.10, 1.0),
    "wrong among firm answers": (0.0, WRONG_GOAL),
    "abstention": (0.0, ABSTENTION_GOAL),
}


def run(options: Options) -> Result:
    """Return slope, coverage, discrimination and agreement of five trainings, cross-fitted beside in-sample."""
    result = Result("honesty")
    seeds = SEEDS[:1] if options.quick else SEEDS
    measured = [feature_honesty(N, seed, CONFIG, n_unseen=500 if options.quick else 2000) for seed in seeds]
    for way, title in (("cross_fitted", "ours, cross-fitted"), ("in_sample", "nomogram on in-sample scores")):
        for name, values in _figures([each[way] for each in measured]).items():
            result.figure(f"{title}: {name}", values, "")
            if way == "cross_fitted" and name in GOALS:
                result.within(f"{name} (mean of {len(seeds)})", float(np.mean(values)), *GOALS[name])
    return result


def _figures(runs: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {
        "calibration slope": [each["calibration_slope"] for each in runs],
        "interval of the difference covers": [each["coverage"]["difference"] for each in runs],
        "interval of ICT+CCRT covers": [each["coverage"]["ICT+CCRT"] for each in runs],
        "interval of CCRT covers": [each["coverage"]["CCRT"] for each in runs],
        "C-index": [each["c_index"] for each in runs],
        "C-index minus the oracle's": [each["c_index"] - each["oracle_c_index"] for each in runs],
        "agreement": [each["agreement"] for each in runs],
        "abstention": [each["abstention"] for each in runs],
        "firm answers": [each["firm"] for each in runs],
        "wrong among firm answers": [each["wrong_of_firm"] or 0.0 for each in runs],
        "answered with at most 2 % wrong, the surest first": [each["answered_at_2_percent_wrong"] for each in runs],
        "wrong of the surest 70 %": [each["wrong_by_share_answered"]["0.7"] for each in runs],
    }
