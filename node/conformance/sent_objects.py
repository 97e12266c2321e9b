"""SOP classes that the configured destinations may receive."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import UID, KeyObjectSelectionDocumentStorage

from config.settings import Settings
from dicom_sr.report.sr_classes import sr_sop_class_uids_sent
from node.dicom.scu.destination_check import COMPANION_CLASSES


@dataclass(frozen=True)
class SentClass:
    """A SOP class by UID and name (PS3.6 annex A)."""

    uid: str
    name: str


def sent_classes(settings: Settings) -> list[SentClass]:
    """Return every SOP class that some destination may receive, each once.

    Parameters
    ----------
    settings : Settings
        `[[pacs]] send` names kinds of objects, `[report] sop_class` the configured form of the report.

    Returns
    -------
    list of SentClass
        With the fallback form of the report, which is sent where a destination refuses the configured one.
    """
    uids: dict[UID, None] = {}
    for pacs in settings.pacs:
        for kind in pacs.send:
            # Both forms of the report: a destination that accepts one only must see both in the statement.
            classes = sr_sop_class_uids_sent(settings.report.sop_class) if kind == "sr" else (COMPANION_CLASSES[kind],)
            uids.update(dict.fromkeys(classes))
        if pacs.rejection_notes:
            uids[KeyObjectSelectionDocumentStorage] = None
    return [SentClass(str(uid), uid.name) for uid in uids]
