"""A setting may repeat what the active bundle was fitted with, never change it; nothing starts otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from config.bundle_manifest import MANIFEST, read_manifest
from config.decision_policy import DecisionPolicy, active_policy
from config.errors import SettingsError
from config.indication.nasopharynx import NASOPHARYNX
from config.settings import BUNDLES, Settings, load_settings
from node.cli.app import main
from node.runtime.health import check_parts

# What CONTRACT.md says of [decision] and [eligibility]; a site may write it down.
CONTRACT = """[eligibility]
stage = "T3N1M0"
stage_edition = "8"
[decision]
horizon_months = 60
threshold = 0.0
ebv_threshold_copies_per_ml = 4000
ebv_threshold_inclusive = false
"""
CONTRADICTIONS = [
    ("[decision]\nebv_threshold_copies_per_ml = 1500\n", ("decision.ebv_threshold_copies_per_ml", "1500", "4000")),
    ("[decision]\nebv_threshold_inclusive = true\n", ("decision.ebv_threshold_inclusive", "true", "false")),
    ("[decision]\nhorizon_months = 48\n", ("decision.horizon_months", "48", "36 and 60")),
    ('[eligibility]\nstage = "T4N2M0"\n', ("eligibility.stage", "T4N2M0", "T3N1M0")),
    ('[eligibility]\nstage_edition = "7"\n', ("eligibility.stage_edition", "7", "8")),
]


def settings_from(folder: Path, text: str) -> Settings:
    return load_settings(written(folder, text))


def written(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    try:
        main(list(arguments))
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, capsys.readouterr().err


def repacked(folder: Path, **changes: Any) -> Path:
    """The demonstration bundle with another indication in its manifest; None removes it."""
    shutil.copytree(BUNDLES / "demonstration", folder)
    path = folder / MANIFEST
    content = json.loads(path.read_text())
    content["indication"] = {**content["indication"], **changes}
    path.write_text(json.dumps(content))
    return folder


def test_without_settings_the_bundle_decides(tmp_path: Path) -> None:
    bundle = repacked(
        tmp_path / "b",
        horizons_months=[24, 48],
        decision={"horizon_months": 24, "threshold": 0.02},
        stage={"t": "T4", "n": "N2", "m": "M0", "edition": "9"},
    )
    policy = active_policy(settings_from(tmp_path, f'[model]\nbundle = "{bundle}"\n'))
    assert (policy.horizons_months, policy.horizon_months, policy.threshold) == ((24, 48), 24, 0.02)
    assert (policy.stage.text, policy.stage.edition) == ("T4N2M0", "9")


def test_the_defaults_of_the_contract_agree_with_the_bundle_that_comes_along(tmp_path: Path) -> None:
    assert (
        active_policy(settings_from(tmp_path, CONTRACT)) == active_policy(Settings()) == DecisionPolicy.of(NASOPHARYNX)
    )


@pytest.mark.parametrize("stage", ["cT3 N1 M0", "t3n1m0", "T3, N1, M0"])
def test_a_stage_may_be_written_as_people_write_it(tmp_path: Path, stage: str) -> None:
    assert active_policy(settings_from(tmp_path, f'[eligibility]\nstage = "{stage}"\n')).stage == NASOPHARYNX.stage


def test_the_site_chooses_among_the_horizons_and_the_threshold(tmp_path: Path) -> None:
    policy = active_policy(settings_from(tmp_path, "[decision]\nhorizon_months = 36\nthreshold = 0.05\n"))
    assert (policy.horizon_months, policy.threshold) == (36, 0.05)
    assert policy.horizons_months == (36, 60)


@pytest.mark.parametrize(("text", "named"), CONTRADICTIONS)
def test_a_contradiction_names_both_values(tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as refusal:
        active_policy(settings_from(tmp_path, text))
    for part in named:
        assert part in str(refusal.value)


@pytest.mark.parametrize("command", ["up", "node", "worker", "web"])
def test_no_process_starts_with_a_contradiction(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text, named = CONTRADICTIONS[0]
    code, err = called(capsys, command, "--config", str(written(tmp_path, text)))
    assert code == 1
    assert all(part in err for part in named)
    assert not (tmp_path / "data").exists()


def test_doctor_names_a_contradiction(tmp_path: Path) -> None:
    text, named = CONTRADICTIONS[3]
    settings = settings_from(tmp_path, f"{text}[[pacs]]\nport = 1\ntimeout_s = 1\n")
    (finding,) = [finding for finding in check_parts(settings) if finding.part == "model bundle"]
    assert finding.verdict == "failure"
    assert all(part in finding.found for part in named)


def test_a_bundle_that_contradicts_the_settings_is_not_activated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bundle = repacked(tmp_path / "b", stage={"t": "T4", "n": "N2", "m": "M0", "edition": "8"})
    # The nomogram inside is the published one: it is for T3N1M0, so that the pack itself is refused, too.
    code, err = called(capsys, "bundle", "pack", str(bundle))
    assert code == 1
    assert "expected a nomogram fitted with stage = T4N2M0, found T3N1M0" in err

    bundle = repacked(tmp_path / "c", decision={"horizon_months": 36, "threshold": 0.0}, horizons_months=[36])
    assert called(capsys, "bundle", "pack", str(bundle))[0] == 0
    config = written(tmp_path, CONTRACT)
    code, err = called(capsys, "bundle", "activate", str(bundle), "--config", str(config))
    assert code == 1
    assert "decision.horizon_months" in err
    assert "60" in err
    assert "36" in err
    assert config.read_text() == CONTRACT


def test_a_manifest_without_an_indication_is_of_the_first_one(tmp_path: Path) -> None:
    shutil.copytree(BUNDLES / "demonstration", tmp_path / "old")
    path = tmp_path / "old" / MANIFEST
    content = json.loads(path.read_text())
    del content["indication"]
    path.write_text(json.dumps(content))
    assert read_manifest(tmp_path / "old").indication == NASOPHARYNX


def test_a_bundle_that_is_packed_again_counts_at_once(tmp_path: Path) -> None:
    bundle = repacked(tmp_path / "b")
    settings = settings_from(tmp_path, f'[model]\nbundle = "{bundle}"\n')
    assert active_policy(settings).horizon_months == 60
    content = json.loads((bundle / MANIFEST).read_text())
    content["indication"]["decision"]["horizon_months"] = 36
    (bundle / MANIFEST).write_text(json.dumps(content))
    assert active_policy(settings).horizon_months == 36
