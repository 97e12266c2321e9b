"""The nomogram's file: ``nomogram.json``, read with its checks and written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from config.atomic_files import write_atomically
from config.bundle_manifest import INDICATION, BundleManifest, read_indication
from config.errors import InputError, ModelBundleError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from workers.nomogram.intervals import VarianceTerms
from workers.nomogram.model import CoxNomogram
from workers.nomogram.points import TERMS, PointsScale

FILE_NAME = "nomogram.json"


def nomogram_of_bundle(manifest: BundleManifest) -> CoxNomogram:
    """Read the nomogram of a model bundle and check it against the manifest.

    Parameters
    ----------
    manifest : BundleManifest
        Its indication decides horizons, threshold and stage.

    Returns
    -------
    CoxNomogram
        With the indication of the manifest.

    Raises
    ------
    ModelBundleError
        The nomogram was fitted for another biomarker threshold or stage, or gives no answer at a horizon.
    """
    return load_nomogram_for(manifest.indication, manifest.folder / FILE_NAME)


def load_nomogram_for(indication: Indication, path: Path) -> CoxNomogram:
    """Read a nomogram that has to answer for an indication.

    Parameters
    ----------
    indication : Indication
        Stage and biomarker must be those that the nomogram was fitted with; the horizons may be others.
    path : Path
        The file.

    Returns
    -------
    CoxNomogram
        With this indication.

    Raises
    ------
    ModelBundleError
        The nomogram was fitted for another biomarker threshold or stage, or gives no answer at a horizon.
    """
    nomogram = load_nomogram(path)
    fitted = nomogram.indication
    for name, found, expected in (
        # First, although the next line contains it: the message then names the number that differs.
        ("biomarker.threshold", fitted.biomarker.threshold, indication.biomarker.threshold),
        ("biomarker", fitted.biomarker, indication.biomarker),
        ("stage", fitted.stage.text, indication.stage.text),
    ):
        if found != expected:
            raise ModelBundleError(f"{path}: expected a nomogram fitted with {name} = {expected}, found {found}")
    require_horizons(nomogram, indication, str(path))
    return replace(nomogram, indication=indication)


def require_horizons(nomogram: CoxNomogram, indication: Indication, where: str) -> None:
    """Check that a nomogram gives survival with an interval at every horizon of an indication.

    A model is refused when the bundle is made, not when a patient is scored.

    Parameters
    ----------
    nomogram : CoxNomogram
        To check.
    indication : Indication
        Its ``horizons_months``.
    where : str
        Names the nomogram in the error.

    Raises
    ------
    ModelBundleError
        The follow-up ends before a horizon, or the terms of its confidence intervals are missing.
    """
    for month in indication.horizons_months:
        days = month * DAYS_PER_MONTH
        if days > nomogram.follow_up_days:
            raise ModelBundleError(
                f"{where}: the longest follow-up is {nomogram.follow_up_days / DAYS_PER_MONTH:.1f} months and does not "
                f"reach the horizon of {month} months: choose horizons within it"
            )
        if days not in nomogram.variance_terms:
            raise ModelBundleError(
                f"{where}: expected confidence terms at the horizon of {month} months ({days} days), found them at "
                f"{', '.join(f'{each:g}' for each in sorted(nomogram.variance_terms))} days"
            )


def load_nomogram(source: Path | str | Mapping[str, Any]) -> CoxNomogram:
    """Read a nomogram from its JSON file, from a folder with a ``nomogram.json``, or from the parsed document.

    Parameters
    ----------
    source : Path, str or mapping
        File, folder or document. One without an indication is the published nomogram, or was fitted when every
        nomogram was for NASOPHARYNX.

    Returns
    -------
    CoxNomogram
        Validated.

    Raises
    ------
    ModelBundleError
        Names the file, what was expected and what was found.
    """
    if isinstance(source, Mapping):
        return _from_document(source, "the nomogram")
    path = Path(source)
    path = path / FILE_NAME if path.is_dir() else path
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelBundleError(f"cannot read the nomogram {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelBundleError(f"the nomogram {path} is not JSON: {error}") from error
    return _from_document(document, str(path))


def _from_document(document: Mapping[str, Any], where: str) -> CoxNomogram:
    try:
        terms = tuple(document["terms"])
        if set(terms) != set(TERMS):
            raise ModelBundleError(f"{where}: expected the terms {list(TERMS)}, found {list(terms)}")
        # A file may list the terms in another order; covariance and q are permuted, since wrong rows would give
        # plausible intervals.
        order = [terms.index(term) for term in TERMS]
        confidence, baseline = document["confidence"], document["baseline"]
        ranges = {name: _pair(pair) for name, pair in document["training_ranges"].items()}
        coefficients = {term: float(document["coefficients"][term]) for term in TERMS}
        axes = {name: _pair(pair) for name, pair in document["nomogram"]["axis_ranges"].items()}
        nomogram = CoxNomogram(
            name=str(document["name"]),
            coefficients=coefficients,
            covariance=np.asarray(document["covariance"], dtype=np.float64)[np.ix_(order, order)],
            event_days=np.asarray(baseline["times"], dtype=np.float64),
            cumulative_hazard=np.asarray(baseline["cumulative_hazard"], dtype=np.float64),
            # The longest follow-up, not the last event: in between the hazard stays at its last step.
            follow_up_days=ranges["dfs_days"][1],
            variance_terms={
                float(days): VarianceTerms(float(a), np.asarray(confidence["q"][days], dtype=np.float64)[order])
                for days, a in confidence["A"].items()
            },
            scale=PointsScale.of(coefficients, axes),
            training_ranges=ranges,
            mean_total_points=float(document["risk_cut"]["mean_total_points_training"]),
            indication=read_indication(document[INDICATION], where) if INDICATION in document else NASOPHARYNX,
            document=dict(document),
        )
        _check(nomogram, float(document["nomogram"]["lp_per_point"]), where)
    except (KeyError, IndexError, TypeError) as error:
        raise ModelBundleError(f"{where} is not a nomogram of this program: {type(error).__name__} {error}") from error
    return nomogram


def _check(nomogram: CoxNomogram, lp_per_point: float, where: str) -> None:
    """Check what scoring relies on, so that a damaged file gives an error in place of wrong numbers."""
    steps = np.diff(nomogram.cumulative_hazard, prepend=0.0)
    if nomogram.event_days.shape != nomogram.cumulative_hazard.shape or not nomogram.event_days.size:
        raise ModelBundleError(f"{where}: the baseline needs one cumulative hazard for each event time")
    if bool(np.any(steps <= 0)) or bool(np.any(np.diff(nomogram.event_days) <= 0)):
        raise ModelBundleError(f"{where}: the baseline must rise at each event time, and the times too")
    # Stored twice on purpose: coefficients edited by hand no longer agree with the scale.
    if abs(nomogram.scale.lp_per_point - lp_per_point) > 1e-9:
        expected = nomogram.scale.lp_per_point
        raise ModelBundleError(
            f"{where}: coefficients and axes give {expected} per point, the file says {lp_per_point}"
        )


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


def write_nomogram(nomogram: CoxNomogram, folder: Path) -> Path:
    """Write ``nomogram.json`` into a folder, which is created if necessary; whole or not at all.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    InputError
        It cannot be written.
    """
    path = folder / FILE_NAME
    text = json.dumps(nomogram.document, indent=1, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise InputError(f"cannot write the nomogram into {folder}: {error.strerror}") from error
    return path
