"""The whole story in plain Python: stored series and contour in, scores and both arms' survival out.

    prepare_study   files -> geometry-true volumes -> contour on their grids -> patches             (volumes)
    analyse_study   patches -> deep features -> Prognostic-score, Predictive-score -> nomogram      (features, scores)

The queue (steps.py, tasks.py) and the command line (`cptdn score`) tell this same story; a notebook can, too. What the
two parts found becomes a TreatmentReport in reporting.py.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.decision_policy import DecisionPolicy
from config.errors import ModelBundleError
from config.indication.conventions import SCORE_DECIMALS
from config.indication.vocabulary import EbvCategory, SeriesRole
from config.settings import CaseSettings
from dicom_sr.report.treatment_report import Reason
from node.cases.case_inputs import ComputeRequest
from workers.bundles.bundle import Bundle, Preprocessing
from workers.features.extraction import Precision, extract, extract_many, resolve_device
from workers.nomogram.result import NomogramResult
from workers.scores.scoring import score, score_many
from workers.survival.covariates import PatientCovariates
from workers.volumes.contours import RoiMask, roi_on_series
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy
from workers.volumes.reader import MrSeries, read_series
from workers.volumes.registrations import read_registration
from workers.volumes.rtstruct import read_rtstruct
from workers.volumes.segmentations import read_segment, segment_on_series
from workers.volumes.series_patches import extract_series_patches

Files = Mapping[str, Path]
"""Where the stored instances are: SOP Instance UID -> file."""

WARM_UP_SLICES = 8


@dataclass(frozen=True)
class Analysis:
    """What the networks say about one study.

    representative : row of the slice with the highest predicted risk among each sequence's patches.
    out_of_distribution : sequences whose features lie outside what the training patients' spanned.
    The scores are rounded to what a report shows: whoever feeds the shown scores to the nomogram gets its numbers.
    """

    prognostic_score: float
    predictive_score: float
    representative: Mapping[SeriesRole, int]
    out_of_distribution: tuple[Reason, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


def prepare_study(request: ComputeRequest, files: Files, bundle: Preprocessing, case: CaseSettings) -> PreparedStudy:
    """Read the three series, carry the contour onto their grids, and cut the patches; the three side by side.

    Raises IneligibleStudyError with a reason code when an image or the contour cannot be used.
    """
    roles = [SeriesRole(role) for role in request.series]
    with ThreadPoolExecutor(len(roles)) as pool:
        prepared = pool.map(lambda role: _prepare_sequence(role, request, files, bundle, case), roles)
        return {one.role: one for one in prepared}


def _prepare_sequence(
    role: SeriesRole, request: ComputeRequest, files: Files, bundle: Preprocessing, case: CaseSettings
) -> PreparedSeries:
    wanted = request.series[role.value]
    series = read_series([files[uid] for uid, _ in wanted["instances"]])
    contour = _contour_on(series, request.contours[role.value], request.registrations.get(role.value), files)
    template = bundle.templates[role.value]
    tilt = case.series_rules.max_oblique_degrees
    patches = extract_series_patches(series, contour.mask_zyx, template, bundle.spacing_mm, tilt)
    findings = (*series.findings, *contour.findings)
    return PreparedSeries(
        role=role,
        series_instance_uid=series.series_instance_uid,
        sop_class_uid=str(series.dataset.SOPClassUID),
        description=str(series.dataset.get("SeriesDescription") or ""),
        patches=patches.patches,
        slices=patches.slices,
        mask_zyx=contour.mask_zyx[patches.slice_index],
        volume_ml=contour.volume_ml,
        n_slices=contour.n_slices,
        landmark_distance=patches.distance,
        distance_limit=template.distance_limit,
        findings=tuple((finding.code, finding.text) for finding in findings),
    )


def _contour_on(
    series: MrSeries, chosen: Mapping[str, Any], registration: Mapping[str, Any] | None, files: Files
) -> RoiMask:
    """The chosen ROI or segment as a mask on a series, by its number."""
    path = files[chosen["sop_instance_uid"]]
    number = str(chosen["roi_number"])
    if chosen["kind"] == "SEG":
        return segment_on_series(read_segment(path, number), series)
    roi = next(roi for roi in read_rtstruct(path) if str(roi.number) == number)
    links = [read_registration(files[registration["sop_instance_uid"]])] if registration else []
    return roi_on_series(roi, series, links)


def analyse_study(material: PreparedStudy, bundle: Bundle, device: str) -> Analysis:
    """Features of the representative slices, and both scores from them."""
    return analyse_studies([material], bundle, device)[0]


def analyse_studies(
    materials: Sequence[PreparedStudy], bundle: Bundle, device: str, precision: Precision = "float32"
) -> list[Analysis]:
    """The same for many studies, batched across patients; the numbers of each are those that it has alone.

    precision : of the features. What a report shows is computed in float32.
    """
    where = resolve_device(device)
    started = time.perf_counter()
    features, rows = {}, {}
    for role in materials[0]:
        network = bundle.sequence_network(role.value)
        found = extract_many([one[role].patches for one in materials], network, where, precision)
        features[role.value] = np.stack([one.features for one in found])
        rows[role] = [one.representative_index for one in found]
    extracted = time.perf_counter()
    scores = score_many(features, bundle.score_network(), str(where))
    scored = time.perf_counter()
    share = {"features": (extracted - started) / len(materials), "scores": (scored - extracted) / len(materials)}
    return [
        Analysis(
            prognostic_score=round(float(scores.prognostic[at]), SCORE_DECIMALS),
            predictive_score=round(float(scores.predictive[at]), SCORE_DECIMALS),
            representative={role: found[at] for role, found in rows.items()},
            out_of_distribution=tuple(
                reason for role in rows for reason in _unlike_training(role, features[role.value][at], bundle)
            ),
            seconds=share,
        )
        for at in range(len(materials))
    ]


def _unlike_training(role: SeriesRole, features: NDArray[np.float32], bundle: Bundle) -> list[Reason]:
    distribution = bundle.distributions[role.value]
    distance = distribution.distance(features)
    if distance <= distribution.limit:
        return []
    text = (
        f"{role.value}: the deep features lie {distance:.2f} from those of the training patients "
        f"(training: at most {distribution.limit:.2f}); the scores may not hold."
    )
    return [Reason("out_of_distribution", text)]


def predict_survival(
    analysis: Analysis, request: ComputeRequest, bundle: Bundle, decision: DecisionPolicy
) -> dict[EbvCategory, NomogramResult]:
    """Both arms' DFS for the patient's EBV DNA category, or for both categories when it is unknown."""
    assessed_at = request.decision.get("ebv_threshold_copies_per_ml", decision.ebv_threshold_copies_per_ml)
    if assessed_at != decision.ebv_threshold_copies_per_ml:
        raise ModelBundleError(
            f"the EBV DNA category was assessed at {assessed_at:g} copies/mL, but the bundle was "
            f"fitted with {decision.ebv_threshold_copies_per_ml:g}: run cptdn reprocess for this study"
        )
    category = EbvCategory(request.ebv["category"])
    patient = PatientCovariates(
        float(request.age_years or 0),
        float(category is EbvCategory.ABOVE),
        analysis.prognostic_score,
        analysis.predictive_score,
    )
    options: dict[str, Any] = {
        "horizons_months": tuple(float(month) for month in decision.horizons_months),
        "threshold": decision.threshold,
        "decision_horizon": float(decision.horizon_months),
    }
    if category is EbvCategory.UNKNOWN:
        return bundle.nomogram.score_each_category(patient, **options)
    return {category: bundle.nomogram.score(patient, **options)}


def warm_up(bundle: Bundle, device: str) -> None:
    """One inference on empty patches: everything that is slow the first time has happened afterwards."""
    patches = np.zeros((WARM_UP_SLICES, 2, 128, 128), dtype=np.float32)
    features = {}
    for role in SeriesRole:
        features[role.value], _ = extract(patches, bundle.sequence_network(role.value), resolve_device(device))
    score(features, bundle.score_network(), str(resolve_device(device)))
