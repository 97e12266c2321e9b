"""Drift: do the studies that come in look like those the model was trained on?

For both scores and for each sequence's intensity distance, the newest results are compared with the training patients
by the two-sample Kolmogorov-Smirnov statistic D, the largest vertical distance of both distribution functions. The
training side is kept in the bundle's manifest as 101 quantiles with their n (`training_distributions`).

A shift is named only where it is both unlikely to be chance (p < 0.01, five looks at once) and large enough to matter
(D > 0.15): with many patients every difference is "significant", with few none is.
Source: Hodges, Arkiv foer Matematik 1958;3:469-486 (asymptotic distribution of D).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kstwobign
from sqlalchemy import select

from config.arrays import FloatArray
from config.bundle_manifest import read_manifest
from config.indication.nasopharynx import NASOPHARYNX
from node.ledger.database import Ledger
from node.ledger.tables import Case, Job, Report

FEWEST = 20  # below this, nothing is said
UNLIKELY, MATTERS = 0.01, 0.15
NEWEST = 500
PROBABILITIES = np.linspace(0, 1, 101)
SCORES = ("prognostic_score", "predictive_score")
ROLES = tuple(role.value for role in NASOPHARYNX.series_roles)

Verdict = Literal["too_few", "as_training", "shifted"]


@dataclass(frozen=True)
class Drift:
    """One quantity: training and incoming quantiles (10, 25, 50, 75, 90 %), D, p and what follows from them."""

    quantity: str
    n: int
    n_training: int
    training: tuple[float, ...]
    incoming: tuple[float, ...]
    statistic: float | None
    p_value: float | None
    verdict: Verdict


def quantiles_of(values: ArrayLike) -> dict[str, Any]:
    """What a manifest keeps of one training distribution."""
    found = np.asarray(values, dtype=np.float64)
    return {"n": int(found.size), "quantiles": [round(float(q), 5) for q in np.quantile(found, PROBABILITIES)]}


def compare(quantity: str, training: Mapping[str, Any], values: Sequence[float]) -> Drift:
    """One quantity's newest values beside its training distribution (as `quantiles_of` keeps it)."""
    at = np.asarray(training["quantiles"], dtype=np.float64)
    n_training, n = int(training["n"]), len(values)
    shown = tuple(round(float(q), 4) for q in np.interp(SHOWN, PROBABILITIES, at))
    if n < FEWEST:
        return Drift(quantity, n, n_training, shown, (), None, None, "too_few")
    sample = np.sort(np.asarray(values, dtype=np.float64))
    statistic = ks_statistic(at, sample)
    p_value = float(kstwobign.sf(statistic * np.sqrt(n * n_training / (n + n_training))))
    shifted = p_value < UNLIKELY and statistic > MATTERS
    incoming = tuple(round(float(q), 4) for q in np.quantile(sample, SHOWN))
    return Drift(
        quantity, n, n_training, shown, incoming, round(statistic, 4), round(p_value, 6),
        "shifted" if shifted else "as_training",
    )  # fmt: skip


SHOWN = (0.1, 0.25, 0.5, 0.75, 0.9)


def ks_statistic(training_quantiles: FloatArray, sample: FloatArray) -> float:
    """D between the distribution that has these 101 quantiles and a sorted sample (n,)."""
    expected = np.interp(sample, training_quantiles, PROBABILITIES, left=0.0, right=1.0)
    ranks = np.arange(len(sample) + 1) / len(sample)
    return float(np.max(np.maximum(np.abs(ranks[1:] - expected), np.abs(ranks[:-1] - expected))))


def drift_of(ledger: Ledger, bundle: str) -> dict[str, Any]:
    """All quantities for the newest current results of this bundle; `quantities` is empty where it keeps none."""
    manifest = read_manifest(bundle)
    training = manifest.content.get("training_distributions") or {}
    with ledger.begin() as session:
        rows = session.execute(
            select(Report.result, Job.result)
            .join(Case, Case.current_report_id == Report.id)
            .join(Job, Job.id == Report.job_id)
            .where(Report.bundle_digest == manifest.digest)
            .order_by(Report.created_at.desc())
            .limit(NEWEST)
        ).all()
    results = [(report, job or {}) for report, job in rows if report.get("scores")]
    found = [
        compare(name, training[name], [report["scores"][name] for report, _ in results])
        for name in SCORES
        if name in training
    ]
    for role in ROLES:
        kept = training.get("intensity_distance", {}).get(role)
        if kept is not None:
            values = [
                job["intensity_distance"][role] for _, job in results if role in job.get("intensity_distance", {})
            ]
            found.append(compare(f"intensity_distance {role}", kept, values))
    return {
        "bundle": manifest.name,
        "digest": manifest.digest,
        "n_results": len(results),
        "described": str(training.get("description", "")),
        "quantities": [asdict(one) for one in found],
        "shown_quantiles": list(SHOWN),
    }
