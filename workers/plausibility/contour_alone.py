"""What the structure set alone says against a contour: a speck, or a place inside a named organ."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from config.errors import CptdnError, IneligibleStudyError
from config.indication.organs import is_uninvaded_organ
from config.messages.message import message
from workers.volumes.contours import RoiMask, roi_mask
from workers.volumes.findings import Finding
from workers.volumes.rtstruct import Roi, read_rtstruct

SMALLEST_TUMOUR_ML = 0.1  # a T3 tumour is hundreds of times larger; specks of 0.01 mL come from a slip of the mouse
TUMOUR_SHARE, ORGAN_SHARE = 0.10, 0.25
NOTED_SHARE, NOTED_ML = 0.02, 0.1


def require_tumour_volume(role: str, contour: RoiMask) -> None:
    """Refuse a contour that no primary tumour of this stage has.

    Parameters
    ----------
    role : str
        Of the series, for the sentence.
    contour : RoiMask
        On the series.

    Raises
    ------
    IneligibleStudyError
        ``implausible_volume`` below 0.1 mL, whatever the bundle's cohort.
    """
    if contour.volume_ml < SMALLEST_TUMOUR_ML:
        text = message(
            "implausible_volume.too_small",
            role=role,
            least=SMALLEST_TUMOUR_ML,
            found=contour.volume_ml,
            number=contour.roi_number,
            name=contour.roi_name,
        )
        raise IneligibleStudyError("implausible_volume", text)


def require_outside_organs(role: str, path: Path, kind: str, contour: RoiMask) -> list[Finding]:
    """Refuse a contour that overlaps an organ of the same structure set, in which the tumour cannot be.

    Parameters
    ----------
    role : str
        Of the series, for the sentence.
    path : Path
        The stored object of the contour.
    kind : {'RTSTRUCT', 'SEG'}
        A SEG names no organs here, and a contour that a registration moved is not compared.
    contour : RoiMask
        On the series.

    Returns
    -------
    list of Finding
        ``organ_overlap`` for a small overlap, which inaccurate drawing explains.

    Raises
    ------
    IneligibleStudyError
        ``contour_in_organ`` when a tenth of the tumour is inside an organ, or a quarter of the organ inside the tumour.
    """
    # A registration has moved the tumour and not the organs; where they are then is not known here.
    if kind != "RTSTRUCT" or any(finding.code == "registration_applied" for finding in contour.findings):
        return []
    rois = read_rtstruct(path)
    frames = {roi.frame_of_reference_uid for roi in rois if str(roi.number) == str(contour.roi_number)}
    findings = []
    for roi in rois:
        if str(roi.number) == str(contour.roi_number) or not is_uninvaded_organ(roi.name):
            continue
        # In another frame of reference the organ is somewhere else.
        if roi.problem is not None or roi.frame_of_reference_uid not in frames or not _is_near(roi, contour):
            continue
        overlap = _overlap(roi, contour)
        if overlap is None:
            continue
        shared_ml, organ_ml = overlap
        of_tumour, of_organ = shared_ml / max(contour.mask_volume_ml, 1e-9), shared_ml / max(organ_ml, 1e-9)
        text = message(
            "contour_in_organ.overlap",
            role=role,
            number=roi.number,
            name=roi.name,
            shared_ml=shared_ml,
            share=of_tumour,
        )
        if of_tumour > TUMOUR_SHARE or of_organ > ORGAN_SHARE:
            raise IneligibleStudyError("contour_in_organ", text)
        if of_tumour > NOTED_SHARE and shared_ml > NOTED_ML:
            findings.append(Finding("organ_overlap", text))
    return findings


def _is_near(roi: Roi, contour: RoiMask) -> bool:
    """Whether the boxes of organ and tumour overlap; most organs are rasterised in vain otherwise."""
    closed = [line.points_lps_mm for line in roi.contours if line.is_closed]
    if not closed:
        return False
    indices = contour.grid.indices_of(np.concatenate(closed))
    touched = np.argwhere(contour.mask_zyx)[:, ::-1]
    return bool(
        np.all(indices.max(axis=0) >= touched.min(axis=0)) and np.all(indices.min(axis=0) <= touched.max(axis=0))
    )


def _overlap(roi: Roi, contour: RoiMask) -> tuple[float, float] | None:
    """Volume inside both, and of the organ, in mL; None for an organ that cannot be rasterised."""
    try:
        organ = roi_mask(roi, contour.grid)
    except CptdnError:
        # Another region's fault is no reason to lose the tumour.
        return None
    both = np.logical_and(organ.mask_zyx, contour.mask_zyx)
    return float(np.count_nonzero(both)) * contour.grid.voxel_volume_ml, organ.mask_volume_ml
