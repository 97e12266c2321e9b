"""`cptdn init`: asked on a real terminal, and unattended; what it writes is what the program reads."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config.explained import explanation_of
from config.settings import BUNDLES, load_settings
from tests.flow.program import run_cptdn
from tests.flow.terminal import Terminal

EVERYWHERE = "0.0.0.0"  # noqa: S104 - expected in a file, nothing binds here
CPTDN = str(Path(sys.executable).with_name("cptdn"))


def test_a_person_answers_five_questions_and_a_wrong_one_again(tmp_path: Path) -> None:
    with Terminal([CPTDN, "init"], tmp_path) as terminal:
        terminal.answer("Our AE title [CPTDN]", "A TITLE THAT IS TOO LONG")
        terminal.until("expected 1 to 16 ASCII letters")
        terminal.answer("Our AE title [CPTDN]", "NPC-NODE")
        terminal.answer("Our port [11112]", "104x")
        terminal.until("expected a port from 1 to 65535, found '104x'")
        terminal.answer("Our port [11112]", "11200")
        terminal.answer("AE title of the PACS [PACS]", "HOSPITALPACS")
        terminal.answer("Its name or address [127.0.0.1]", "192.0.2.10")
        terminal.answer("Its DICOM port [11113]", "104")
        terminal.answer("Titles that may call us [HOSPITALPACS]", "HOSPITALPACS, PLANNING")
        terminal.answer("Folder [./data]", "store")
        terminal.answer("GB that remain free on its disk [5]", "")
        terminal.answer("Model bundle, a name or a folder [demonstration]", "nowhere")
        terminal.until("no model bundle 'nowhere'")
        terminal.answer("Model bundle, a name or a folder [demonstration]", "")
        terminal.answer("Each says that it is no clinical result [no]", "yes")
        shown = terminal.until_end()
    assert terminal.returncode == 0, shown
    assert "cptdn up " in shown
    assert "--config" not in shown  # ./cptdn.toml is found by itself
    settings = load_settings(tmp_path / "cptdn.toml")
    assert (settings.node.ae_title, settings.node.port, settings.node.bind) == ("NPC-NODE", 11200, EVERYWHERE)
    assert settings.node.allowed_calling_aes == ("HOSPITALPACS", "PLANNING")
    (pacs,) = settings.pacs
    assert (pacs.ae_title, pacs.host, pacs.port) == ("HOSPITALPACS", "192.0.2.10", 104)
    assert settings.storage.root == tmp_path / "store"
    assert settings.storage.min_free_gb == 5.0
    assert settings.model.allow_demonstration


def test_unattended_it_takes_options_and_defaults(tmp_path: Path) -> None:
    out = tmp_path / "etc" / "site.toml"
    done = run_cptdn(
        "init", "--yes", "--out", str(out), "--pacs-ae", "ARCHIVE", "--pacs-host", "pacs.example.org", "--allow", "A1",
        "--allow", "A2", "--bundle", str(BUNDLES / "demonstration"), "--min-free-gb", "0.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = load_settings(out)
    assert settings.node.allowed_calling_aes == ("A1", "A2")
    assert settings.node.bind == EVERYWHERE
    assert settings.pacs[0].host == "pacs.example.org"
    assert settings.model.bundle == "demonstration"
    assert not settings.model.allow_demonstration
    assert f"cptdn doctor --config {out}" in done.stdout
    assert "model_not_permitted" in done.stdout
    assert not stat.S_IMODE(out.stat().st_mode) & stat.S_IRWXO  # not for everybody: passwords may stand in it


def test_every_key_is_explained_as_in_default_toml(tmp_path: Path) -> None:
    out = tmp_path / "cptdn.toml"
    assert run_cptdn("init", "--yes", "--out", str(out)).returncode == 0
    section, n_keys = "", 0
    for line in out.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[] ").split("]")[0]
        elif " = " in line and not line.startswith("#"):
            n_keys += 1
            assert line.endswith(f"# {explanation_of(section, line.split(' = ')[0])}"), line
    assert n_keys == 14


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "cptdn.toml"
    out.write_text("mine")
    done = run_cptdn("init", "--yes", "--out", str(out))
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert out.read_text() == "mine"


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    done = subprocess.run([CPTDN, "init"], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path,
                          check=False)  # fmt: skip
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--ae-title", "back\\slash", "expected 1 to 16 ASCII letters"),
        ("--pacs-host", "a b", "expected a name or an address"),
        ("--port", "70000", "--port"),
        ("--bundle", "nowhere", "no model bundle"),
    ],
)
def test_a_wrong_option_is_wrong_usage(tmp_path: Path, option: str, value: str, expected: str) -> None:
    done = run_cptdn("init", "--yes", "--out", str(tmp_path / "x.toml"), option, value)
    assert done.returncode == 2
    assert expected in done.stderr
    assert option in done.stderr
    assert not (tmp_path / "x.toml").exists()
