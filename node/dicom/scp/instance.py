"""One instance that is being received, and the outcome that its sender is told."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

import structlog

from node.dicom.headers.early_header import EarlyHeader
from node.dicom.network.protocol_errors import ProtocolError
from node.dicom.network.statuses import StoreStatus
from node.dicom.scp.checks import Requested
from node.store.incoming import IncomingFile
from node.store.part10 import FileMeta

DRAINED_BYTES = 64 * 1024 * 1024  # read beyond the limit, so that the sender gets a response instead of an abort

BEGINNING_BYTES = 1 << 16  # of an object that is discarded: its Study Instance UID is in them

log = structlog.get_logger("cptdn.intake")


@dataclass(frozen=True)
class Outcome:
    """The response to one C-STORE request, or to one part of a DICOMweb message.

    Parameters
    ----------
    status : StoreStatus
        Of the response.
    comment : str
        Error Comment (0000,0902) before it is shortened; free of patient data.
    study_instance_uid : str or None
        The study that the instance belongs to, where it could be read.
    """

    status: StoreStatus
    comment: str = ""
    study_instance_uid: str | None = None


def storage_failed(meta: FileMeta, error: OSError) -> Outcome:
    """Log an error of the disk and return the outcome that makes the sender try again later."""
    log.error("storage_failed", sop_instance_uid=meta.sop_instance_uid, error=str(error))
    return Outcome(StoreStatus.OUT_OF_RESOURCES, "storage failed")


class IncomingInstance:
    """An instance from the first bytes of its data set to its row in the ledger.

    When it cannot be stored, its data set is read to the end all the same: a sender listens for the response only then.

    Parameters
    ----------
    meta : FileMeta
        What the command announced.
    file : IncomingFile or None
        Where the data set goes; None when nothing of it can be stored.
    max_bytes : int or None
        Limit of the data set; None for an object that was received before.
    failure : Outcome, optional
        Why nothing of it can be stored.

    Attributes
    ----------
    requested : Requested
        What it has to belong to; set by the request. Anything where there was none.
    unreadable : str
        Why it is quarantined without being read, such as a file that is no DICOM file; empty for any other.
    """

    def __init__(
        self, meta: FileMeta, file: IncomingFile | None, max_bytes: int | None = None, failure: Outcome | None = None
    ) -> None:
        self.meta = meta
        self.failure = failure
        self.requested = Requested()
        self.unreadable = ""
        self.early_header: EarlyHeader | None = None
        self._file = file
        self._max_bytes = max_bytes
        self._size_bytes = 0

    @property
    def file(self) -> IncomingFile:
        """The file of the data set. Raises ValueError when there is none; `failure` says why."""
        if self._file is None:
            raise ValueError("nothing of this instance is stored")
        return self._file

    @property
    def path(self) -> str:
        """Path of the file; empty without one."""
        return "" if self._file is None else self._file.path

    def write(self, *pieces: bytes | memoryview) -> None:
        """Append pieces of the data set.

        Parameters
        ----------
        *pieces : bytes-like
            In the order of the data set. An error of the disk is kept in `failure`.

        Raises
        ------
        ProtocolError
            The data set exceeds its limit by so much that the association has to be aborted.
        """
        self._size_bytes += sum(map(len, pieces))
        if self._max_bytes is not None and self._size_bytes > self._max_bytes:
            if self._size_bytes > self._max_bytes + DRAINED_BYTES:
                raise ProtocolError(f"expected an object of at most {self._max_bytes} bytes, found {self._size_bytes}")
            if self.failure is None:
                self.failure = Outcome(StoreStatus.TOO_LARGE, f"larger than {self._max_bytes} bytes")
        if self.failure is None:
            try:
                self.file.write(*pieces)
            except OSError as error:
                self.failure = storage_failed(self.meta, error)

    def remove_temporary_name(self) -> None:
        """Remove the temporary name of the file; the file goes with it unless it was stored. Safe to call twice."""
        if self._file is not None:
            self._file.remove_temporary_name()

    def discard(self) -> None:
        """Close the file; it is removed unless it was stored. Safe to call twice."""
        if self._file is not None:
            self._file.discard()

    def __enter__(self) -> IncomingInstance:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class DiscardedInstance(IncomingInstance):
    """An object of which no case is made: read to its end, and nothing of it is written anywhere.

    Its beginning is in memory until the response, for the Study Instance UID alone.

    Parameters
    ----------
    meta : FileMeta
        What the command announced.
    """

    def __init__(self, meta: FileMeta) -> None:
        super().__init__(meta, None)
        self.beginning = bytearray()

    def write(self, *pieces: bytes | memoryview) -> None:
        """Drop pieces of the data set, all but its beginning.

        Parameters
        ----------
        *pieces : bytes-like
            In the order of the data set; there is no limit, because nothing fills up.
        """
        for piece in pieces:
            if len(self.beginning) >= BEGINNING_BYTES:
                return
            self.beginning += piece[: BEGINNING_BYTES - len(self.beginning)]
