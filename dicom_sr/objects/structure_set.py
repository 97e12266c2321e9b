"""RT Structure Set of the contour that the computation used: some planning systems import nothing else of a report.

It is a copy: the contours are those of the structure set that was used, in its frame of reference, which is that of the
MR series. Where the contour was drawn in another frame of reference or as a segmentation there is nothing to copy, and
no object is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

from pydicom import Dataset
from pydicom.uid import UID, RTStructureSetStorage
from pydicom.valuerep import DA, TM

from dicom_sr.header.attributes import local_time, one_line, series_number, set_common_attributes
from dicom_sr.header.uids import seal, series_uid_of, uid_for
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from dicom_sr.report.treatment_report import ContourUsed, TreatmentReport

DETACHED_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"  # retired, and still the class of a study here (PS3.3 C.8.8.5)
SUFFIX = " (copy used by CPTDN)"
COPIED = ("ContourGeometricType", "NumberOfContourPoints", "ContourNumber", "ContourData")


def build_structure_sets(report: TreatmentReport, sources: SourceStudy, options: ReportOptions) -> list[Dataset]:
    """Build the copy of each structure set that was used, one series.

    Parameters
    ----------
    report : TreatmentReport
        Names the contours.
    sources : SourceStudy
        Structure sets with their contours, and the MR instances.
    options : ReportOptions
        Time zone, institution and device.

    Returns
    -------
    list of Dataset
        Complete, with file meta information; empty where no contour is of an RTSTRUCT in the frame of reference of one
        of the MR series.

    References
    ----------
    PS3.3 A.19 (RT Structure Set IOD), C.8.8.5, C.8.8.6, C.8.8.8.
    """
    by_uid = {str(ds.SOPInstanceUID): ds for ds in sources.contours}
    built: list[Dataset] = []
    for contour in report.contours:
        drawn = by_uid.get(contour.sop_instance_uid)
        if drawn is None or drawn.SOPClassUID != RTStructureSetStorage:
            continue
        frame = _frame_of(drawn, contour.roi_number)
        images = _images_in(frame, contour, sources)
        items = [item for item in drawn.get("ROIContourSequence") or () if _names(item, contour)]
        if frame and images and items:
            built.append(_structure_set(contour, items, frame, images, report, sources, options, len(built) + 1))
    if built:
        seal(built, report.report_identity, "rtstruct")
    return built


def _structure_set(
    contour: ContourUsed,
    items: Sequence[Dataset],
    frame: str,
    images: Mapping[str, Dataset],
    report: TreatmentReport,
    sources: SourceStudy,
    options: ReportOptions,
    number: int,
) -> Dataset:
    copy = Dataset()
    copy.SOPClassUID = RTStructureSetStorage
    copy.SOPInstanceUID = uid_for(report.report_identity, f"rtstruct/{number}")
    copy.SeriesInstanceUID = UID(series_uid_of(copy.SOPInstanceUID))
    copy.SeriesNumber = series_number("rtstruct", report.revision)
    copy.Modality, copy.InstanceNumber, copy.OperatorsName = "RTSTRUCT", number, None
    set_common_attributes(copy, "rtstruct", report, sources, options)
    # This IOD has a structure set's own date and time instead.
    del copy.ContentDate, copy.ContentTime
    copy.FrameOfReferenceUID, copy.PositionReferenceIndicator = UID(frame), None
    now = local_time(report, options)
    copy.StructureSetLabel = f"CPTDN r{report.revision}"[:16]
    copy.StructureSetName = "Contour used by CPTDN"
    copy.StructureSetDescription = "Copy of the contour that the computation used; not for planning"
    copy.StructureSetDate, copy.StructureSetTime = DA(now.date()), TM(now.time())
    copy.ReferencedFrameOfReferenceSequence = [_frame_item(frame, images)]
    roi, observation, drawn = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ReferencedFrameOfReferenceUID = 1, UID(frame)
    # The name first: a planner looks for it in a list, and it must not be taken for the contour itself.
    roi.ROIName = one_line(f"{contour.roi_name[: 64 - len(SUFFIX)]}{SUFFIX}")
    roi.ROIGenerationAlgorithm = ""
    roi.ROIGenerationDescription = one_line(f"Copy of ROI {contour.roi_number}")
    copy.StructureSetROISequence = [roi]
    drawn.ReferencedROINumber, drawn.ROIDisplayColor = 1, [255, 0, 0]
    drawn.ContourSequence = [_contour(each, images) for item in items for each in item.get("ContourSequence") or ()]
    copy.ROIContourSequence = [drawn]
    observation.ObservationNumber, observation.ReferencedROINumber = 1, 1
    observation.RTROIInterpretedType, observation.ROIInterpreter = "GTV", None
    copy.RTROIObservationsSequence = [observation]
    copy.ApprovalStatus = "UNAPPROVED"
    return copy


def _names(item: Dataset, contour: ContourUsed) -> bool:
    return str(item.get("ReferencedROINumber")) == str(contour.roi_number)


def _frame_of(drawn: Dataset, roi_number: int) -> str:
    for roi in drawn.get("StructureSetROISequence") or ():
        if str(roi.get("ROINumber")) == str(roi_number):
            return str(roi.get("ReferencedFrameOfReferenceUID") or "")
    return ""


def _images_in(frame: str, contour: ContourUsed, sources: SourceStudy) -> dict[str, Dataset]:
    """Return the instances of the series that the contour was drawn on, else of the first one in its frame."""
    key = (contour.sop_instance_uid, contour.roi_number)
    masks = [mask for mask in sources.masks if mask.contour == key]
    for mask in sorted(masks, key=lambda mask: not mask.drawn_here):
        of_mask = {uid for uid, _ in mask.slices}
        series = {ds.SeriesInstanceUID for ds in sources.mr if str(ds.SOPInstanceUID) in of_mask}
        images = {str(ds.SOPInstanceUID): ds for ds in sources.mr if ds.SeriesInstanceUID in series}
        if images and all(str(ds.get("FrameOfReferenceUID") or "") == frame for ds in images.values()):
            return images
    return {}


def _frame_item(frame: str, images: Mapping[str, Dataset]) -> Dataset:
    study, item = Dataset(), Dataset()
    study.ReferencedSOPClassUID = UID(DETACHED_STUDY_MANAGEMENT)
    study.ReferencedSOPInstanceUID = next(iter(images.values())).StudyInstanceUID
    study.RTReferencedSeriesSequence = []
    for uid in dict.fromkeys(ds.SeriesInstanceUID for ds in images.values()):
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ContourImageSequence = [_reference(ds) for ds in images.values() if ds.SeriesInstanceUID == uid]
        study.RTReferencedSeriesSequence.append(series)
    item.FrameOfReferenceUID, item.RTReferencedStudySequence = UID(frame), [study]
    return item


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


def _contour(drawn: Dataset, images: Mapping[str, Dataset]) -> Dataset:
    item = Dataset()
    for keyword in COPIED:
        if keyword in drawn:
            item.add(deepcopy(drawn[keyword]))
    # An image of another series, from which the contour was copied, would be a reference to nothing that is here.
    references = list(_known_references(drawn, images))
    if references:
        item.ContourImageSequence = references
    return item


def _known_references(drawn: Dataset, images: Mapping[str, Dataset]) -> Iterator[Dataset]:
    for reference in drawn.get("ContourImageSequence") or ():
        if str(reference.get("ReferencedSOPInstanceUID")) in images:
            yield deepcopy(reference)
