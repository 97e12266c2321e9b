"""DIMSE messages of an association whose C-STORE data sets go to files while they arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from node.dicom.network.protocol_errors import ProtocolError
from node.dicom.network.pynetdicom_internals import DataSetWriter, attach_writer, is_unfinished_store, writer_of
from node.store.part10 import FileMeta

LONGEST_UID_TEXT = 256  # of a command; what is longer than 64 is refused later, but its text goes into a file first

# Opens the file of a data set that is announced by a C-STORE command.
OpenDataSet = Callable[[FileMeta], DataSetWriter]


class FileDimseProvider(DIMSEServiceProvider):
    """Writes the data set of each C-STORE request to a file while it arrives.

    pynetdicom would collect it in memory: 2 GB for an Enhanced MR of that size, for each association. What came in the
    PDU of the command stays there when it is the whole data set.

    Parameters
    ----------
    assoc : Association
        The association; its upper layer must be created after this provider, which it takes its message queue from.
    open_data_set : callable
        Opens the file; called in the thread of the upper layer.
    """

    def __init__(self, assoc: Association, open_data_set: OpenDataSet) -> None:
        super().__init__(assoc)
        self._open_data_set = open_data_set
        self._receiving: DataSetWriter | None = None  # used by the thread of the upper layer only
        self._open: set[DataSetWriter] = set()  # those without an owner among the request handlers

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Add fragments to the message that is arriving.

        Raises
        ------
        ProtocolError
            The fragments are in a presentation context that was not accepted, or the data set exceeds its limit.
        """
        message = self.message
        try:
            # A data set that came completely in the PDU of the command never gets here: small objects need no file of
            # their own.
            if message is not None and is_unfinished_store(message):
                self._receiving = self._open_data_set(self._announced(message))
                # Before the first write, which may fail: what is in `_open` is discarded with the association in any
                # case.
                self._open.add(self._receiving)
                attach_writer(message, self._receiving)
            super().receive_primitive(primitive)
        except ProtocolError:  # before the peer is told: it may check that nothing is left
            self.discard_unfinished()
            raise
        # The message is complete and in the queue of the reactor, whose handler takes the file.
        if self.message is None:
            self._receiving = None

    def take(self, request: C_STORE) -> DataSetWriter | None:
        """Return the file of a request's data set, which the caller then discards; None when it is in memory.

        Parameters
        ----------
        request : C_STORE
            As the handler gets it.

        Returns
        -------
        DataSetWriter or None
            The caller owns it.
        """
        writer = writer_of(request)
        if writer is not None:
            self._open.discard(writer)
        return writer

    def discard_unhandled(self) -> None:
        """Discard data sets that no handler has taken; called at the end of the association's reactor."""
        for writer in list(self._open):
            if writer is not self._receiving:
                self._open.discard(writer)
                writer.discard()

    def discard_unfinished(self) -> None:
        """Discard the data set that was arriving; called at the end of the upper layer's thread, its only user."""
        unfinished, self._receiving = self._receiving, None
        if unfinished is not None:
            self._open.discard(unfinished)
            unfinished.discard()
        if not self.assoc.is_alive():  # its reactor ended first, before the last message was complete
            self.discard_unhandled()

    def _announced(self, message: DIMSEMessage) -> FileMeta:
        command = message.command_set
        for context in self.assoc.accepted_contexts:
            if context.context_id == message.context_id:
                return FileMeta(
                    sop_class_uid=str(command.get("AffectedSOPClassUID", ""))[:LONGEST_UID_TEXT],
                    sop_instance_uid=str(command.get("AffectedSOPInstanceUID", ""))[:LONGEST_UID_TEXT],
                    transfer_syntax_uid=str(cast(list[str], context.transfer_syntax)[0]),
                    source_ae_title=str(self.assoc.requestor.ae_title).strip(),
                )
        raise ProtocolError(f"expected an accepted presentation context, found {message.context_id}")
