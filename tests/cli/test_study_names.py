"""Commands that take a study take what a person has at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.settings import load_settings
from node.ledger.cases import get_case, open_case
from node.ledger.database import open_ledger
from tests.flow.program import run_in_process

FIRST, SECOND = "1.2.840.1.77", "1.2.840.2.88"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with open_ledger(load_settings().ledger.url or "").begin() as session:
        open_case(session, FIRST, "PID-1", "")
        open_case(session, SECOND, "PID-2", "")
    return tmp_path


@pytest.mark.parametrize("named", [SECOND, "1.2.840.2", "PID-2"])
@pytest.mark.parametrize("command", [("studies", "show"), ("studies", "explain")])
def test_the_study_is_shown(site: Path, command: tuple[str, str], named: str) -> None:
    shown = run_in_process(*command, named, "--json", cwd=site)
    assert json.loads(shown.stdout)["study_instance_uid"] == SECOND, shown.stderr


def test_a_decision_is_about_the_study_that_was_meant(site: Path) -> None:
    held = run_in_process("studies", "hold", "PID-1", "--because", "asked by the ward", "--json", cwd=site)
    assert json.loads(held.stdout) == {"study_instance_uid": FIRST, "decision": "held"}
    with open_ledger(load_settings().ledger.url or "").read() as session:
        assert get_case(session, FIRST).hold == "asked by the ward"
        assert get_case(session, SECOND).hold is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("studies", "show", "1.2.840"), f"{FIRST} (receiving)"),
        (("studies", "hold", "PID", "--because", "x"), "there is no study PID here"),
        (("reprocess", "PID-3"), "there is no study PID-3 here"),
        (("quarantine", "dismiss", "--study", "1.2", "--because", "x"), "expected one study, found several for 1.2"),
        (("audit", "list", "--study", "9"), "there is no study 9 here"),
    ],
)
def test_what_names_no_study_or_several_is_an_error_and_changes_nothing(
    site: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run_in_process(*arguments, cwd=site)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
