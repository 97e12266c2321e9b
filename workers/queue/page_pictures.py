"""The pictures of the pages: slices, nomogram and curves of a stored study, and the performance of its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from config.decision_policy import policy_for_manifest
from config.indication.vocabulary import SeriesRole
from config.settings import Settings
from config.unseen_figures import unseen_figures
from dicom_sr.report.report_inputs import DfsCurves, ModelPerformance, PagePictures, SequencePicture, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport
from node.cases.case_inputs import ComputeRequest
from workers.bundles.bundle import Bundle
from workers.nomogram.curves import survival_over_time
from workers.nomogram.drawing import PatientNomogram
from workers.pipeline.artefacts import load_attributions
from workers.pipeline.computation import Analysis
from workers.pipeline.prediction import predict_survival
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy
from workers.volumes.stored_slice import StoredSlice


def page_pictures(
    report: TreatmentReport,
    request: ComputeRequest,
    bundle: Bundle,
    settings: Settings,
    study: PreparedStudy,
    sources: SourceStudy,
    weighed_most: Mapping[SeriesRole, int],
    folder: Path,
) -> PagePictures:
    """Return what the pages of a report show beside the report itself.

    Parameters
    ----------
    report : TreatmentReport
        A refusal has no nomogram and no curves.
    request : ComputeRequest
        Age and category of EBV DNA.
    bundle : Bundle
        The one that computed the report.
    settings : Settings
        Language, and the rule of the decision.
    study : PreparedStudy
        Patches and masks; may be empty for a refusal.
    sources : SourceStudy
        Headers of the MR instances, for the numbers of the slices.
    weighed_most : mapping of SeriesRole to int
        The slice that represents each series, as a row of its patches.
    folder : Path
        Artefacts of the job, with the attribution maps.
    """
    headers = {str(ds.SOPInstanceUID): ds for ds in sources.mr}
    attributions = load_attributions(folder)

    def picture(series: PreparedSeries, row: int, attribution: Any = None) -> SequencePicture:
        uid, frame = series.slices[row]
        header = headers.get(uid)
        image, mask = series.patches[row]
        return SequencePicture(
            series.role, image, mask, (bundle.spacing_mm, bundle.spacing_mm), attribution,
            number=slice_number(header, series.slices[row]), source=(uid, frame),
        )  # fmt: skip

    shown = [series for role, series in study.items() if role in weighed_most]
    nomogram, curves = _predictions(report, request, bundle, settings)
    return PagePictures(
        nomogram,
        tuple(picture(each, weighed_most[each.role], attributions.get(each.role)) for each in shown),
        tuple(picture(each, largest_section(each)) for each in shown),
        curves,
        model_performance(bundle.manifest.content),
    )


def largest_section(series: PreparedSeries) -> int:
    """Return the row of the slice on which the contour has the largest area; the first of equal ones."""
    return int(np.argmax(np.count_nonzero(series.mask_zyx, axis=(1, 2))))


def slice_number(header: Dataset | None, stored: StoredSlice) -> str:
    """Return the number by which viewers call a slice: its frame, or its Instance Number; empty where it has none."""
    if stored.frame_number is not None:
        return str(stored.frame_number)
    number = None if header is None else header.get("InstanceNumber")
    return "" if number is None else str(number)


def model_performance(content: Mapping[str, Any]) -> ModelPerformance | None:
    """Return the performance that a manifest states on cases that no part of the model had seen; None without any."""
    figures = unseen_figures(content)
    stated = [each for each in figures if each.c_index is not None]
    chosen = next((each for each in stated if each.decides), next(iter(stated), None))
    if chosen is None:
        return None
    return ModelPerformance(
        chosen.words, chosen.n_cases, chosen.c_index, chosen.ci95, chosen.slope, chosen.slope_ci95
    )  # fmt: skip


def _predictions(
    report: TreatmentReport, request: ComputeRequest, bundle: Bundle, settings: Settings
) -> tuple[PatientNomogram | None, tuple[DfsCurves, ...]]:
    """Return the patient's nomogram, with both categories where EBV DNA is unknown, and the curves of each."""
    if report.scores is None:
        return None, ()
    analysis = Analysis(report.scores.prognostic_score, report.scores.predictive_score, {})
    results = predict_survival(analysis, request, bundle, policy_for_manifest(settings, bundle.manifest))
    last = max(report.horizons_months)
    curves = tuple(
        DfsCurves(category, *survival_over_time(bundle.nomogram, result, last)) for category, result in results.items()
    )
    # The last category is the higher one; its marks are filled, those of the lower one hollow.
    *lower, patient = results.values()
    drawing = PatientNomogram(bundle.nomogram, patient, settings.report.language, lower[0] if lower else None)
    return drawing, curves
