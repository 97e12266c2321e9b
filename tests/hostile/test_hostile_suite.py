"""The hostile suite: every attack changes the study, the demonstration bundle stops it, and the record says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config.bundle_manifest import read_manifest
from config.errors import ModelBundleError
from config.settings import BUNDLES
from tests.bundles.test_bundle_commands import called
from workers.bundles.bundle import load_bundle
from workers.cli.hostile import required_reason
from workers.hostile.attacks import ATTACKS, STATED_WHATEVER_IT_IS
from workers.hostile.phantom_volumes import phantom_volumes
from workers.hostile.record import RECORD, Share, new_record, read_record, write_record
from workers.hostile.study_volumes import StudyVolumes
from workers.hostile.suite import UNTOUCHED, run_suite

SEED = 909  # not a seed of training, calibration or the bundle's own suite


@pytest.fixture(scope="module")
def patients() -> list[StudyVolumes]:
    return [phantom_volumes(SEED, number) for number in range(2)]


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_attack_changes_a_copy_and_not_the_patient(kind: str, patients: list[StudyVolumes]) -> None:
    study, other = patients
    before = {role: (volume.grey_zyx.copy(), volume.mask_zyx.copy()) for role, volume in study.items()}
    attacked = ATTACKS[kind](study, other, np.random.default_rng(0))
    assert set(attacked) == set(study)
    changed = [
        role for role, volume in attacked.items()
        if not (np.array_equal(volume.grey_zyx, before[role][0]) and np.array_equal(volume.mask_zyx, before[role][1]))
    ]  # fmt: skip
    assert changed
    assert len(changed) == 1 or "one series" not in kind
    for role, volume in study.items():
        assert np.array_equal(volume.grey_zyx, before[role][0])
        assert np.array_equal(volume.mask_zyx, before[role][1])


def test_the_demonstration_bundle_stops_what_it_must(patients: list[StudyVolumes]) -> None:
    shares = {share.kind: share for share in run_suite(load_bundle("demonstration"), patients)}
    assert shares[UNTOUCHED].stopped == 0, shares[UNTOUCHED].reasons
    for kind in set(ATTACKS) - STATED_WHATEVER_IT_IS:
        assert shares[kind].stopped == shares[kind].n == 2, kind
    assert "no_contrast" in shares["T1w and CE-T1w exchanged"].reasons
    assert "series_do_not_match" in shares["one series flipped left to right"].reasons
    assert "slices_out_of_order" in shares["slices of all series shuffled"].reasons
    assert "contour_does_not_fit" in shares["contour shifted by 10 mm"].reasons
    assert "not_an_image" in shares["noise in all series"].reasons


def test_the_demonstration_bundle_has_a_record_that_meets_the_stated_rates() -> None:
    record = read_record(read_manifest("demonstration"))
    assert record is not None
    assert record.below == ()
    by_kind = {share.kind: share for share in record.shares}
    assert set(ATTACKS) <= set(by_kind)
    assert by_kind[UNTOUCHED].share <= 0.02
    assert all(by_kind[kind].share >= 0.95 for kind in set(ATTACKS) - STATED_WHATEVER_IT_IS)
    assert read_manifest("demonstration").content["feature_distance_calibration"]["false_alarm_rate"] == 0.005


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "mine"))


def test_a_record_of_another_digest_counts_as_none(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    assert read_record(read_manifest(folder)) is not None
    document = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**document, "version": "another"}))
    assert read_record(read_manifest(folder)) is None


def test_a_bundle_below_the_rates_is_activated_only_with_a_reason_that_is_recorded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = copied(tmp_path)
    manifest = read_manifest(folder)
    record = new_record(manifest, "nobody", [Share("contour mirrored", 10, 5, 0.95, None, {})])
    write_record(folder, record)
    config = tmp_path / "cptdn.toml"
    config.write_text("")
    code, _, err = called(capsys, "activate", str(folder), "--config", str(config))
    assert code == 1
    assert "contour mirrored" in err
    assert "--because" in err
    assert config.read_text() == ""
    code, out, err = called(
        capsys, "activate", str(folder), "--because", "trial", "--yes", "--config", str(config), "--json"
    )
    assert code == 0, err
    assert json.loads(out)["because"] == "trial"


def test_a_bundle_that_was_never_measured_needs_a_reason(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / RECORD).unlink()
    manifest = read_manifest(folder)
    with pytest.raises(ModelBundleError, match="no record of this digest"):
        required_reason(manifest, None)
    with pytest.raises(ModelBundleError):
        required_reason(manifest, "  ")
    assert required_reason(manifest, "first trial") == "first trial"


def test_a_share_is_missed_on_the_side_that_is_required() -> None:
    share = Share("x", 100, 95, 0.95, None, {})
    assert share.meets
    assert not replace(share, stopped=94).meets
    untouched = Share("untouched", 100, 2, None, 0.02, {})
    assert untouched.meets
    assert not replace(untouched, stopped=3).meets
    assert Share("stated", 100, 0, None, None, {}).meets


def test_verify_prints_the_shares(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "verify", "demonstration")
    assert code == 0
    assert "contour shifted by 10 mm" in out
    assert "meets the stated rates" in out
    document = json.loads(called(capsys, "verify", "demonstration", "--json")[1])
    assert document["hostile_suite"]["meets_stated_rates"] is True
