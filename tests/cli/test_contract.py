"""The command line that others rely on: every command and option is there, with help, an example and exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from config.errors import CptdnError
from node.cli.app import command_table, load_command
from tests.flow.program import run_cptdn, run_in_process

PROMISED = {
    "up": (), "node": (), "worker": ("--queues", "--concurrency", "--device"), "demo": ("--out",),
    "doctor": ("--json",),
    "status": ("--json",), "studies list": ("--json", "--state"), "studies show": ("--json",),
    "studies explain": ("--json",), "jobs list": ("--state", "--json"), "jobs show": ("--json",),
    "jobs watch": ("--json",), "jobs retry": ("--json",), "jobs cancel": ("--json",),
    "reprocess": ("--all", "--since", "--failed", "--bundle", "--dry-run", "--no-send", "--json"),
    "clinical set": ("--ebv-dna", "--stage", "--ajcc", "--birth-date", "--treatment-start", "--json"),
    "clinical import": (), "clinical show": ("--json",), "classify": ("--headers", "--json"),
    "contours": ("--roi", "--out", "--json"), "score": ("--rtstruct", "--age", "--ebv-dna", "--json"),
    "nomogram score": ("--age", "--ebv-dna", "--prognostic-score", "--predictive-score", "--batch", "--out", "--json"),
    "nomogram plot": ("--out",), "nomogram fit": ("--out", "--json"),
    "nomogram evaluate": ("--nomogram", "--endpoint", "--subgroup", "--figures", "--json"),
    "nomogram reproduce": ("--json",),
    "bundle list": ("--json",), "bundle show": ("--json",), "bundle verify": ("--json",),
    "bundle activate": ("--json",),
    "bundle pack": ("--json",), "train": ("--images", "--out"), "match": ("--out",),
    "score-cohort": ("--images", "--bundle", "--out", "--json"),
    "cohort import-npc277": ("--clinical", "--out", "--column", "--json"), "report show": ("--json",),
    "web": (), "conformance": (), "users add": ("--json",), "users list": ("--json",), "users remove": ("--json",),
    "studies assign": ("--role", "--json"), "studies hold": ("--because", "--json"), "studies release": ("--json",),
    "init": ("--out", "--yes", "--pacs-ae"),
}  # fmt: skip
# What runs until it is stopped, tells a story, asks, or prints a document of its own form.
WITHOUT_JSON = {"up", "node", "web", "worker", "demo", "init", "conformance"}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command of every installed room by its full name."""
    for name, (where, help_text) in command_table().items():
        root = typer.Typer()
        load_command(root, name, where, help_text)
        root.callback()(lambda: None)
        found = typer.main.get_command(root).commands[name]  # type: ignore[attr-defined]
        if isinstance(inner := getattr(found, "commands", None), dict):
            yield from ((f"{name} {each}", command) for each, command in inner.items())
        else:
            yield name, found


ALL = dict(commands())


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_command_takes_its_options(name: str) -> None:
    offered = {option for parameter in ALL[name].params for option in parameter.opts}
    assert set(PROMISED[name]) <= offered


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_help_an_example_and_the_house_options(name: str) -> None:
    command = ALL[name]
    offered = {option for parameter in command.params for option in parameter.opts}
    assert {"--config", "--debug"} <= offered
    assert f"Example: cptdn {name}" in (command.help or "")
    assert name in WITHOUT_JSON or "--json" in offered
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name not in ("config", "debug", "as_json"):
            assert getattr(parameter, "help", None) or parameter.metavar, f"{name} {parameter.name} is not explained"


@pytest.mark.parametrize(
    "arguments",
    [
        ("classify",),
        ("clinical", "set", "P1"),
        ("reprocess",),
        ("reprocess", "1.2.3", "--all"),
        ("reprocess", "--state", "lost"),
        ("reprocess", "--all", "--against", "demonstration"),
        ("studies", "list", "--state", "lost"),
        ("jobs", "list", "--state", "lost"),
        ("worker", "--queues", "volumes,nothing"),
        ("worker", "--device", "abacus"),
        ("nomogram", "score", "--age", "40"),
        ("status", "--no-such-option"),
        ("no-such-command",),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_was_expected(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run_in_process(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Error: " in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("studies", "show", "1.2.3"), "cptdn studies list"),
        (("jobs", "show", "x"), "cptdn jobs list"),
        (("report", "show", "absent.dcm"), "absent.dcm"),
        (("bundle", "show", "absent"), "demonstration"),
        (("status", "--config", "absent.toml"), "absent.toml"),
    ],
)
def test_a_failure_ends_with_1_and_one_sentence(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    done = run_in_process(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.startswith("cptdn: ")
    assert len(done.stderr.strip().splitlines()) == 1
    with pytest.raises(CptdnError, match=re.escape(sentence)):
        run_in_process(*arguments, "--debug", cwd=tmp_path)


def test_the_program_itself_ends_so_and_shows_the_traceback_on_demand(tmp_path: Path) -> None:
    failed = run_cptdn("status", "--config", "absent.toml", cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert len(failed.stderr.strip().splitlines()) == 1
    assert "Traceback" in run_cptdn("status", "--config", "absent.toml", "--debug", cwd=tmp_path).stderr
    assert run_cptdn("status", "--no-such-option", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("status",), {"node", "queues", "cases", "jobs", "deliveries", "disk_free_gb", "bundle"}),
        (("jobs", "list"), {"jobs", "deliveries"}),
        (("clinical", "show", "P1"), {"patient_id", "issuer", "facts"}),
        (("bundle", "show"), {"name", "version", "intended_use", "demonstration", "digest"}),
    ],
)
def test_json_is_one_document_and_nothing_else(arguments: tuple[str, ...], keys: set[str], tmp_path: Path) -> None:
    done = run_in_process(*arguments, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) >= keys


def test_tables_have_no_colours_and_no_folded_lines_in_a_pipe(tmp_path: Path) -> None:
    done = run_cptdn("bundle", "list", cwd=tmp_path)
    assert "\x1b[" not in done.stdout
    (row,) = [line for line in done.stdout.splitlines() if "cptdn-demonstration" in line]
    assert "demonstration only, not for clinical use: trained on synthetic phantoms" in row


def test_help_needs_no_science() -> None:
    done = run_cptdn("--help")
    assert done.returncode == 0
    for name in command_table():
        assert name in done.stdout
