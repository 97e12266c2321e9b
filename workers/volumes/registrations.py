"""Spatial Registration: rigid transformations between frames of reference (PS3.3 A.39.1, C.20.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from config.arrays import FloatArray
from config.errors import IneligibleStudyError
from workers.volumes.parsing import PARSE_ERRORS

SPATIAL_REGISTRATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.1"
RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Registration:
    """The transformations of one Spatial Registration object.

    Attributes
    ----------
    sop_instance_uid : str
        The object.
    frame_of_reference_uid : str
        The registered frame of reference, to which all matrices lead.
    matrices : mapping of str to float64, shape (4, 4)
        Frame of Reference UID -> homogeneous matrix from it to the registered one, in mm.
    """

    sop_instance_uid: str
    frame_of_reference_uid: str
    matrices: Mapping[str, FloatArray]

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
        """
        to_registered = {self.frame_of_reference_uid: np.eye(4), **self.matrices}
        if source_uid not in to_registered or target_uid not in to_registered:
            return None
        # By way of the registered frame, which has the identity: each stored matrix leads into it (PS3.3 C.20.2.1.1).
        return np.asarray(np.linalg.inv(to_registered[target_uid]) @ to_registered[source_uid])


def read_registration(path: Path) -> Registration:
    """Read a rigid Spatial Registration.

    Parameters
    ----------
    path : Path
        The stored object.

    Returns
    -------
    Registration
        One matrix for each frame of reference that it names.

    Raises
    ------
    IneligibleStudyError
        ``unreadable_instance`` when the file is damaged or of another kind; ``frame_of_reference_mismatch`` when a
        transformation is not rigid.

    References
    ----------
    PS3.3 C.20.2.1.1: the matrix of an item leads from its frame of reference to the registered one.
    """
    try:
        dataset = dcmread(path)
        if dataset.get("SOPClassUID") != SPATIAL_REGISTRATION_STORAGE:
            sop_class = dataset.get("SOPClassUID") or "no SOP class"
            text = f"{path.name}: expected a Spatial Registration, found {getattr(sop_class, 'name', sop_class)}"
            raise IneligibleStudyError("unreadable_instance", text)
        matrices = {
            str(item.FrameOfReferenceUID): _matrix(item, path)
            for item in dataset.RegistrationSequence
            if item.get("FrameOfReferenceUID")
        }
        return Registration(str(dataset.SOPInstanceUID), str(dataset.FrameOfReferenceUID), matrices)
    except IneligibleStudyError:
        raise
    except PARSE_ERRORS as error:
        text = f"{path.name} cannot be read as a Spatial Registration: {type(error).__name__}: {error}"
        raise IneligibleStudyError("unreadable_instance", text) from error


def _matrix(item: Dataset, path: Path) -> FloatArray:
    """Return the product of an item's matrices, the first one applied first (C.20.2.1.1)."""
    product = np.eye(4)
    for registration in item.MatrixRegistrationSequence:
        for entry in registration.MatrixSequence:
            matrix = np.array([float(v) for v in entry.FrameOfReferenceTransformationMatrix]).reshape(4, 4)
            product = matrix @ product
    # The stated type (RIGID, RIGID_SCALE, AFFINE) is not relied on. A scaling would change the tumour's volume, and a
    # determinant below 0 would be a mirror image.
    rotation = product[:3, :3]
    rigid = np.abs(rotation @ rotation.T - np.eye(3)).max() < RIGID_TOLERANCE and np.linalg.det(rotation) > 0
    if not rigid or np.abs(product[3] - (0, 0, 0, 1)).max() > RIGID_TOLERANCE:
        text = f"{path.name}: expected a rigid registration, found the matrix {np.round(product, 4).tolist()}"
        raise IneligibleStudyError("frame_of_reference_mismatch", text)
    return product
