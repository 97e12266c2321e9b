"""C-STORE as SCU: stored bytes go out as they are, and each object gets an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.dicom.network.connection import association, peer_name
from node.dicom.network.statuses import Verdict, verdict_of


@dataclass(frozen=True)
class FileToSend:
    """A Part-10 file to be sent, and what must be negotiated for it."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True)
class SendOutcome:
    """What became of one object. `status` is None when there was no response; `class_refused` when the peer does not
    take its SOP class (or not in this transfer syntax), so another form of the document may do."""

    sop_instance_uid: str
    verdict: Verdict
    status: int | None = None
    note: str = ""
    class_refused: bool = False


def send(objects: Sequence[FileToSend], pacs: PacsSettings, calling_ae: str) -> list[SendOutcome]:
    """Send objects over one association; one outcome each, in their order.

    Raises PacsUnavailableError when there is no association at all. An association that breaks on the way gives
    RETRY for what was not answered.
    """
    outcomes: list[SendOutcome] = []
    try:
        with association(pacs, calling_ae, contexts_for(objects)) as assoc:
            accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in assoc.accepted_contexts}
            lost = False
            for file in objects:
                outcome = _send_one(assoc, file, accepted, lost)
                lost = lost or (outcome.status is None and not outcome.class_refused)
                outcomes.append(outcome)
    except NoContextAcceptedError:
        outcomes = [_class_refused(file) for file in objects]
    return outcomes


def contexts_for(objects: Sequence[FileToSend]) -> list[PresentationContext]:
    """Exactly the contexts that these objects need: fewer make a faster association."""
    needed = dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in objects)
    return [build_context(sop_class, syntax) for sop_class, syntax in needed]


def _send_one(assoc: Association, file: FileToSend, accepted: set[tuple[str, str]], lost: bool) -> SendOutcome:
    uid = file.sop_instance_uid
    if (file.sop_class_uid, file.transfer_syntax_uid) not in accepted:
        return _class_refused(file)
    if lost or not assoc.is_established:
        return SendOutcome(uid, Verdict.RETRY, note="the association ended before this object was sent")
    response = assoc.send_c_store(file.path)
    status = response.get("Status")
    if status is None:
        return SendOutcome(uid, Verdict.RETRY, note="the association ended before the response came")
    verdict = verdict_of(int(status))
    return SendOutcome(uid, verdict, int(status), _note(response), class_refused=status == 0x0122)


def _class_refused(file: FileToSend) -> SendOutcome:
    note = f"SOP class {file.sop_class_uid} in {file.transfer_syntax_uid} is not accepted"
    return SendOutcome(file.sop_instance_uid, Verdict.REFUSED, None, note, class_refused=True)


def _note(response: Dataset) -> str:
    if response.Status == 0x0000:
        return ""
    comment = str(response.get("ErrorComment", "") or "")
    return f"status {response.Status:04X}" + (f": {comment}" if comment else "")


def send_folder(paths: Sequence[Path], host: str, port: int, calling: str, called: str) -> list[SendOutcome]:
    """Send DICOM files as a modality or a routing PACS would. Raises PacsUnavailableError."""
    from pydicom import dcmread

    peer = PacsSettings(name=called, ae_title=called, host=host, port=port)
    files = []
    for path in paths:
        meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
        files.append(
            FileToSend(
                path, str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID),
                str(meta.TransferSyntaxUID),
            )
        )  # fmt: skip
    return send(files, peer, calling)


__all__ = ["FileToSend", "SendOutcome", "peer_name", "send", "send_folder"]
