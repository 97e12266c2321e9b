"""Drift: whether the incoming studies are distributed like those of the training.

For both scores and for each sequence's intensity distance, the newest results are compared with the training patients
by the two-sample Kolmogorov-Smirnov statistic D, the largest vertical distance of both distribution functions. The
bundle's manifest has the training side as 101 quantiles with their n (`training_distributions`).

A shift is named only where it is both unlikely to be chance (p < 0.01, for five quantities at once) and large enough to
matter (D > 0.15): with many patients every difference is "significant", with few none is.

References
----------
Hodges, The significance probability of the Smirnov two-sample test, Arkiv foer Matematik 1958;3:469-486 (asymptotic
distribution of D).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import kolmogorov
from sqlalchemy import select

from config.arrays import FloatArray
from config.bundle_manifest import read_manifest
from config.indication.nasopharynx import NASOPHARYNX
from node.ledger.database import Ledger
from node.ledger.tables import Case, Job, Report

FEWEST = 20  # results: with fewer, no statement is made
UNLIKELY, MATTERS = 0.01, 0.15
NEWEST = 500
SHOWN = (0.1, 0.25, 0.5, 0.75, 0.9)
PROBABILITIES = np.linspace(0, 1, 101)
SCORES = ("prognostic_score", "predictive_score")
ROLES = tuple(role.value for role in NASOPHARYNX.series_roles)

Verdict = Literal["too_few", "as_training", "shifted"]


@dataclass(frozen=True)
class Drift:
    """Comparison of one quantity.

    Attributes
    ----------
    quantity : str
        Name of the quantity.
    n, n_training : int
        Number of incoming and of training values.
    training, incoming : tuple of float
        Quantiles at `SHOWN`; incoming ones are empty when there are too few results.
    statistic : float or None
        Kolmogorov-Smirnov D in 0..1.
    p_value : float or None
        Asymptotic probability of a larger D without a shift.
    verdict : {'too_few', 'as_training', 'shifted'}
        What follows from them.
    """

    quantity: str
    n: int
    n_training: int
    training: tuple[float, ...]
    incoming: tuple[float, ...]
    statistic: float | None
    p_value: float | None
    verdict: Verdict


def quantiles_of(values: ArrayLike) -> dict[str, Any]:
    """Summarise a training distribution for the manifest.

    Parameters
    ----------
    values : array
        One value for each training patient.

    Returns
    -------
    dict
        ``n`` and the 101 ``quantiles`` 0, 0.01, ..., 1, rounded to five decimals.
    """
    sample = np.asarray(values, dtype=np.float64)
    return {"n": int(sample.size), "quantiles": [round(float(q), 5) for q in np.quantile(sample, PROBABILITIES)]}


def compare(quantity: str, training: Mapping[str, Any], values: Sequence[float]) -> Drift:
    """Compare the newest values of one quantity with its training distribution.

    Parameters
    ----------
    quantity : str
        Name of the quantity.
    training : mapping
        As `quantiles_of` returns it.
    values : sequence of float
        Of incoming studies, in any order.

    Returns
    -------
    Drift
        Its verdict is ``too_few`` below 20 values.
    """
    at = np.asarray(training["quantiles"], dtype=np.float64)
    n_training, n = int(training["n"]), len(values)
    shown = tuple(round(float(q), 4) for q in np.interp(SHOWN, PROBABILITIES, at))
    if n < FEWEST:
        return Drift(quantity, n, n_training, shown, (), None, None, "too_few")
    sample = np.sort(np.asarray(values, dtype=np.float64))
    statistic = ks_statistic(at, sample)
    # n m / (n + m) is the effective size of two samples.
    p_value = float(kolmogorov(statistic * np.sqrt(n * n_training / (n + n_training))))
    shifted = p_value < UNLIKELY and statistic > MATTERS
    incoming = tuple(round(float(q), 4) for q in np.quantile(sample, SHOWN))
    return Drift(
        quantity, n, n_training, shown, incoming, round(statistic, 4), round(p_value, 6),
        "shifted" if shifted else "as_training",
    )  # fmt: skip


def ks_statistic(training_quantiles: FloatArray, sample: FloatArray) -> float:
    """Return Kolmogorov-Smirnov D between a distribution of 101 quantiles and a sample.

    Parameters
    ----------
    training_quantiles : float64, shape (101,)
        Not falling.
    sample : float64, shape (n,)
        Sorted.

    Returns
    -------
    float
        In 0..1.
    """
    expected = np.interp(sample, training_quantiles, PROBABILITIES, left=0.0, right=1.0)
    # The empirical distribution function jumps at each value: both sides of the jump are compared.
    ranks = np.arange(len(sample) + 1) / len(sample)
    return float(np.max(np.maximum(np.abs(ranks[1:] - expected), np.abs(ranks[:-1] - expected))))


def drift_of(ledger: Ledger, bundle: str) -> dict[str, Any]:
    """Compare the newest current results of a bundle with its training.

    Parameters
    ----------
    ledger : Ledger
        Its current reports and their jobs are read, at most 500.
    bundle : str
        Name or folder.

    Returns
    -------
    dict
        ``bundle``, ``digest``, ``n_results``, ``described`` (the training), ``shown_quantiles``, and ``quantities``: a
        `Drift` as dict for each, empty where the manifest has no training distributions.
    """
    manifest = read_manifest(bundle)
    training = manifest.content.get("training_distributions") or {}
    with ledger.read() as session:
        rows = session.execute(
            select(Report.result, Job.result)
            .join(Case, Case.current_report_id == Report.id)
            .join(Job, Job.id == Report.job_id)
            # Scores of another bundle have another distribution, and would look like drift.
            .where(Report.bundle_digest == manifest.digest)
            .order_by(Report.created_at.desc())
            .limit(NEWEST)
        ).all()
    results = [(report, job or {}) for report, job in rows if report.get("scores")]
    quantities = [
        compare(name, training[name], [report["scores"][name] for report, _ in results])
        for name in SCORES
        if name in training
    ]
    for role in ROLES:
        distribution = training.get("intensity_distance", {}).get(role)
        if distribution is not None:
            values = [
                job["intensity_distance"][role] for _, job in results if role in job.get("intensity_distance", {})
            ]
            quantities.append(compare(f"intensity_distance {role}", distribution, values))
    return {
        "bundle": manifest.name,
        "digest": manifest.digest,
        "n_results": len(results),
        "described": str(training.get("description", "")),
        "quantities": [asdict(quantity) for quantity in quantities],
        "shown_quantiles": list(SHOWN),
    }
