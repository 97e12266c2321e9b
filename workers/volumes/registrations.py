"""Spatial Registration: rigid transformations between frames of reference (PS3.3 A.39.1, C.20.2).

Contours of an RTSTRUCT and segments of a SEG are moved by the same functions, and `node.cases.rigid_registration`
decides what a registration joins, here and in the node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from config.arrays import FloatArray
from config.errors import IneligibleStudyError
from config.messages.message import message, pieces
from node.cases.rigid_registration import joined_frames
from node.dicom.headers.conforming import read_conforming
from workers.volumes.findings import Finding
from workers.volumes.parsing import PARSE_ERRORS
from workers.volumes.reader import MrSeries

SPATIAL_REGISTRATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.1"


@dataclass(frozen=True)
class Registration:
    """The transformations of one Spatial Registration object.

    Attributes
    ----------
    sop_instance_uid : str
        The object.
    matrices : mapping of str to float64, shape (4, 4)
        Frame of Reference UID -> homogeneous matrix from it to the registered frame of reference, in mm.
    problems : mapping of str to str
        Frame of Reference UID -> why points of it cannot be moved.
    """

    sop_instance_uid: str
    matrices: Mapping[str, FloatArray]
    problems: Mapping[str, str] = field(default_factory=dict)

    def between(self, source_uid: str, target_uid: str) -> FloatArray | None:
        """Return the matrix that carries points of one frame of reference to another.

        Parameters
        ----------
        source_uid, target_uid : str
            Frame of Reference UIDs.

        Returns
        -------
        float64, shape (4, 4), or None
            For column vectors (x, y, z, 1) in mm; None when the object does not link the two.

        References
        ----------
        PS3.3 C.20.2.1.1: each stored matrix leads into the registered frame of reference.
        """
        if source_uid not in self.matrices or target_uid not in self.matrices:
            return None
        return np.asarray(np.linalg.inv(self.matrices[target_uid]) @ self.matrices[source_uid])


def read_registration(path: Path) -> Registration:
    """Read a rigid Spatial Registration.

    Parameters
    ----------
    path : Path
        The stored object.

    Returns
    -------
    Registration
        One matrix for each frame of reference that it joins rigidly.

    Raises
    ------
    IneligibleStudyError
        ``unreadable_instance`` when the file is damaged or of another kind; ``frame_of_reference_mismatch`` when it
        joins no two frames of reference rigidly.
    """
    try:
        dataset = read_conforming(path)
        if dataset.get("SOPClassUID") != SPATIAL_REGISTRATION_STORAGE:
            sop_class = dataset.get("SOPClassUID") or message("registration.no_sop_class")
            text = message(
                "unreadable_instance.registration_class", file=path.name, found=getattr(sop_class, "name", sop_class)
            )
            raise IneligibleStudyError("unreadable_instance", text)
        matrices, problems = joined_frames(dataset)
        uid = str(dataset.SOPInstanceUID)
    except IneligibleStudyError:
        raise
    except PARSE_ERRORS as error:
        text = message("unreadable_instance.registration", file=path.name, kind=type(error).__name__, error=error)
        raise IneligibleStudyError("unreadable_instance", text) from error
    if len(matrices) < 2:
        found = "; ".join(problems.values()) or message("registration.n_frames", n=len(matrices))
        text = message("frame_of_reference_mismatch.not_rigid", file=path.name, found=found)
        raise IneligibleStudyError("frame_of_reference_mismatch", text)
    return Registration(uid, matrices, problems)


def movement(
    title: str, source_uid: str, series: MrSeries, registrations: Sequence[Registration]
) -> tuple[FloatArray, Finding] | None:
    """Find the registration that carries a contour to a series.

    Parameters
    ----------
    title : str
        Of the contour, for the finding.
    source_uid : str
        Its frame of reference.
    series : MrSeries
        In another frame of reference.
    registrations : sequence of Registration
        The first one that links both is taken.

    Returns
    -------
    (float64 of shape (4, 4), Finding) or None
        Matrix from the contour's frame of reference to that of the series, in mm; None where none links them.
    """
    target_uid = series.frame_of_reference_uid
    for registration in registrations if source_uid and target_uid else ():
        matrix = registration.between(source_uid, target_uid)
        if matrix is not None:
            text = message("registration_applied.moved", title=title, uid=registration.sop_instance_uid)
            return matrix, Finding("registration_applied", text)
    return None


def frame_mismatch(
    title: str, source_uid: str, series: MrSeries, registrations: Sequence[Registration]
) -> IneligibleStudyError:
    """Return the refusal of a contour that no registration carries to a series; parameters as of `movement`."""
    target_uid = series.frame_of_reference_uid
    problems = [
        message(
            "frame_of_reference_mismatch.problem",
            uid=registration.sop_instance_uid,
            problem=registration.problems[uid],
        )
        for registration in registrations
        for uid in (source_uid, target_uid)
        if uid in registration.problems
    ]
    text = message(
        "frame_of_reference_mismatch.series",
        title=title,
        target=target_uid or message("part.no_value"),
        series=series.series_instance_uid,
        source=source_uid or message("part.no_value"),
        problems=pieces(problems),
    )
    return IneligibleStudyError("frame_of_reference_mismatch", text)
