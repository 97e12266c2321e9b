"""`cptdn followup report` on the ledger of a site: figures, page, and a bundle revision that is not activated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.bundle_manifest import read_manifest
from node.cli.app import main
from node.ledger.database import open_ledger
from tests.bundles.admitted import linked_bundle
from tests.validation.followed_site import record_site
from workers.bundles.bundle import load_bundle
from workers.phantoms.followed_patients import FollowUpTruth, draw_followed
from workers.validation.follow_up.cohort import FollowedCohort

PATIENTS = draw_followed(6, per_year=120, years=3.0, truth=FollowUpTruth(5.0, 0.5))


def command(*words: str) -> int:
    try:
        main(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def site(folder: Path, patients: FollowedCohort | None) -> Path:
    """A configuration whose ledger has these patients, reported by a bundle in this folder."""
    config, bundle = folder / "cptdn.toml", linked_bundle(folder / "bundle", {"name": "site-1"})
    config.write_text(
        f'[storage]\nroot = "{folder}/data"\n[ledger]\nurl = "sqlite:///{folder}/ledger.db"\n'
        f'[model]\nbundle = "{bundle}"\nallow_demonstration = true\n'
    )
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    if patients is not None:
        record_site(ledger, patients, read_manifest(bundle).digest, "site-1")
    ledger.close()
    return config


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose hazard is five times the predicted one, reported on into its folder."""
    folder = tmp_path_factory.mktemp("site")
    config = site(folder, PATIENTS)
    words = ("--out", str(folder / "out"), "--propose", str(folder / "revision"), "--config", str(config))
    assert command("followup", "report", *words) == 0
    return folder


def document(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "out" / "follow_up.json").read_text()))


def test_the_report_counts_what_the_ledger_has(drifted: Path) -> None:
    told = document(drifted)
    n, events = len(PATIENTS), int(PATIENTS.event.sum())
    assert told["patients"] == {
        "reported": n, "report_before_treatment": n, "evaluated": n, "left_out": {}, "other_bundles": {}
    }  # fmt: skip
    as_recommended = int((PATIENTS.treated == PATIENTS.ict_recommended).sum())
    assert (told["agreement"]["all"]["followed"], told["agreement"]["firm"]["of"]) == (as_recommended, n // 2)
    groups = {group["group"]: group for group in told["observed_expected"]}
    assert groups["all"]["observed"] == events
    assert groups["all"]["expected"] == pytest.approx(PATIENTS.expected().sum(), rel=1e-9)
    assert sum(groups[f"{arm} given"]["observed"] for arm in ("CCRT", "ICT+CCRT")) == events
    assert told["monitoring"]["charts"]["higher"]["signal"] is not None
    assert told["recalibration"]["hazard_factor"] == pytest.approx(5.0, rel=0.4)


def test_the_page_loads_nothing_and_names_no_patient(drifted: Path) -> None:
    page = (drifted / "out" / "follow_up.html").read_text(encoding="utf-8")
    assert "NPC-" not in page
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert page.count("data:image/svg+xml") >= 3
    assert "The predictions no longer fit" in page
    assert document(drifted)["proposed_bundle"]["digest"] in page


def test_the_revision_names_its_parent_passes_admission_and_is_not_activated(drifted: Path) -> None:
    told = document(drifted)
    parent, revision = load_bundle(drifted / "bundle"), load_bundle(drifted / "revision")
    content = revision.manifest.content
    assert content["parent"] == {"name": "site-1", "version": parent.manifest.version, "digest": parent.digest}
    assert revision.manifest.name == "site-1"
    assert revision.manifest.version != parent.manifest.version
    assert revision.network_digest == parent.network_digest
    assert revision.nomogram.name == f"{parent.nomogram.name} (recalibrated)"
    factor = revision.nomogram.cumulative_hazard[-1] / parent.nomogram.cumulative_hazard[-1]
    assert factor == pytest.approx(told["recalibration"]["hazard_factor"], rel=1e-9)
    # The figures that the recalibration had not seen are judged like any others.
    assert content["metrics"]["follow_up"]["n"] == len(PATIENTS)
    assert "calibration_intercept" not in content["metrics"]["follow_up"]
    assert revision.manifest.admission.to_json() == told["proposed_bundle"]["findings"]
    assert not revision.manifest.admission.refused
    assert f'bundle = "{drifted}/bundle"' in (drifted / "cptdn.toml").read_text()
    assert command("bundle", "activate", str(drifted / "revision"), "--config", str(drifted / "cptdn.toml")) == 1


def test_a_folder_with_files_is_left_alone(drifted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--propose", str(drifted / "bundle"), "--config", str(drifted / "cptdn.toml"))
    before = (drifted / "bundle" / "manifest.json").read_bytes()
    assert command("followup", "report", *words) == 1
    assert "expected a new or an empty folder" in capsys.readouterr().err
    assert (drifted / "bundle" / "manifest.json").read_bytes() == before


def test_without_patients_there_is_a_report_and_no_proposal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = site(tmp_path, None)
    assert command("followup", "report", "--out", str(tmp_path / "out"), "--json", "--config", str(config)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["patients"]["reported"], told["monitoring"], told["recalibration"]) == (0, None, None)
    assert "No patient can be evaluated yet" in (tmp_path / "out" / "follow_up.html").read_text(encoding="utf-8")
    assert command("followup", "report", "--propose", str(tmp_path / "r"), "--config", str(config)) == 1
    assert "expected a signal of monitoring" in capsys.readouterr().err
