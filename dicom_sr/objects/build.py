"""All objects of one report, validated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_sr.content.structured_report import build_sr
from dicom_sr.header.attributes import local_time
from dicom_sr.header.characters import text_of
from dicom_sr.objects.encapsulated_pdf import TITLE, build_pdf
from dicom_sr.objects.secondary_capture import build_attributions, build_sc
from dicom_sr.objects.segmentation import build_seg
from dicom_sr.objects.validation import check_report, validate
from dicom_sr.page.layout import page_pdf, page_pixels, render_page
from dicom_sr.page.sections import PatientCaption
from dicom_sr.report.report_inputs import Language, ObjectKind, PagePictures, ReportObject, ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

StartDrawing = Callable[..., Callable[[], Any]]
"""Begins `function(*arguments)` and returns what gives its result; `partial` does it when it is asked for."""


def build_objects(
    report: TreatmentReport,
    sources: SourceStudy,
    pictures: PagePictures | None = None,
    options: ReportOptions | None = None,
    start: StartDrawing = partial,
) -> list[ReportObject]:
    """The DICOM objects of one report, in the order in which they should be sent.

    start : begins the drawing of a page and returns what waits for it, so that it can be done beside the rest.
    The same arguments give the same bytes. Nothing is returned that does not pass validation.
    Raises InvalidReportError naming what does not hold together.
    """
    pictures, options = pictures or PagePictures(), options or ReportOptions()
    check_report(report, sources)
    report = replace(report, created=local_time(report, options))
    objects = [_object(kind, ds) for kind, ds in _datasets(report, sources, pictures, options, start)]
    validate(objects, report, sources)
    return objects


def _datasets(
    report: TreatmentReport, sources: SourceStudy, pictures: PagePictures, options: ReportOptions, start: StartDrawing
) -> Iterator[tuple[ObjectKind, Dataset]]:
    page = (report, pictures, options.language, patient_caption(sources))
    draw: dict[ObjectKind, Callable[..., Any]] = {"pdf": printed_page, "sc": shown_page}  # the slower one first
    drawn = {kind: start(function, *page) for kind, function in draw.items() if kind in options.kinds}
    segmentations: Sequence[Dataset] = ()
    if "seg" in options.kinds:
        segmentations = [build_seg(mask, report, sources, options) for mask in sources.masks]
        yield from (("seg", made) for made in segmentations)
    if "sr" in options.kinds:
        yield "sr", build_sr(report, sources, options, segmentations)
    if "sc" in options.kinds:
        yield "sc", build_sc(drawn["sc"](), report, sources, options)
    if "pdf" in options.kinds:
        yield "pdf", build_pdf(drawn["pdf"](), report, sources, options)
    if "attribution" in options.kinds:
        yield from (("attribution", made) for made in build_attributions(pictures, report, sources, options))


def shown_page(
    report: TreatmentReport, pictures: PagePictures, language: Language, patient: PatientCaption
) -> NDArray[np.uint8]:
    """The page for viewers as (rows, columns, 3) RGB."""
    return page_pixels(render_page(report, pictures, "dark", language, patient))


def printed_page(report: TreatmentReport, pictures: PagePictures, language: Language, patient: PatientCaption) -> bytes:
    """The page for print as PDF."""
    return page_pdf(render_page(report, pictures, "light", language, patient), TITLE, report.created)


def patient_caption(sources: SourceStudy) -> PatientCaption:
    """Who the page is about, in readable dates."""
    first, actual = sources.mr[0], sources.character_set
    return PatientCaption(
        name=text_of(first, "PatientName", actual),
        birth_date=_readable_date(text_of(first, "PatientBirthDate")),
        sex=text_of(first, "PatientSex"),
        study_date=_readable_date(text_of(first, "StudyDate")),
        accession=text_of(first, "AccessionNumber", actual),
    )


def _readable_date(written: str) -> str:
    return f"{written[:4]}-{written[4:6]}-{written[6:]}" if len(written) == 8 and written.isdigit() else written


def _object(kind: ObjectKind, ds: Dataset) -> ReportObject:
    return ReportObject(kind, str(ds.SOPClassUID), str(ds.SOPInstanceUID), ds)
