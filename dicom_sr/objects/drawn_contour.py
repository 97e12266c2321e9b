"""Who or what drew the contour of a SEG, as the RTSTRUCT or SEG that holds it says."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from highdicom.seg import SegmentAlgorithmTypeValues
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from dicom_sr.coding import codes
from dicom_sr.header.attributes import one_line
from dicom_sr.report.report_inputs import SeriesMask, SourceStudy
from dicom_sr.report.treatment_report import TreatmentReport

ALGORITHM_TYPES = {
    "AUTOMATIC": SegmentAlgorithmTypeValues.AUTOMATIC,
    "SEMIAUTOMATIC": SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
}


@dataclass(frozen=True)
class DrawnContour:
    """What the object that holds a contour says about it.

    Attributes
    ----------
    source : Dataset or None
        The RTSTRUCT or SEG; None where it is not among the sources.
    name : str
        ROI Name or Segment Label; empty where unknown.
    algorithm_type : SegmentAlgorithmTypeValues
        MANUAL unless the object says otherwise.
    algorithm_name : str
        What it says about the algorithm.
    """

    source: Dataset | None = None
    name: str = ""
    algorithm_type: SegmentAlgorithmTypeValues = SegmentAlgorithmTypeValues.MANUAL
    algorithm_name: str = ""


def drawn_contour(mask: SeriesMask, report: TreatmentReport, sources: SourceStudy) -> DrawnContour:
    """Find the contour of a mask in the object that holds it.

    Parameters
    ----------
    mask : SeriesMask
        Names object and ROI or segment number, where they are known.
    report : TreatmentReport
        Has the name of the contour, as all objects show it.
    sources : SourceStudy
        The contour objects.

    Returns
    -------
    DrawnContour
        Of an RTSTRUCT by ROI Generation Algorithm (3006,0036), of a SEG by Segment Algorithm Type (0062,0008). An
        empty value counts as MANUAL: planning systems leave it empty for what a physician draws.

    References
    ----------
    PS3.3 C.8.8.5 (Structure Set), C.8.20.4 (Segment Description).
    """
    uid, number = mask.contour or ("", 0)
    used = (each for each in report.contours if (each.sop_instance_uid, each.roi_number) == (uid, number))
    name = next((each.roi_name for each in used), "")
    source = next((ds for ds in sources.contours if str(ds.SOPInstanceUID) == uid), None)
    for item in () if source is None else source.get("StructureSetROISequence") or ():
        if int(item.get("ROINumber") or 0) == number:
            return _described(source, name, item.get("ROIGenerationAlgorithm"), item.get("ROIGenerationDescription"))
    for item in () if source is None else source.get("SegmentSequence") or ():
        if int(item.get("SegmentNumber") or 0) == number:
            return _described(source, name, item.get("SegmentAlgorithmType"), item.get("SegmentAlgorithmName"))
    return DrawnContour(source, name)


def _described(source: Dataset | None, name: str, written: object, said: object) -> DrawnContour:
    kind = ALGORITHM_TYPES.get(str(written or "").strip().upper(), SegmentAlgorithmTypeValues.MANUAL)
    # Type 1C unless MANUAL (PS3.3 C.8.20.4): a reader then sees that nothing more is known.
    algorithm = "" if kind is SegmentAlgorithmTypeValues.MANUAL else one_line(str(said or "not stated"))
    return DrawnContour(source, name, kind, algorithm)


def refer_to_contour(segmentation: Dataset, drawn: DrawnContour) -> None:
    """Name the RTSTRUCT or SEG as the instance that the SEG was derived from (PS3.3 C.12.4), and where it is stored."""
    if drawn.source is None:
        return
    reference = Dataset()
    reference.ReferencedSOPClassUID = drawn.source.SOPClassUID
    reference.ReferencedSOPInstanceUID = drawn.source.SOPInstanceUID
    source = deepcopy(reference)
    source.PurposeOfReferenceCodeSequence = [codes.CONTOUR_OBJECT.code]
    if drawn.source.SOPClassUID == SegmentationStorage:
        segmentation.SourceImageSequence.append(source)
    else:
        segmentation.SourceInstanceSequence = [source]
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = drawn.source.SeriesInstanceUID, [reference]
    if drawn.source.StudyInstanceUID == segmentation.StudyInstanceUID:
        segmentation.ReferencedSeriesSequence.append(series)
        return
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = drawn.source.StudyInstanceUID, [series]
    segmentation.StudiesContainingOtherReferencedInstancesSequence = [study]
