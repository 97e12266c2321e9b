"""`cptdn bundle`: what it says is what is there, and an activated bundle leaves the rest of a configuration alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from config.bundle_manifest import read_manifest
from config.settings import BUNDLES, load_settings
from tests.flow.launcher import run_forked
from workers.cli.bundle import with_bundle


def test_the_shipped_bundle_is_whole_small_and_says_what_it_is() -> None:
    done = run_forked("bundle", "verify", "demonstration", "--json")
    found = json.loads(done.stdout)
    assert found["ok"]
    assert found["demonstration"]
    assert "not for clinical use" in found["intended_use"]
    folder = BUNDLES / "demonstration"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 10_000_000
    metrics = read_manifest("demonstration").content["metrics"]
    assert metrics, "a bundle tells how it did on what it was not trained on"


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(BUNDLES / "demonstration", copy)
    weights = copy / "member-3" / "scores.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    done = run_forked("bundle", "verify", str(copy))
    assert done.returncode == 1
    assert "member-3/scores.safetensors" in done.stderr
    assert "expected sha256" in done.stderr


def test_an_unknown_bundle_is_answered_by_those_that_there_are() -> None:
    done = run_forked("bundle", "show", "nothing-here")
    assert done.returncode == 1
    assert "demonstration" in done.stderr


def test_a_changed_description_is_packed_into_another_digest(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(BUNDLES / "demonstration", copy)
    before = read_manifest(copy)
    description = tmp_path / "description.json"
    description.write_text(json.dumps({**before.content, "version": "0.2-site"}))
    assert run_forked("bundle", "pack", str(copy), "--manifest", str(description)).returncode == 0
    assert read_manifest(copy).version == "0.2-site"
    assert read_manifest(copy).digest != before.digest
    assert run_forked("bundle", "verify", str(copy)).returncode == 0


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# ours\n[node]\nport = 104\n",
        '[model]\nbundle = "old" # why\nallow_demonstration = true\n\n[decision]\nthreshold = 0.02\n',
        '[model]\ndevice = "cpu"\n',
    ],
)
def test_activating_changes_one_key(tmp_path: Path, before: str) -> None:
    path = tmp_path / "cptdn.toml"
    path.write_text(before)
    old = load_settings(path)
    path.write_text(with_bundle(before, "/srv/site-1"))
    new = load_settings(path)
    assert new.model.bundle == "/srv/site-1"
    same = new.model_copy(update={"model": new.model.model_copy(update={"bundle": old.model.bundle})})
    assert same == old
    for comment in (line for line in before.splitlines() if line.startswith("#")):
        assert comment in path.read_text()
