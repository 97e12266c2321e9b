"""The table of out-of-fold scores, for ``cptdn nomogram evaluate``."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from config.atomic_files import replacing
from workers.training.out_of_fold import OutOfFold


def write_out_of_fold(predictions: OutOfFold, path: Path) -> None:
    """Write the patients with their out-of-fold scores in place of any others, for ``cptdn nomogram evaluate``."""
    added = {
        "prognostic_score": predictions.scores.prognostic,
        "predictive_score": predictions.scores.predictive,
        "fold": predictions.fold,
        "out_of_fold_linear_predictor": predictions.linear_predictor,
        f"out_of_fold_dfs_difference_{predictions.horizon_months}": predictions.benefit,
    }
    texts = {name: column for name, column in predictions.cohort.texts.items() if name not in added}
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*texts, *added])
        for row in range(len(predictions.cohort)):
            numbers = ["" if np.isnan(column[row]) else f"{column[row]:.6g}" for column in added.values()]
            writer.writerow([*(column[row] for column in texts.values()), *numbers])
