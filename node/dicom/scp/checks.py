"""What a received instance must be to be stored as a part of its study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from config.messages.message import message, text_of
from node.dicom.headers.instance_header import InstanceHeader
from node.dicom.headers.structure import STUDY_INSTANCE_UID, EncodingError
from node.dicom.network.contexts import TRANSFER_SYNTAXES
from node.dicom.network.statuses import StoreStatus
from node.store.names import UID_LENGTH, is_uid
from node.store.part10 import FileMeta

# Codes of quarantined objects; they name folders on the disk and rows of the ledger
UNREADABLE = "unreadable_instance"
CONFLICTING = "conflicting_instance"


@dataclass(frozen=True)
class Requested:
    """What an instance has to belong to, where a request names it; empty: any study or series.

    Parameters
    ----------
    study_instance_uid, series_instance_uid : str
        Of the request.
    """

    study_instance_uid: str = ""
    series_instance_uid: str = ""

    def difference(self, header: InstanceHeader) -> str:
        """Return why an instance is not one of those requested; empty for one that is."""
        for what, requested, value in (
            ("study", self.study_instance_uid, header.study_instance_uid),
            ("series", self.series_instance_uid, header.series_instance_uid),
        ):
            if requested and value != requested:
                return f"expected an instance of {what} {requested}, found one of {what} {value}"
        return ""


class InstanceRefusedError(Exception):
    """The instance is not accepted as a part of a study; it goes to quarantine.

    Parameters
    ----------
    status : StoreStatus
        Of the response.
    code : str
        Of the quarantined object.
    text : str
        The reason, free of patient data.
    study_instance_uid : str, optional
        The study whose case names the object; None when it could not be read.
    differences : sequence of str
        Of a conflict: keywords of what differs, or why that is not known.
    """

    def __init__(
        self, status: StoreStatus, code: str, text: str, study_instance_uid: str | None = None,
        differences: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(text)
        self.status, self.code, self.text, self.study_instance_uid = status, code, text, study_instance_uid
        self.differences = tuple(differences)

    @classmethod
    def of_encoding(cls, error: EncodingError) -> InstanceRefusedError:
        """Return the refusal of an object that cannot be read, with its study where that could be found."""
        study = error.uids.get(STUDY_INSTANCE_UID, "")
        return cls(StoreStatus.UNREADABLE, UNREADABLE, text_of(error), study if is_uid(study) else None)

    @classmethod
    def of_conflict(cls, meta: FileMeta, study_instance_uid: str, differences: Sequence[str]) -> InstanceRefusedError:
        """Return the refusal of other content under a SOP Instance UID that is stored already.

        Parameters
        ----------
        meta : FileMeta
            Of the command.
        study_instance_uid : str
            The study of the stored instance.
        differences : sequence of str
            Keywords of what differs, or why that is not known; without values.
        """
        text = message("conflict.other_content", names=differences, uid=meta.sop_instance_uid)
        return cls(StoreStatus.CONFLICTING_INSTANCE, CONFLICTING, text, study_instance_uid, differences)


def check_identity(meta: FileMeta, header: InstanceHeader) -> None:
    """Check that a data set is what the command announced, and that its UIDs can name files.

    Parameters
    ----------
    meta : FileMeta
        Of the command.
    header : InstanceHeader
        Of the data set.

    Raises
    ------
    InstanceRefusedError
        A UID is missing, invalid, or another one than announced; with the study where its UID is valid.
    """
    study = header.study_instance_uid if is_uid(header.study_instance_uid) else None
    for keyword, value in (
        ("SOPClassUID", header.sop_class_uid), ("SOPInstanceUID", header.sop_instance_uid),
        ("StudyInstanceUID", header.study_instance_uid), ("SeriesInstanceUID", header.series_instance_uid),
    ):  # fmt: skip
        # UIDs become names of files and folders: anything but digits and dots could leave the storage root.
        if not is_uid(value):
            text = message("identity.uid_missing", keyword=keyword)
            if len(value) > UID_LENGTH:
                text = message("identity.uid_too_long", keyword=keyword, n=UID_LENGTH, value=value[:80])
            elif value:
                text = message("identity.no_uid", keyword=keyword, value=value)
            raise InstanceRefusedError(StoreStatus.UNREADABLE, UNREADABLE, text, study)
    # The context of another class accepts any syntax; an image does not get in through it (PS3.7 section 9.3.1.1).
    if meta.transfer_syntax_uid not in TRANSFER_SYNTAXES:
        text = message("identity.syntax", syntax=meta.transfer_syntax_uid)
        raise InstanceRefusedError(StoreStatus.UNREADABLE, UNREADABLE, text, study)
    # PS3.4 Table B.2-1: A9xx, "data set does not match SOP Class".
    if header.sop_class_uid != meta.sop_class_uid:
        text = message("identity.other_class", announced=meta.sop_class_uid, found=header.sop_class_uid)
        raise InstanceRefusedError(StoreStatus.SOP_CLASS_MISMATCH, UNREADABLE, text, study)
    if header.sop_instance_uid != meta.sop_instance_uid:
        text = message("identity.other_instance", announced=meta.sop_instance_uid, found=header.sop_instance_uid)
        raise InstanceRefusedError(StoreStatus.SOP_INSTANCE_MISMATCH, UNREADABLE, text, study)
