"""Every odd and broken file through the wire, byte by byte as it is, while a normal study gets its report."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from node.dicom.network.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.small_pacs.pacs import SmallPacs
from tests.dicom.raw_scu import IMPLICIT, MR, RawSender
from tests.dicom.test_nasty_archive import wire_form
from tests.flow.program import Program
from tests.flow.test_main_job import delivered, route
from tests.peers import unpacked
from workers.phantoms.dicom_study import WrittenStudy

MOST_GROWTH_KB = 400_000


def node_process(program: Program) -> Path:
    """/proc entry of the child that holds the DICOM side."""
    children = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children").read_text().split()
    found = [Path("/proc", pid) for pid in children if (Path("/proc", pid) / "comm").read_text() == "cptdn-node\n"]
    (only,) = found
    return only


def peak_kb(process: Path) -> int:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_normal_study_is_reported_among_hostile_files(
    program: Program, pacs: SmallPacs, study: WrittenStudy, tmp_path: Path
) -> None:
    files = sorted(path for path in unpacked("nasty", tmp_path / "in").rglob("*") if path.is_file())
    process = node_process(program)
    before = peak_kb(process)
    outcomes: dict[str, Any] = {}

    def send_all() -> None:
        for path in files:
            sop_class, uid, syntax, data = wire_form(path)
            for announced in dict.fromkeys((sop_class, MR)):
                offered = syntax if syntax in TRANSFER_SYNTAXES else IMPLICIT
                with RawSender(program.port, [(announced, [offered])]) as sender:
                    if not sender.accepted:
                        outcomes[f"{path.name} as {announced}"] = (
                            None if announced in STORAGE_CLASSES else "not accepted"
                        )
                        continue
                    answer = sender.store(1, announced, uid, data)
                    kept = blake3(data).hexdigest()
                    outcomes[f"{path.name} as {announced}"] = (answer.status, answer.comment, kept) if answer else None

    sending = threading.Thread(target=send_all)
    sending.start()
    program.cptdn("clinical", "set", "FLOW-1", "--ebv-dna", "3100", "--stage", "T3N1M0")
    route(study.files, program)
    done = delivered(program, study.study_instance_uid, 1)
    sending.join(300)
    assert done["state"] == "reported"
    assert not sending.is_alive()
    assert len(outcomes) >= len(files)
    assert [name for name, outcome in outcomes.items() if outcome is None] == []
    reasons = {entry["text"] for entry in program.json("quarantine", "list")}
    refused = [o for o in outcomes.values() if isinstance(o, tuple) and o[0] not in (0x0000, 0xA700, 0xC002)]
    assert len(refused) > 5
    assert len(reasons) > 3
    assert node_process(program) == process  # it never ended
    grown = peak_kb(process) - before
    print(f"{len(files)} files, {len(refused)} refused; the node's memory grew by {grown / 1000:.0f} MB at most")
    assert grown < MOST_GROWTH_KB
