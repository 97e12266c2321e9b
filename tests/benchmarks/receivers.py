"""Receiving processes of the benchmark: `python -m tests.benchmarks.receivers KIND FOLDER PORT [--without-fsync]`.

ours    the node's own receive path: fast path, checks, fsync, ledger row before success
raw     a pynetdicom handler that writes the encoded bytes and nothing else, 128 kB PDUs
floor   from the socket into a file, with fdatasync before the answer; no DICOM at all
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

PDU = 131_072


def ours(folder: Path, port: int, *, fsync: bool) -> None:
    """The node as the service starts it, without the rounds that look at cases."""
    from config.settings import NodeSettings, Settings, StorageSettings
    from node.cli.app import COLLECT_AFTER
    from node.dicom.scp.ae import start_node
    from node.dicom.scp.intake import Intake
    from node.ledger.database import open_ledger
    from node.runtime.local_installation import tune_interpreter
    from node.store.study_store import StudyStore

    gc.set_threshold(*COLLECT_AFTER)

    settings = Settings(node=NodeSettings(port=port), storage=StorageSettings(root=folder, min_free_gb=0.0))
    ledger = open_ledger(settings.ledger.url or "")
    if not fsync:
        _forget_fsync(ledger.engine)
    store = StudyStore(settings.storage.root)
    store.prepare()
    running = start_node(settings, Intake(ledger, store, "benchmark"), lambda _result: False)
    tune_interpreter()
    _wait_for_end()
    running.stop(1.0)
    store.close()
    ledger.close()


def _forget_fsync(engine: Any) -> None:
    """The diagnostic switch of this benchmark: nothing is forced to the disk. No setting of the program does this."""
    from sqlalchemy import event

    os.fsync = lambda _descriptor: None  # type: ignore[assignment]
    os.posix_fadvise = lambda *_advice: None  # type: ignore[assignment]

    @event.listens_for(engine, "connect")
    def _relax(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    engine.dispose()  # connections that are open were not relaxed


def raw(folder: Path, port: int) -> None:
    """What a careful tutorial would write."""
    from pynetdicom import AE, AllStoragePresentationContexts, _config, evt

    from node.store.names import uid_name

    _config.LOG_HANDLER_LEVEL = "none"

    def store(event: Any) -> int:
        path = folder / f"{uid_name(str(event.request.AffectedSOPInstanceUID))}.dcm"
        path.write_bytes(event.encoded_dataset())
        return 0x0000

    def opened(event: Any) -> None:
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    ae = AE("CPTDN")
    ae.maximum_pdu_size = PDU
    ae.maximum_associations = 64
    ae.supported_contexts = AllStoragePresentationContexts
    handlers: list[Any] = [(evt.EVT_C_STORE, store), (evt.EVT_CONN_OPEN, opened)]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    _wait_for_end()
    server.shutdown()  # type: ignore[union-attr]


def floor(folder: Path, port: int) -> None:
    """One message after the other: its length, its bytes; into a file of its own, fdatasync, one byte back."""
    listener = socket.create_server(("127.0.0.1", port))

    def serve(connection: socket.socket) -> None:
        buffer = memoryview(bytearray(1 << 18))
        number = 0
        while len(head := connection.recv(4, socket.MSG_WAITALL)) == 4:
            (left,) = struct.unpack(">I", head)
            number += 1
            with open(folder / f"{threading.get_ident()}-{number}.raw", "wb", buffering=0) as file:
                while left:
                    got = connection.recv_into(buffer, min(left, len(buffer)))
                    file.write(buffer[:got])
                    left -= got
                os.fdatasync(file.fileno())
            connection.sendall(b"k")

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    _wait_for_end()


def _wait_for_end() -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while not ended.wait(60):
        continue


if __name__ == "__main__":
    kind, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if kind == "ours":
        ours(folder, port, fsync="--without-fsync" not in sys.argv)
    else:
        {"raw": raw, "floor": floor}[kind](folder, port)
