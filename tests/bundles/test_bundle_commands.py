"""`cptdn bundle` as an operator and as a program uses it."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from config.settings import BUNDLES
from node.cli.app import main
from workers.cli.bundle import with_bundle


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        main(["bundle", *arguments])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_show_and_verify_agree_on_the_digest(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(called(capsys, "show", "demonstration", "--json")[1])
    verified = json.loads(called(capsys, "verify", "demonstration", "--json")[1])
    assert shown["digest"] == verified["digest"]
    assert verified["ok"] is True
    assert shown["demonstration"] is True


def test_list_marks_the_configured_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(called(capsys, "list", "--json")[1])
    assert [row["configured"] for row in rows if row["name"] == "cptdn-demonstration"] == [True]


def test_a_person_reads_what_it_may_be_used_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "show")
    assert code == 0
    assert "demonstration only, not for clinical use" in out


def test_a_missing_bundle_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "verify", "nowhere")
    assert (code, out) == (1, "")
    assert err.startswith("cptdn: no model bundle 'nowhere'")
    assert "Traceback" not in err


def test_pack_writes_a_manifest_that_verifies(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "mine"))
    content = json.loads((folder / "manifest.json").read_text())
    content["version"] = "9"
    described = tmp_path / "described.json"
    described.write_text(json.dumps({k: v for k, v in content.items() if k != "files"}))
    packed = json.loads(called(capsys, "pack", str(folder), "--manifest", str(described), "--json")[1])
    assert packed["version"] == "9"
    assert json.loads(called(capsys, "verify", str(folder), "--json")[1])["digest"] == packed["digest"]


def test_activate_names_the_bundle_in_the_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "mine"))
    config = tmp_path / "cptdn.toml"
    config.write_text('[model]\nbundle = "demonstration"  \ndevice = "cpu"\n\n[web]\nport = 8099\n')
    code, _, err = called(capsys, "activate", str(folder), "--yes", "--because", "a test", "--config", str(config))
    assert code == 0, err
    found = tomllib.loads(config.read_text())
    assert found == {"model": {"bundle": str(folder), "device": "cpu"}, "web": {"port": 8099}}


def test_a_damaged_bundle_is_not_activated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "mine"))
    (folder / "templates.json").write_text("{}")
    config = tmp_path / "cptdn.toml"
    config.write_text("")
    code, _, err = called(capsys, "activate", str(folder), "--config", str(config))
    assert code == 1
    assert "was changed" in err
    assert config.read_text() == ""


@pytest.mark.parametrize(
    "text",
    ["", "[web]\nport = 1\n", "[model]\n", '[model]\ndevice = "cpu"\n[web]\nbundle = "not this"\n', "# [model]\n"],
)
def test_only_the_bundle_of_the_model_changes(text: str) -> None:
    before, after = tomllib.loads(text), tomllib.loads(with_bundle(text, "new"))
    assert after.pop("model") == {**before.pop("model", {}), "bundle": "new"}
    assert after == before
