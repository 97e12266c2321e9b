"""All DICOM objects of one report, validated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from pydicom import Dataset

from config.arrays import RgbArray
from dicom_sr.content.structured_report import build_sr
from dicom_sr.header.attributes import in_zone_of_site
from dicom_sr.header.copied_values import patient_and_study, with_header_findings
from dicom_sr.objects.encapsulated_pdf import TITLE, build_pdf
from dicom_sr.objects.secondary_capture import build_attributions, build_sc
from dicom_sr.objects.segmentation import build_segmentations, ordered_as_masks
from dicom_sr.objects.structure_set import build_structure_sets
from dicom_sr.objects.validation import check_report, validate
from dicom_sr.page.heading import PatientCaption
from dicom_sr.page.layout import render_pages
from dicom_sr.page.output import page_pixels, pages_pdf
from dicom_sr.report.localised import localised
from dicom_sr.report.report_inputs import (
    GuidelineText,
    Language,
    ObjectKind,
    PagePictures,
    ReportObject,
    ReportOptions,
    SourceStudy,
)
from dicom_sr.report.treatment_report import TreatmentReport

StartDrawing = Callable[..., Callable[[], Any]]
"""Starts `function(*arguments)` and returns a function that waits for its result.

`functools.partial` has the same form and computes when the result is asked for.
"""


def build_objects(
    report: TreatmentReport,
    sources: SourceStudy,
    pictures: PagePictures | None = None,
    options: ReportOptions | None = None,
    start: StartDrawing = partial,
    segmentations: Sequence[Dataset] = (),
) -> list[ReportObject]:
    """Build the DICOM objects of one report; the same arguments give the same bytes.

    Parameters
    ----------
    report : TreatmentReport
        Any report, also a refusal. Values of the MR that are not copied are added as quality findings.
    sources : SourceStudy
        The data sets that were used; patient and study are copied from the first MR instance.
    pictures : PagePictures or None
        Nomogram, slices and attribution maps.
    options : ReportOptions or None
        The site's choices.
    start : StartDrawing
        Starts the drawing of a page, for example in another process while the other objects are built.
    segmentations : sequence of Dataset
        SEGs of this report that were built before, one for each of `sources.masks` in any order, for an SR that is
        built without them; pixels are not needed.

    Returns
    -------
    list of ReportObject
        In the order in which they should be sent: SEG before the SR that refers to it. All passed validation.

    Raises
    ------
    InvalidReportError
        The report contradicts itself or its sources, or an object lacks what its IOD requires.
    """
    pictures, options = pictures or PagePictures(), options or ReportOptions()
    pictures = pictures.permitted_by(report)
    report = with_header_findings(report, sources)
    check_report(report, sources)
    # In the site's zone from here on: page, header and content show the same clock.
    report = in_zone_of_site(report, options)
    built = ordered_as_masks(segmentations, sources)
    objects = [_object(kind, ds) for kind, ds in _datasets(report, sources, pictures, options, start, built)]
    validate(objects, localised(report, options.language), sources)
    return objects


def _datasets(
    report: TreatmentReport,
    sources: SourceStudy,
    pictures: PagePictures,
    options: ReportOptions,
    start: StartDrawing,
    segmentations: Sequence[Dataset],
) -> Iterator[tuple[ObjectKind, Dataset]]:
    patient = patient_caption(sources)
    page = (report, pictures, options.language, patient, options.guideline)
    # Both forms are started before anything else is built; the PDF, which takes longer, first.
    draw: dict[ObjectKind, Callable[..., Any]] = {"pdf": printed_pages, "sc": shown_pages}
    drawn = {kind: start(function, *page) for kind, function in draw.items() if kind in options.kinds}
    # Not before: without a Chinese font the pages are in English.
    report = localised(report, options.language)
    if "seg" in options.kinds:
        # Before the SR, whose measurement group refers to them and whose evidence lists them.
        segmentations = build_segmentations(report, sources, options)
        yield from (("seg", segmentation) for segmentation in segmentations)
    if "sr" in options.kinds:
        yield "sr", build_sr(report, sources, options, segmentations)
    if "sc" in options.kinds:
        shown = (*pictures.sequences, *pictures.largest)
        yield from (("sc", capture) for capture in build_sc(drawn["sc"](), report, sources, options, shown))
    if "pdf" in options.kinds:
        yield "pdf", build_pdf(drawn["pdf"](), report, sources, options)
    if "attribution" in options.kinds:
        maps = build_attributions(pictures, report, sources, options, patient)
        yield from (("attribution", capture) for capture in maps)
    if "rtstruct" in options.kinds:
        yield from (("rtstruct", copy) for copy in build_structure_sets(report, sources, options))


def shown_pages(
    report: TreatmentReport,
    pictures: PagePictures,
    language: Language,
    patient: PatientCaption,
    guideline: GuidelineText | None = None,
) -> list[RgbArray]:
    """Draw the pages for viewers.

    Parameters
    ----------
    report, pictures, language, patient, guideline
        As in `render_pages`.

    Returns
    -------
    list of array of uint8, shape (1024, 1024, 3)
        RGB, 0 to 255.
    """
    return [page_pixels(page) for page in render_pages(report, pictures, "dark", language, patient, guideline)]


def printed_pages(
    report: TreatmentReport,
    pictures: PagePictures,
    language: Language,
    patient: PatientCaption,
    guideline: GuidelineText | None = None,
) -> bytes:
    """Draw the pages for print.

    Parameters
    ----------
    report, pictures, language, patient, guideline
        As in `render_pages`.

    Returns
    -------
    bytes
        A PDF of A4 pages.
    """
    return pages_pdf(render_pages(report, pictures, "light", language, patient, guideline), TITLE, report.created)


def patient_caption(sources: SourceStudy) -> PatientCaption:
    """Read what the objects copy from the first MR instance, with dates as YYYY-MM-DD."""
    copied = patient_and_study(sources)
    name, born, sex, day, accession = (
        "" if copied.get(keyword) is None else str(copied[keyword].value)
        for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber")
    )
    return PatientCaption(
        name=name, birth_date=_readable_date(born), sex=sex, study_date=_readable_date(day), accession=accession
    )


def _readable_date(written: str) -> str:
    return f"{written[:4]}-{written[4:6]}-{written[6:]}" if len(written) == 8 and written.isdigit() else written


def _object(kind: ObjectKind, ds: Dataset) -> ReportObject:
    return ReportObject(kind, str(ds.SOPClassUID), str(ds.SOPInstanceUID), ds)
