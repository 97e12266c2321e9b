"""The whole program, and studies sent to it: `cptdn up` on free ports with a small PACS behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread

from node.small_pacs.pacs import SmallPacs
from node.store.part10 import skip_file_header
from tests.benchmarks.studies import large_study
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender
from tests.flow.program import Program, running_program

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
SR = "1.2.840.10008.5.1.4.1.1.88.34"
HEADER_BYTES = 4096  # UIDs of an image stand within these
PATIENT = "BENCH000"
SETTINGS = (
    '[model]\nallow_demonstration = true\ndevice = "{device}"\n[eligibility]\nstage_unknown = "report_unverified"\n'
)


@dataclass
class Object:
    """One encoded data set, and the UIDs that name it."""

    sop_class: str
    sop_instance: str
    data: bytes


@dataclass
class StudyTemplate:
    """A study whose UIDs and Patient ID can be exchanged, so that the same pixels make any number of studies."""

    objects: list[Object]
    uids: list[str]
    study_uid: str
    made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def another(self) -> tuple[str, list[Object]]:
        """Study UID and objects of a study that nobody has seen."""
        with self._lock:
            self.made += 1
            number = self.made
        exchanged = {uid.encode(): f"{uid[:-4]}{number:04d}".encode() for uid in self.uids}
        exchanged[PATIENT.encode()] = f"BENCH{number:03d}".encode()
        found = []
        for one in self.objects:
            cut = HEADER_BYTES if one.sop_class == MR else len(one.data)
            head = one.data[:cut]
            for old, new in exchanged.items():
                head = head.replace(old, new)
            sop = exchanged[one.sop_instance.encode()].decode()
            found.append(Object(one.sop_class, sop, head + one.data[cut:]))
        return exchanged[self.study_uid.encode()].decode(), found


def study_template(folder: Path) -> StudyTemplate:
    """The large phantom study, read for sending."""
    study = large_study(folder, PATIENT)
    objects, uids = [], {study.study_instance_uid, *study.series_instance_uids.values()}
    for path in study.files:
        ds = dcmread(path, stop_before_pixels=True)
        uids |= {str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID), str(ds.get("FrameOfReferenceUID") or "")}
        with path.open("rb") as file:
            skip_file_header(file)
            objects.append(Object(str(ds.SOPClassUID), str(ds.SOPInstanceUID), file.read()))
    # A UID of fewer than 30 characters could stand inside another one.
    return StudyTemplate(objects, sorted(uid for uid in uids if len(uid) > 30), study.study_instance_uid)


def send_study(port: int, objects: list[Object]) -> float:
    """Send a study over one association; the moment of the last C-STORE response (time.perf_counter)."""
    with RawSender(port, [(MR, [EXPLICIT]), (RTSTRUCT, [EXPLICIT])], calling="BENCH") as sender:
        for one in objects:
            context = 1 if one.sop_class == MR else 3
            answer = sender.store(context, one.sop_class, one.sop_instance, one.data)
            if answer is None or answer.status != 0:
                raise RuntimeError(f"expected status 0000, found {answer}")
        last = time.perf_counter()
        sender.release()
    return last


class TimedPacs(SmallPacs):
    """Notes when each Structured Report has arrived."""

    def reports(self) -> int:
        return len(self.of_class(SR))

    def wait_for_reports(self, n: int, timeout_s: float) -> float:
        """The moment at which so many reports are here. Raises TimeoutError."""
        if not self.wait_for(lambda pacs: len(pacs.of_class(SR)) >= n, timeout_s):
            raise TimeoutError(f"expected {n} reports at the PACS within {timeout_s:.0f} s, found {self.reports()}")
        return time.perf_counter()


@contextmanager
def running(folder: Path, device: str = "cpu") -> Iterator[tuple[Program, TimedPacs]]:
    with (
        TimedPacs(folder / "pacs") as pacs,
        running_program(folder / "program", pacs.port, SETTINGS.format(device=device), installed=True) as program,
    ):
        yield program, pacs
