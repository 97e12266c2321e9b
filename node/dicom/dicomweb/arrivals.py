"""The parts of a DICOMweb message on their way to the intake, one after the other, while their bytes arrive.

A part is a DICOM file (PS3.10). Its header takes the place of the C-STORE command, its data set goes through the same
`IncomingInstance` as one that came by C-STORE: an outcome exists only after the intake has given it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from config.errors import InputError
from node.dicom.dicomweb.multipart import DICOM, MediaTypeError, MultipartReader, PartListener
from node.dicom.network.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES, is_other_storage_class
from node.dicom.network.statuses import StoreStatus
from node.dicom.scp.checks import Requested
from node.dicom.scp.instance import IncomingInstance
from node.dicom.scp.intake import Intake
from node.dicom.scp.senders import Sender
from node.store.part10 import FileMeta, read_file_header

# Failure Reasons beside those of C-STORE, PS3.18 table I.2-2
CLASS_NOT_SUPPORTED = 0x0122
SYNTAX_NOT_SUPPORTED = 0xC122
# The header of a file that is quarantined because it has none that can be read
_NO_META = ("", "", "1.2.840.10008.1.2.1")


@dataclass(frozen=True)
class PartOutcome:
    """What became of one part.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid : str
        Of the header of its file; empty where it has none.
    status : int
        0 is a success, any other a Failure Reason (0008,1197).
    comment : str
        Why it failed, free of patient data.
    """

    sop_class_uid: str
    sop_instance_uid: str
    status: int
    comment: str = ""


@dataclass(frozen=True)
class Door:
    """The intake as the parts of one message see it.

    Attributes
    ----------
    intake : Intake
        Checks and stores them.
    sender : callable
        Returns the sender of the message; called with each part, so that a message without parts opens none.
    source : str
        AE title or name of the sender, for the header of the stored file.
    max_object_bytes : int
        Limit of one data set.
    discards_others : bool
        Whether objects that no case is made of are a success, as by `[node] other_classes`.
    requested : Requested
        What the parts have to belong to.
    """

    intake: Intake
    sender: Callable[[], Sender]
    source: str
    max_object_bytes: int
    discards_others: bool = True
    requested: Requested = field(default_factory=Requested)


class ArrivingParts:
    """Gives the parts of one message to the intake; close it, whatever happens.

    Parameters
    ----------
    boundary : str
        Of the message.
    door : Door
        Where they go.

    Attributes
    ----------
    outcomes : list of PartOutcome
        Of the parts that have arrived as a whole, in their order.
    """

    def __init__(self, boundary: str, door: Door) -> None:
        self.outcomes: list[PartOutcome] = []
        self._door = door
        self._part: _ArrivingPart | None = None
        self._reader = MultipartReader(boundary, PartListener(self._begin, self._write, self._end))

    @property
    def is_complete(self) -> bool:
        """Whether the last delimiter has arrived: nothing of the message is missing."""
        return self._reader.is_complete

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the message; on return the parts that they end are durable or refused.

        Parameters
        ----------
        data : bytes
            Any number of them.

        Raises
        ------
        MultipartError
            The message cannot be read further.
        MediaTypeError
            A part is something else than a DICOM file.
        ProtocolError
            An object exceeds its limit by far.
        """
        self._reader.feed(data)

    def close(self) -> None:
        """Discard a part that did not arrive as a whole; safe to call twice."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    def _begin(self, media_type: str) -> None:
        if media_type not in (DICOM, ""):
            raise MediaTypeError(f"expected parts of {DICOM}, found {media_type}")
        self._part = _ArrivingPart(self._door)

    def _write(self, piece: memoryview) -> None:
        if self._part is not None:
            self._part.write(piece)

    def _end(self) -> None:
        if self._part is not None:
            try:
                self.outcomes.append(self._part.finish())
            finally:
                self.close()


class _ArrivingPart:
    """One DICOM file: its header is collected in memory, at most 64 kB, its data set goes to the intake."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._header = bytearray()
        self._instance: IncomingInstance | None = None
        self._refused: PartOutcome | None = None

    def write(self, piece: memoryview) -> None:
        if self._instance is not None:
            self._instance.write(piece)
        elif self._refused is None:  # what is refused is read to its end and dropped
            self._header += piece
            try:
                found = read_file_header(self._header, self._door.source)
            except InputError as error:
                self._begin_unreadable(str(error))
                return
            if found is not None:
                self._begin_data_set(*found)

    def _begin_data_set(self, meta: FileMeta, offset: int) -> None:
        if meta.sop_class_uid not in STORAGE_CLASSES and not (
            self._door.discards_others and is_other_storage_class(meta.sop_class_uid)
        ):
            self._refused = PartOutcome(
                meta.sop_class_uid, meta.sop_instance_uid, CLASS_NOT_SUPPORTED,
                f"this SOP class is not stored here: {meta.sop_class_uid or 'none is named'}",
            )  # fmt: skip
        # By C-STORE the negotiation says so, before anything is sent.
        elif meta.sop_class_uid in STORAGE_CLASSES and meta.transfer_syntax_uid not in TRANSFER_SYNTAXES:
            self._refused = PartOutcome(
                meta.sop_class_uid, meta.sop_instance_uid, SYNTAX_NOT_SUPPORTED,
                f"this transfer syntax is not stored here: {meta.transfer_syntax_uid or 'none is named'}",
            )  # fmt: skip
        else:
            self._begin(meta).write(memoryview(self._header)[offset:])
        self._header = bytearray()

    def _begin_unreadable(self, reason: str) -> IncomingInstance:
        instance = self._begin(FileMeta(*_NO_META, self._door.source))
        instance.unreadable = reason
        instance.write(memoryview(self._header))
        self._header = bytearray()
        return instance

    def _begin(self, meta: FileMeta) -> IncomingInstance:
        self._instance = self._door.intake.begin(meta, self._door.max_object_bytes)
        self._instance.requested = self._door.requested
        return self._instance

    def finish(self) -> PartOutcome:
        if self._refused is not None:
            return self._refused
        instance = self._instance or self._begin_unreadable(
            f"expected a DICOM file with a data set behind its header, found {len(self._header)} bytes without one"
        )
        outcome = self._door.intake.finish(instance, self._door.sender())
        comment = "" if outcome.status is StoreStatus.SUCCESS else outcome.comment
        return PartOutcome(instance.meta.sop_class_uid, instance.meta.sop_instance_uid, int(outcome.status), comment)

    def discard(self) -> None:
        if self._instance is not None:
            self._instance.discard()
