"""The codec of a transfer syntax, as pydicom knows it."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import HTJ2K, JPEG2000, UID, HTJ2KLossless, HTJ2KLosslessRPCL, JPEG2000Lossless

# A codestream says by its own markers whether it is of ISO/IEC 15444-1 or of Part 15 (HTJ2K), and OpenJPEG reads both;
# pydicom offers HTJ2K with one more package only.
_OF_CODESTREAM = {HTJ2KLossless: JPEG2000Lossless, HTJ2KLosslessRPCL: JPEG2000Lossless, HTJ2K: JPEG2000}


def decoder_of(ds: Dataset, transfer_syntax_uid: str) -> Decoder:
    """Return pydicom's decoder for the pixels of an object.

    Parameters
    ----------
    ds : Dataset
        With file meta information, whose transfer syntax becomes the one of the decoder.
    transfer_syntax_uid : str
        In which the pixels are encoded.

    Returns
    -------
    Decoder
        Of JPEG 2000 for High-Throughput JPEG 2000; raises NotImplementedError for a syntax without decoder.

    References
    ----------
    PS3.5 sections A.4.4 (JPEG 2000) and A.4.11 (HTJ2K); ISO/IEC 15444-15.
    """
    syntax = _OF_CODESTREAM.get(UID(transfer_syntax_uid), UID(transfer_syntax_uid))
    ds.file_meta.TransferSyntaxUID = syntax
    return get_decoder(syntax)
