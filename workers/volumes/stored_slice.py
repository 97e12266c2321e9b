"""The name of one stored slice: which instance, and which of its frames."""

from __future__ import annotations

from typing import NamedTuple


class StoredSlice(NamedTuple):
    """Reference to one slice as DICOM stores it, by which a report refers to an image.

    Attributes
    ----------
    sop_instance_uid : str
        The instance.
    frame_number : int or None
        Frame of a multi-frame instance, counted from 1 as in PS3.3 C.7.6.16; None for a single-frame instance.
    """

    sop_instance_uid: str
    frame_number: int | None
