"""Another transfer syntax for a destination that does not accept the stored one; the stored bytes stay as they are."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

# The default transfer syntax (PS3.5 10.1) is the last: it does not say the value representations of private elements.
UNCOMPRESSED = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


def syntaxes_for(transfer_syntax_uid: str) -> tuple[str, ...]:
    """Return the transfer syntaxes in which a stored object can be sent, the stored one first."""
    return tuple(dict.fromkeys((transfer_syntax_uid, *UNCOMPRESSED)))


def converted(path: Path, transfer_syntax_uid: str) -> Dataset:
    """Read a stored object and convert it to an uncompressed transfer syntax.

    Parameters
    ----------
    path : Path
        A Part-10 file.
    transfer_syntax_uid : str
        One of `UNCOMPRESSED`.

    Returns
    -------
    Dataset
        The same instance: its UID, its attributes and its pixels are those of the file.
    """
    dataset = dcmread(path)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(as_rgb=False, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    file = BytesIO()
    dataset.save_as(file, implicit_vr=dataset.file_meta.TransferSyntaxUID.is_implicit_VR, little_endian=True)
    file.seek(0)
    # Read again: pynetdicom refuses a data set that was read in another encoding than the one it is sent in.
    return dcmread(file)
