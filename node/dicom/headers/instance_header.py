"""What is read from the header of a received instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from node.dicom.headers.structure import SERIES_INSTANCE_UID, SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID


@dataclass(frozen=True)
class InstanceHeader:
    """The header of one instance.

    Parameters
    ----------
    values : dict
        Keywords that the case rules read, as `header_of` gives them; can be written as JSON.
    uids : mapping of int to str
        The identifying UIDs by tag, as texts that may not be UIDs; missing elements are left out.
    """

    values: dict[str, Any]
    uids: Mapping[int, str] = field(default_factory=dict)

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID (0008,0016), or empty."""
        return self.uids.get(SOP_CLASS_UID, "")

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID (0008,0018), or empty."""
        return self.uids.get(SOP_INSTANCE_UID, "")

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D), or empty."""
        return self.uids.get(STUDY_INSTANCE_UID, "")

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID (0020,000E), or empty."""
        return self.uids.get(SERIES_INSTANCE_UID, "")
