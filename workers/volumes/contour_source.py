"""The drawn tumour of a series, from whichever object it was drawn in: RTSTRUCT or SEG."""

from __future__ import annotations

from pathlib import Path

from config.errors import IneligibleStudyError
from config.messages.message import message
from workers.volumes.contours import RoiMask, roi_on_series
from workers.volumes.reader import MrSeries
from workers.volumes.registrations import read_registration
from workers.volumes.rtstruct import read_rtstruct
from workers.volumes.segmentations import read_segment, segment_on_series


def contour_on_series(
    path: Path, kind: str, number: int | str, series: MrSeries, registration: Path | None = None
) -> RoiMask:
    """Rasterise the chosen ROI or segment on a stored series.

    Parameters
    ----------
    path : Path
        The stored RTSTRUCT or SEG.
    kind : {'RTSTRUCT', 'SEG'}
        Its modality.
    number : int or str
        ROI Number or Segment Number.
    series : MrSeries
        The series whose grid the mask has.
    registration : Path, optional
        A Spatial Registration that links the frames of reference of the contour and the series.

    Returns
    -------
    RoiMask
        On the grid of the series.

    Raises
    ------
    IneligibleStudyError
        What `read_rtstruct`, `read_registration`, `roi_on_series`, `read_segment` and `segment_on_series` raise;
        ``no_matching_roi`` when the structure set has no ROI of this number.
    InputError
        The segmentation has no segment of this number.
    """
    registrations = [read_registration(registration)] if registration is not None else []
    if kind == "SEG":
        return segment_on_series(read_segment(path, str(number)), series, registrations)
    roi = next((roi for roi in read_rtstruct(path) if str(roi.number) == str(number)), None)
    if roi is None:
        text = message("no_matching_roi.number", file=path.name, number=number)
        raise IneligibleStudyError("no_matching_roi", text)
    return roi_on_series(roi, series, registrations)
