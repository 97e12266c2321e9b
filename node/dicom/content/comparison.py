"""The comparison of two objects under one SOP Instance UID."""

from __future__ import annotations

from pydicom.dataset import Dataset

from node.dicom.content.attributes import differing_attributes
from node.dicom.content.pixels import differing_pixels


def differences_between(stored: Dataset, arrived: Dataset) -> tuple[str, ...]:
    """Return what differs between two objects in what counts; a pure function of both.

    Parameters
    ----------
    stored, arrived : Dataset
        Whole objects with their file meta information, as pydicom reads them.

    Returns
    -------
    tuple of str
        Keywords; empty where both are the same instance. Pixels are decoded only where all attributes agree.

    Raises
    ------
    Exception
        What pydicom and the codecs raise for damaged values; such objects cannot be compared.
    """
    return differing_attributes(stored, arrived) or differing_pixels(stored, arrived)
