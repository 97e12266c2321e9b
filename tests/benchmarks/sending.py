"""Two senders: dcmtk's storescu, as a modality would, and one that costs nothing.

The second lays whole C-STORE requests out before the clock starts and then only sends. Both wait for each response
before the next request, as every sender without an asynchronous window does. TCP_NODELAY is set on both ends; the peers
get theirs in the environment, since dcmtk and Orthanc as packaged leave Nagle's algorithm on.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom import dcmread
from pydicom.uid import generate_uid

from node.store.part10 import FileMeta, file_header
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender, store_request
from tests.dicom.scenes import encoded
from workers.phantoms.dicom_study import write_study
from workers.phantoms.population import draw_patient, published_nomogram

SIDE = 512
SUCCESS = 0x0000


@dataclass(frozen=True)
class Image:
    """One encoded MR image of 512 x 512 pixels with a scanner's header, to be made another one by its UIDs.

    sop, study : the UIDs that stand in it, 64 characters long, so that others of that length can take their place.
    """

    data: bytes
    sop: bytes
    study: bytes

    def as_another(self, sop: bytes, study: bytes) -> bytes:
        head, pixels = self.data[:4096], self.data[4096:]
        return head.replace(self.sop, sop).replace(self.study, study) + pixels


@cache
def image(side: int = SIDE) -> Image:
    """A phantom's slice with a header as scanners write it, and random pixels that no file system can make small."""
    with TemporaryDirectory() as folder:
        study = write_study(draw_patient(1, 0, published_nomogram()), Path(folder), "BENCH-1", roles=["T1w"], matrix=64)
        ds = dcmread(study.series["T1w"][0])
    ds.Rows = ds.Columns = side
    ds.PixelSpacing = [0.45, 0.45]
    ds.SOPInstanceUID, ds.StudyInstanceUID = _uid(), _uid()
    ds.PixelData = np.random.default_rng(1).integers(0, 4096, (side, side), dtype=np.uint16).tobytes()
    return Image(encoded(ds), ds.SOPInstanceUID.encode(), ds.StudyInstanceUID.encode())


def _uid() -> str:
    """A UID of exactly 64 characters."""
    return str(generate_uid(prefix="1.2.826.0.1.3680043.8.498.")).ljust(64, "7")[:64]


class Association:
    """An open association with its requests laid out."""

    def __init__(self, port: int, n_objects: int, side: int = SIDE, called: str = "CPTDN") -> None:
        self.raw = RawSender(port, [(MR, [EXPLICIT])], calling="BENCH", called=called, timeout_s=60.0)
        if not self.raw.accepted:
            raise RuntimeError(f"the peer on port {port} took no MR context")
        template, study = image(side), _uid().encode()
        self.requests = [self._request(template, _uid(), study) for _ in range(n_objects)]
        self.size_bytes = n_objects * len(template.data)

    def _request(self, template: Image, sop: str, study: bytes) -> bytes:
        context = next(iter(self.raw.accepted))
        fragment = min(self.raw.peer_max_pdu or 131_072, 131_072) - 6
        data = template.as_another(sop.encode(), study)
        parts = [_pdu(context, store_request(MR, sop), 3)]
        for at in range(0, len(data), fragment):
            parts.append(_pdu(context, data[at : at + fragment], 2 if at + fragment >= len(data) else 0))
        return b"".join(parts)

    def send_all(self) -> None:
        """Every request, each after the response to the one before. Raises RuntimeError for a response without
        success."""
        for request in self.requests:
            self.raw.socket.sendall(request)
            answer = self.raw.response()
            if answer is None or answer.status != SUCCESS:
                raise RuntimeError(f"expected status 0000, found {answer}")

    def end(self) -> None:
        self.raw.release()


def _pdu(context: int, data: bytes, control: int) -> bytes:
    return struct.pack(">BBIIBB", 0x04, 0, len(data) + 6, len(data) + 2, context, control) + data


def send_over(port: int, n_associations: int, n_objects: int) -> tuple[float, int]:
    """Send `n_objects` images over so many associations at once; seconds from the first byte to the last response, and
    the bytes of the data sets. Associations are open before the clock starts."""
    each = n_objects // n_associations
    associations = [Association(port, each) for _ in range(n_associations)]
    threads = [threading.Thread(target=association.send_all) for association in associations]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begin
    for association in associations:
        association.end()
    return took, sum(association.size_bytes for association in associations)


def files_to_send(folder: Path, n_objects: int) -> list[Path]:
    """New images of one study as Part-10 files in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    template, study, paths = image(SIDE), _uid().encode(), []
    for number in range(n_objects):
        sop = _uid()
        path = folder / f"{number:05d}.dcm"
        meta = FileMeta(MR, sop, EXPLICIT, "BENCH")
        path.write_bytes(file_header(meta) + template.as_another(sop.encode(), study))
        paths.append(path)
    return paths


def storescu_over(port: int, n_associations: int, paths: Sequence[Path]) -> tuple[float, int]:
    """Send files with as many of dcmtk's storescu at once; seconds from their start to the end of the last, and the
    bytes of the files. Raises RuntimeError with the words of one that failed."""
    size = sum(path.stat().st_size for path in paths)
    options = ["-R", "-xe", "-pdu", "131072", "--max-send-pdu", "131072", "-aet", "BENCH", "-aec", "CPTDN"]
    begin = time.perf_counter()
    senders = [
        subprocess.Popen(
            ["storescu", *options, "127.0.0.1", str(port), *map(str, paths[first::n_associations])],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "TCP_NODELAY": "1"},
        )
        for first in range(n_associations)
    ]  # fmt: skip
    said = [sender.communicate()[0] for sender in senders]
    took = time.perf_counter() - begin
    for sender, words in zip(senders, said, strict=True):
        if sender.returncode != 0:
            raise RuntimeError(f"storescu: {words[-300:]}")
    return took, size


def floor_send(port: int, requests: Sequence[bytes]) -> float:
    """The same bytes to a server that knows no DICOM; seconds until the last one-byte answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter()
        for request in requests:
            connection.sendall(struct.pack(">I", len(request)) + request)
            connection.recv(1)
        return time.perf_counter() - begin
