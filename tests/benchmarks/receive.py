"""Receiving: our node with all its promises against dcmtk, Orthanc and a bare pynetdicom handler.

Each turn sends the same number of new images of 0.5 MB over one or four associations; what was received is emptied
after the turn. Sent by dcmtk's storescu, which reads its files, opens its association and sends, like a modality: the
goals are about that. And by a sender whose requests are laid out beforehand and whose associations are open, which
shows the receiver alone. The floor is a server without DICOM: socket to file, fdatasync, answer.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import servers
from tests.benchmarks.measuring import Options, Result, interleaved
from tests.benchmarks.sending import SIDE, Association, files_to_send, floor_send, image, send_over, storescu_over
from tests.benchmarks.servers import Server, serving

OBJECTS = 120
ROUNDS = 9
CURVE = (10, 100, 1_000, 10_000)
PARKED = 32  # associations that are in the middle of an object at the same time, or stand open
STANDS_S = 3.0
MEGABYTE = 1e6


def run(options: Options) -> Result:
    """Megabytes per second, CPU seconds per gigabyte, memory per association, and the growth with the number."""
    result = Result("receive")
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        running = _start_all(Path(temporary), stack, result)
        _warm(running)
        result.figure("the disk: 12 kB written over and forced to it", _flushes(Path(temporary)), "ms")
        result.figure("the disk: a new file", _new_files(Path(temporary)), "ms")
        for n, word in ((1, "one association"), (4, "four associations")):
            _throughput(running, n, f"{word}, laid out", _laid_out(n), options.rounds(ROUNDS), result)
        if shutil.which("storescu"):
            for n, word in ((1, "one association"), (4, "four associations")):
                sender = _storescu(Path(temporary) / "to_send", n)
                found = _throughput(running, n, f"{word}, storescu", sender, options.rounds(ROUNDS), result)
                _judge(n, f"{word}, storescu", found, result)
        _standing(running, result)
        _memory(running["ours"], result)
        sizes = CURVE[:3] if options.quick else CURVE
        result.curve["seconds by number of instances"] = {str(n): _curve_point(running["ours"], n) for n in sizes}
        _send_sr(Path(temporary), options, result)
    return result


def _start_all(root: Path, stack: ExitStack, result: Result) -> dict[str, Server]:
    wanted: dict[str, Callable[[Path], tuple[list[str], int]]] = {
        "ours": servers.ours,
        "ours without fsync": lambda folder: servers.ours(folder, "--without-fsync"),
        "raw pynetdicom": lambda folder: servers.bare("raw", folder),
        "floor": lambda folder: servers.bare("floor", folder),
    }
    if shutil.which("storescp"):
        wanted["dcmtk"] = servers.storescp
        wanted["dcmtk --fork"] = lambda folder: servers.storescp(folder, "--fork")
    else:
        result.absent["dcmtk"] = "Debian package dcmtk"
    if shutil.which("Orthanc"):
        wanted["orthanc"] = servers.orthanc
    else:
        result.absent["orthanc"] = "Debian package orthanc"
    running = {}
    for name, command_for in wanted.items():
        folder = root / name.replace(" ", "_")
        folder.mkdir()
        command, port = command_for(folder)
        running[name] = stack.enter_context(serving(name, command, port, folder))
    return running


def _warm(running: dict[str, Server]) -> None:
    for name, server in running.items():
        if name != "floor":
            send_over(server.port, 1, 8)
            server.clear()


Sender = Callable[[str, Server], tuple[float, int]]  # to whom; seconds and bytes


def _laid_out(n: int) -> Sender:
    return lambda name, server: _floor_turn(server, n) if name == "floor" else send_over(server.port, n, OBJECTS)


def _storescu(folder: Path, n: int) -> Sender:
    def send(_name: str, server: Server) -> tuple[float, int]:
        return storescu_over(server.port, n, files_to_send(folder, OBJECTS))

    return send


def _flushes(root: Path) -> list[float]:
    """Milliseconds to write over a part of a file, as a ledger does, and force it to the disk."""
    found = []
    with open(root / "flushed", "w+b", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        for number in range(40):
            file.seek(12_288 * number)
            begin = time.perf_counter()
            file.write(bytes(12_288))
            os.fdatasync(file.fileno())
            found.append((time.perf_counter() - begin) * 1e3)
    return found


def _new_files(root: Path) -> list[float]:
    """Milliseconds to make an empty file."""
    folder = root / "made"
    folder.mkdir()
    found = []
    for number in range(100):
        begin = time.perf_counter()
        os.close(os.open(folder / str(number), os.O_WRONLY | os.O_CREAT))
        found.append((time.perf_counter() - begin) * 1e3)
    return found


def _throughput(
    running: dict[str, Server], n: int, word: str, send: Sender, rounds: int, result: Result
) -> dict[str, list[float]]:
    """MB/s of every server in turns, by name."""
    cpu: dict[str, list[float]] = {name: [] for name in running}
    # dcmtk without --fork serves one association after the other; storescu does not speak with the floor
    left_out = {"dcmtk" if n > 1 else "dcmtk --fork", *(["floor"] if word.endswith("storescu") else [])}
    names = [name for name in running if name not in left_out]

    def turn(name: str) -> Callable[[], float]:
        server = running[name]

        def once() -> float:
            before = server.cpu_seconds()
            took, size = send(name, server)
            cpu[name].append((server.cpu_seconds() - before) / (size / 1e9))
            server.clear()
            return size / MEGABYTE / took

        return once

    found = interleaved({name: turn(name) for name in names}, rounds)
    for name in names:
        result.figure(f"{word}: {name}", found[name], "MB/s")
    for name in names:
        result.figure(f"{word}: {name}, CPU", cpu[name][1:], "s/GB")
    for name in names:
        if name != "ours":
            result.ratio(f"{word}: ours / {name}", found["ours"], found[name])
    return found


def _judge(n: int, word: str, found: dict[str, list[float]], result: Result) -> None:
    goals = {"orthanc": 3.0, "raw pynetdicom": 2.5, "dcmtk": 0.45} if n == 1 else {"orthanc": 2.0, "dcmtk --fork": 0.5}
    for name, goal in goals.items():
        if name in found:
            result.at_least(f"{word}: ours / {name}", result.figures[f"{word}: ours / {name}"]["median"], goal)
    if n == 1 and "dcmtk" in found:
        bare = result.ratio(f"{word}: ours without fsync / dcmtk", found["ours without fsync"], found["dcmtk"])
        result.at_least(f"{word}: ours without fsync / dcmtk", bare, 0.8)
    result.at_most(f"{word}: CPU s/GB", result.figures[f"{word}: ours, CPU"]["median"], 2.0)


def _floor_turn(server: Server, n: int) -> tuple[float, int]:
    """The same bytes to the floor, over as many connections."""
    data = image(SIDE).data
    each = [data] * (OBJECTS // n)
    threads = [threading.Thread(target=floor_send, args=(server.port, each)) for _ in range(n)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin, len(data) * len(each) * n


def _memory(server: Server, result: Result) -> None:
    """Growth of the resident size while many associations are in the middle of a large object."""
    side = 4096  # 32 MB each
    server.forget_peak()
    before = server.peak_bytes()
    associations = [Association(server.port, 0) for _ in range(PARKED)]
    data = image(side)
    for association in associations:
        association.requests = [association._request(data, data.sop.decode(), data.study)]
        association.raw.socket.sendall(association.requests[0][: len(association.requests[0]) * 3 // 4])
    time.sleep(0.5)  # what was sent is read meanwhile
    grown = (server.peak_bytes() - before) / PARKED / MEGABYTE
    for association in associations:
        association.raw.close()
    result.figure("ours: memory of an association that receives 32 MB", [grown], "MB")
    result.at_most("memory of an association, MB (2 MB and a PDU)", grown, 2.0 + servers.PDU / MEGABYTE)


def _standing(running: dict[str, Server], result: Result) -> None:
    """What associations cost over which nothing comes: scanners and PACS leave them open for minutes."""
    for name in ("ours", "raw pynetdicom", "orthanc"):
        if name in running:
            server = running[name]
            associations = [Association(server.port, 0) for _ in range(PARKED)]
            time.sleep(0.5)
            before = server.cpu_seconds()
            time.sleep(STANDS_S)
            share = (server.cpu_seconds() - before) / STANDS_S
            for association in associations:
                association.end()
            result.figure(f"{PARKED} associations that stand open: {name}, CPU", [100 * share], "% of a core")


def _curve_point(server: Server, n_objects: int) -> float:
    """Seconds for so many small images over one association."""
    association = Association(server.port, min(n_objects, 1000), side=64)
    took = 0.0
    for _ in range(max(1, n_objects // 1000)):
        begin = time.perf_counter()
        association.send_all()
        took += time.perf_counter() - begin
        association.end()
        association = Association(server.port, min(n_objects, 1000), side=64)
    association.raw.close()
    server.clear()
    return round(took, 4)


def _send_sr(root: Path, options: Options, result: Result) -> None:
    """One SR to dcmtk: association, C-STORE, response, release."""
    if "dcmtk" in result.absent:
        return
    from config.settings import PacsSettings
    from node.dicom.scu.store_scu import FileToSend, send
    from tests.benchmarks.reports import structured_report

    folder = root / "sr"
    folder.mkdir()
    command, port = servers.storescp(folder)
    path, sop_class, uid, syntax = structured_report(root)
    pacs = PacsSettings(ae_title="CPTDN", port=port)
    file = FileToSend(path, sop_class, uid, syntax)
    times = []
    with serving("storescp", command, port, folder):
        for number in range(options.rounds(21) + 1):
            begin = time.perf_counter()
            outcome = send([file], pacs, "BENCH")[0]
            if outcome.status != 0:
                raise RuntimeError(f"dcmtk did not take the SR: {outcome.note}")
            if number:
                times.append((time.perf_counter() - begin) * 1e3)
    took = result.figure("one SR sent to dcmtk and answered, association included", times, "ms")
    result.at_most("one SR sent and answered, ms", took, 12.0)
