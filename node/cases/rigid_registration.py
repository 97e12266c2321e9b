"""What a Spatial Registration joins, decided by its numbers; the node and the workers use the same functions.

The stated type (RIGID, RIGID_SCALE, AFFINE) is not relied on: a matrix that scales would change the tumour's volume,
and one that mirrors would exchange the sides, whatever its type says.

References
----------
PS3.3 C.20.2 and C.20.2.1.1: the matrix of an item leads from its frame of reference to that of the registration;
several matrices of an item are applied in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from config.arrays import FloatArray
from config.messages.message import message

RIGID_TOLERANCE = 1e-3


def joined_frames(registration: Dataset) -> tuple[Mapping[str, FloatArray], Mapping[str, str]]:
    """Decide which frames of reference a Spatial Registration joins rigidly.

    Parameters
    ----------
    registration : Dataset
        A Spatial Registration with all sequences. Items that name no frame of reference are left out.

    Returns
    -------
    matrices : mapping of str to float64, shape (4, 4)
        Frame of Reference UID -> rigid matrix, in mm for column vectors (x, y, z, 1), to the frame of reference of the
        registration itself, which is among them with the identity.
    problems : mapping of str to str
        Frame of Reference UID -> what was found instead of one rigid matrix.
    """
    registered = str(registration.get("FrameOfReferenceUID") or "")
    stated: dict[str, list[FloatArray | str]] = {registered: [np.eye(4)]} if registered else {}
    for item in registration.get("RegistrationSequence") or ():
        uid = str(item.get("FrameOfReferenceUID") or "")
        if uid:
            stated.setdefault(uid, []).append(_matrix_of(item))
    matrices, problems = {}, {}
    for uid, of_frame in stated.items():
        problem = _instead_of_one_rigid(of_frame)
        if problem:
            problems[uid] = problem
        else:
            matrices[uid] = next(matrix for matrix in of_frame if not isinstance(matrix, str))
    return matrices, problems


def is_rigid(matrix: npt.ArrayLike) -> bool:
    """Whether a matrix only rotates and shifts.

    Parameters
    ----------
    matrix : array, shape (4, 4)
        Homogeneous, in mm.

    Returns
    -------
    bool
        False for a scaling, a shear, a mirror image or a last row other than (0, 0, 0, 1), beyond the rounding of its
        writer.
    """
    numbers = np.asarray(matrix, dtype=np.float64)
    rotation = numbers[:3, :3]
    is_orthonormal = np.abs(rotation @ rotation.T - np.eye(3)).max() < RIGID_TOLERANCE
    is_mirrored = np.linalg.det(rotation) <= 0
    is_homogeneous = np.abs(numbers[3] - (0, 0, 0, 1)).max() <= RIGID_TOLERANCE
    return bool(is_orthonormal and not is_mirrored and is_homogeneous)


def _matrix_of(item: Dataset) -> FloatArray | str:
    """Return the product of an item's matrices, the first one applied first; or what was found instead."""
    product: FloatArray | None = None
    try:
        for registration in item.get("MatrixRegistrationSequence") or ():
            for entry in registration.get("MatrixSequence") or ():
                values = [float(value) for value in entry.get("FrameOfReferenceTransformationMatrix") or ()]
                if len(values) != 16 or not np.all(np.isfinite(values)):
                    return message("registration.numbers", n=len(values))
                matrix = np.array(values).reshape(4, 4)
                product = matrix if product is None else matrix @ product
    except (TypeError, ValueError, OverflowError) as error:
        return message("registration.unreadable", error=error)
    return "no matrix" if product is None else product


def _instead_of_one_rigid(of_frame: Sequence[FloatArray | str]) -> str:
    """Return what was found instead of one rigid matrix; empty where there is one."""
    matrices = [matrix for matrix in of_frame if not isinstance(matrix, str)]
    for matrix in of_frame:
        # An item of the registered frame itself may leave its matrix out: it is the identity.
        if isinstance(matrix, str) and not (matrix == "no matrix" and matrices):
            return matrix
    for matrix in matrices:
        if not is_rigid(matrix):
            return message("registration.matrix", numbers=np.round(matrix, 4).tolist())
    # Of two different ones, none can be told to be right.
    if any(np.abs(matrix - matrices[0]).max() > RIGID_TOLERANCE for matrix in matrices):
        return message("registration.different", n=len(matrices))
    return ""
