"""The header of a received instance: from its first bytes where they are enough, else from the whole file."""

from __future__ import annotations

from pathlib import Path

from config.messages.message import text_of
from node.dicom.headers.early_header import EARLY_HEADER_BYTES, EarlyHeader, read_early_header
from node.dicom.headers.full_header import read_full_header
from node.dicom.headers.identifying_uids import SEARCHED_BYTES, find_identifying_uids
from node.dicom.headers.instance_header import InstanceHeader
from node.dicom.headers.structure import EncodingError
from node.store.incoming import IncomingFile


def read_instance_header(incoming: IncomingFile, early_header: EarlyHeader | None = None) -> InstanceHeader:
    """Read the header of a data set whose bytes are all in its file.

    Parameters
    ----------
    incoming : IncomingFile
        Written to the last byte; need not be durable.
    early_header : EarlyHeader, optional
        Read while the data set arrived. Without one the first bytes are read back: the data set came in small pieces.

    Returns
    -------
    InstanceHeader
        The same from either way of reading.

    Raises
    ------
    EncodingError
        The bytes are not a data set in the transfer syntax of the file, or reading them takes too much; with the
        identifying UIDs that could be found all the same.
    OSError
        The file cannot be read back.
    """
    syntax = incoming.meta.transfer_syntax_uid
    early_header = early_header or read_early_header(incoming.first_bytes(EARLY_HEADER_BYTES), syntax)
    # Any other size means that elements follow the pixels, or that the object is cut off: the whole is validated then.
    if early_header is not None and early_header.size_bytes == incoming.size_bytes:
        return early_header.header
    try:
        return read_full_header(Path(incoming.path), incoming.data_offset, syntax)
    except EncodingError as error:
        found = find_identifying_uids(incoming.first_bytes(SEARCHED_BYTES), syntax)
        raise EncodingError(text_of(error), {**found, **error.uids}) from error
