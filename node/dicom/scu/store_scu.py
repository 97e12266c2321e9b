"""C-STORE as SCU: the stored bytes are sent as they are, and each object gets an outcome (PS3.4 Annex B).

A peer that does not accept the transfer syntax of the bytes gets the same instance uncompressed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from config.messages.message import message
from config.settings import PacsSettings
from node.dicom.network.connection import NoContextAcceptedError, association
from node.dicom.network.statuses import Verdict, verdict_of
from node.dicom.scu.conversion import converted, syntaxes_for

SOP_CLASS_NOT_SUPPORTED = 0x0122
STOPPED = message("store.stopped")


@dataclass(frozen=True)
class FileToSend:
    """A Part-10 file, and the SOP class and transfer syntax that must be negotiated for it."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True)
class SendOutcome:
    """The outcome of one C-STORE.

    Attributes
    ----------
    sop_instance_uid : str
        The object.
    verdict : Verdict
        Stored, retry, or refused.
    status : int or None
        Status of the response (PS3.4 B.2.3); None when there was no response.
    note : str
        Half a sentence for the delivery's history; empty after a success without comment.
    class_refused : bool
        Whether the peer does not accept the SOP class, or not in this transfer syntax: another form of the document
        may be accepted.
    """

    sop_instance_uid: str
    verdict: Verdict
    status: int | None = None
    note: str = ""
    class_refused: bool = False


def send(
    files: Sequence[FileToSend], pacs: PacsSettings, calling_ae: str, proceed: Callable[[], bool] = lambda: True
) -> list[SendOutcome]:
    """Send files over one association.

    Parameters
    ----------
    files : sequence of FileToSend
        Sent in this order. A data set is decoded only where the peer does not accept its transfer syntax.
    pacs : PacsSettings
        The destination.
    calling_ae : str
        AE title of this node.
    proceed : callable
        Called before each file; after False nothing more is sent, and the verdict of the rest is retry.

    Returns
    -------
    list of SendOutcome
        One for each file, in the same order. After an association that ended early, the verdict of every file without
        a response is retry.

    Raises
    ------
    PacsUnavailableError
        When no association could be established for another reason than refused presentation contexts.
    """
    outcomes: list[SendOutcome] = []
    try:
        with association(pacs, calling_ae, contexts_for(files)) as assoc:
            # With one transfer syntax in each context, what is accepted is exactly what can be sent as it is.
            accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in assoc.accepted_contexts}
            lost = False
            for file in files:
                if not lost and not proceed():
                    break
                outcome = _send_file(assoc, file, accepted, lost)
                # Without a response the object may be stored or not. It is sent again; the same bytes under the same
                # UID do no harm.
                lost = lost or (outcome.status is None and not outcome.class_refused)
                outcomes.append(outcome)
            outcomes += [
                SendOutcome(file.sop_instance_uid, Verdict.RETRY, note=STOPPED) for file in files[len(outcomes) :]
            ]
    except NoContextAcceptedError:
        outcomes = [_class_refused(file) for file in files]
    return outcomes


def contexts_for(files: Sequence[FileToSend]) -> list[PresentationContext]:
    """Return exactly the presentation contexts that these files need: fewer contexts are negotiated faster.

    Parameters
    ----------
    files : sequence of FileToSend
        Any number.

    Returns
    -------
    list of PresentationContext
        One for each pair of SOP class and transfer syntax, in order of appearance.
    """
    # At most 128 contexts fit into a request (PS3.8 section 9.3.2.2): seven kinds of objects with three each.
    needed = dict.fromkeys(
        (file.sop_class_uid, syntax) for file in files for syntax in syntaxes_for(file.transfer_syntax_uid)
    )
    return [build_context(sop_class, syntax) for sop_class, syntax in needed]


def send_folder(paths: Sequence[Path], host: str, port: int, calling: str, called: str) -> list[SendOutcome]:
    """Send DICOM files as a modality or a routing PACS does; for the demonstration and for tests.

    Parameters
    ----------
    paths : sequence of Path
        Part-10 files.
    host, port : str, int
        Address of the receiving application entity.
    calling, called : str
        AE titles.

    Returns
    -------
    list of SendOutcome
        One for each file, in the same order.

    Raises
    ------
    PacsUnavailableError
        When no association could be established.
    """
    peer = PacsSettings(name=called, ae_title=called, host=host, port=port)
    return send([_file_to_send(path) for path in paths], peer, calling)


def _file_to_send(path: Path) -> FileToSend:
    meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
    return FileToSend(
        path, str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID)
    )


def _send_file(assoc: Association, file: FileToSend, accepted: set[tuple[str, str]], lost: bool) -> SendOutcome:
    uid = file.sop_instance_uid
    syntaxes = [each for each in syntaxes_for(file.transfer_syntax_uid) if (file.sop_class_uid, each) in accepted]
    if not syntaxes:
        return _class_refused(file)
    # The association may look established for a moment after a request without a response: nothing more is sent on it.
    if lost or not assoc.is_established:
        return SendOutcome(uid, Verdict.RETRY, note=message("store.ended_before"))
    as_stored = syntaxes[0] == file.transfer_syntax_uid
    response = assoc.send_c_store(file.path if as_stored else converted(file.path, syntaxes[0]))
    status = response.get("Status")
    if status is None:
        return SendOutcome(uid, Verdict.RETRY, note=message("store.ended_without_response"))
    verdict = verdict_of(int(status))
    return SendOutcome(uid, verdict, int(status), _note(response), class_refused=status == SOP_CLASS_NOT_SUPPORTED)


def _class_refused(file: FileToSend) -> SendOutcome:
    note = message("store.class_refused", sop_class=file.sop_class_uid, syntax=file.transfer_syntax_uid)
    return SendOutcome(file.sop_instance_uid, Verdict.REFUSED, None, note, class_refused=True)


def _note(response: Dataset) -> str:
    if response.Status == 0x0000:
        return ""
    comment = str(response.get("ErrorComment", "") or "")
    status = f"{response.Status:04X}"
    if comment:
        return message("store.status_comment", status=status, comment=comment)
    return message("store.status", status=status)
