"""One way to write who and when: no output writes a time in another zone, and no user is a number."""

from __future__ import annotations

import ast
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import who_and_when

PROJECT = Path(__file__).resolve().parents[2]
# Values of DICOM, HL7 v2 and file names, and the time of a report, which is in the site's zone with its offset.
OTHER_FORMS = (
    "config/who_and_when.py", "node/cases/volume_attributes.py", "dicom_sr/report/numbers.py", "dicom_sr/hl7_v2/",
    "dicom_sr/coding/items.py", "workers/phantoms/",
)  # fmt: skip


def test_a_time_is_written_in_the_zone_of_the_machine_with_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 12, 1, 0, 12, 3, tzinfo=UTC)
    written = who_and_when.local_time(at)
    assert datetime.strptime(written, "%Y-%m-%d %H:%M:%S %z") == at
    assert who_and_when.local_time(at.isoformat()) == written
    assert who_and_when.local_time(None) == ""


def test_a_user_without_a_name_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGNAME", raising=False)
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setattr(who_and_when.os, "getuid", lambda: 4_000_000)
    assert who_and_when.operating_user() == "user without a name"


def test_no_module_writes_times_in_a_form_of_its_own() -> None:
    found = []
    for room in ("config", "node", "workers", "dicom_sr"):
        for path in sorted((PROJECT / room).rglob("*.py")):
            name = path.relative_to(PROJECT).as_posix()
            if name.startswith(OTHER_FORMS):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FormattedValue) and "%H" in ast.unparse(node.format_spec or ast.Constant("")):
                    found.append(f"{name}:{node.lineno}")
    assert found == []


def test_a_day_that_people_read_is_that_of_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2026-12-01 00:12 in Shanghai; the ledger has it in UTC, where it is still November.
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert who_and_when.local_day(datetime(2026, 11, 30, 16, 12, tzinfo=UTC)) == "2026-12-01"
        assert who_and_when.local_time("2026-11-30T16:12:00+00:00") == "2026-12-01 00:12:00 +0800"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_commands_print_times_of_the_ledger_in_json_only_and_no_day_of_utc() -> None:
    found = []
    for room in ("node", "workers"):
        for path in sorted((PROJECT / room).rglob("*.py")):
            name = path.relative_to(PROJECT).as_posix()
            tree = ast.parse(path.read_text(encoding="utf-8"))
            in_json = {id(part) for each in ast.walk(tree) if isinstance(each, ast.Dict) for part in ast.walk(each)}
            for call in ast.walk(tree):
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                    continue
                written = ast.unparse(call)
                is_moment = call.func.attr == "isoformat" and ast.unparse(call.func.value).endswith("_at")
                if "/cli/" in name and is_moment and id(call) not in in_json:
                    found.append(f"{name}:{call.lineno} {written}")
                # Days that are compared, and not shown, may be of any one zone.
                if re.search(r"_at\.date\(\)\.isoformat|day=\w+\.\w+_at\.date", written):
                    found.append(f"{name}:{call.lineno} {written}")
    assert found == []


def test_who_is_asked_of_the_system_in_one_place() -> None:
    asking = ("getuid", "getpwuid", "getuser", "getlogin", "geteuid")
    found = {
        path.relative_to(PROJECT).as_posix()
        for room in ("config", "node", "workers", "dicom_sr")
        for path in (PROJECT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in asking
    }
    # The broker's folder belongs to a user, whom no one reads.
    assert found == {"config/who_and_when.py", "node/messaging/broker.py"}
