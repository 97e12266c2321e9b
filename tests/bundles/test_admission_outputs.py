"""A refused model computes nothing and every surface says why; a marked one carries its mark into every output."""

from __future__ import annotations

import io
import json
import subprocess
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread

import workers.queue.steps as steps
from config.bundle_conditions import model_conditions
from config.bundle_manifest import read_manifest
from config.decision_policy import policy_for_bundle
from config.errors import IneligibleStudyError, ModelBundleError
from config.indication.vocabulary import Condition, ConditionState
from config.settings import Settings, load_settings
from config.trial_evidence import trial_evidence
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.fhir import fhir_bundle
from dicom_sr.page.layout import render_pages
from dicom_sr.reading.reader import read_report
from dicom_sr.report.json_form import to_json
from dicom_sr.report.plain_text import plain_text
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import ConditionOfUse, Reason
from node.cli.app import main
from node.ledger.database import open_ledger
from node.runtime.health import check_model
from node.runtime.overview import bundle_admission
from tests.bundles.admitted import CONTRADICTED, MARKED, REFUSED, linked_bundle, sound_manifest
from tests.dicom_sr import samples
from tests.peers import peer
from workers.bundles.bundle import load_bundle
from workers.cli.admission import activation_reason, disagreement_with_trials

ALL = {**{n: (m, "refused") for n, (m, _) in REFUSED.items()}, **{n: (m, "marked") for n, (m, _) in MARKED.items()}}


def settings_with(folder: Path, manifest: dict[str, Any], more: str = "") -> Settings:
    """A site whose configured bundle has the shipped files and these figures."""
    changes = {"cox_model": None, "effect": None, "training_distributions": None, **manifest}
    bundle = linked_bundle(folder / "bundle", {key: v for key, v in changes.items() if key != "name"})
    config = folder / "cptdn.toml"
    config.write_text(
        f'[storage]\nroot = "data"\nmin_free_gb = 0\n[audit]\nenabled = false\n[model]\nbundle = "{bundle}"\n'
        f"allow_demonstration = true\n{more}"
    )
    return load_settings(config)


def require_permission(settings: Settings) -> None:
    """What a worker asks before it computes with the configured bundle."""
    with closing(open_ledger(settings.ledger.url or "")) as ledger:
        worker = SimpleNamespace(settings=settings, ledger=ledger)
        steps._require_permission(load_bundle(settings.model.bundle), worker)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ALL)
def test_worker_status_and_doctor_say_the_verdict(tmp_path: Path, name: str) -> None:
    manifest, state = ALL[name]
    settings = settings_with(tmp_path, manifest())
    findings = read_manifest(settings.model.bundle).admission.findings
    status, doctor = bundle_admission(settings), check_model(settings)
    assert status["state"] == state
    for finding in findings:
        assert finding.text in status["texts"]
        assert finding.text in doctor.found or (finding.severity == "marked" and state == "refused")
    assert doctor.verdict == ("failure" if state == "refused" else "warning")
    if state == "refused":
        with pytest.raises(IneligibleStudyError, match=r"The bundle .* is refused: Expected") as refusal:
            require_permission(settings)
        assert refusal.value.code == "model_not_permitted"
    else:
        require_permission(settings)
    conditions = {one.code: one for one in policy_for_bundle(settings, settings.model.bundle).conditions}
    condition = conditions[Condition.MODEL_ADMISSION]
    assert condition.state is ConditionState.NOT_MET
    assert all(finding.text in condition.text for finding in findings)


def test_a_sound_model_of_the_site_is_computed_with_and_not_marked(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, sound_manifest())
    assert bundle_admission(settings) == {"state": "admitted", "texts": []}
    assert check_model(settings).verdict == "ok"
    require_permission(settings)
    assert {one.state for one in policy_for_bundle(settings, settings.model.bundle).conditions} == {ConditionState.MET}


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code: object = 0
    try:
        main(list(arguments))
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return int(code or 0), out, err  # type: ignore[call-overload]


def test_the_commands_refuse_a_refused_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_with(tmp_path, REFUSED["40 phantoms with 8 events"][0]())
    config, before = ("--config", str(settings.source)), settings.source.read_text()  # type: ignore[union-attr]
    (reason, *_) = read_manifest(settings.model.bundle).admission.refused
    code, out, _ = called(capsys, "bundle", "list", *config)
    assert (code, "refused" in out) == (0, True)
    code, out, _ = called(capsys, "bundle", "show", *config)
    assert (code, f"refused: {reason.text}" in out) == (0, True)
    code, out, err = called(capsys, "bundle", "verify", "--json", *config)
    assert (code, json.loads(out)["ok"], json.loads(out)["admission"]["state"]) == (1, False, "refused")
    assert reason.text in err
    for options in ((), ("--yes", "--because", "I want it")):
        code, out, err = called(capsys, "bundle", "activate", settings.model.bundle, *options, *config)
        assert (code, out) == (1, "")
        assert reason.text in err
    assert settings.source.read_text() == before  # type: ignore[union-attr]
    assert f"refused: {reason.text}" in called(capsys, "status", *config)[1]


def test_a_marked_bundle_says_its_mark_and_needs_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_with(tmp_path, MARKED["slope 0.3"][0]())
    assert settings.source is not None
    before, config = settings.source.read_text(), ("--config", str(settings.source))
    activate = ("bundle", "activate", settings.model.bundle, "--because", "a trial of the hostile suite", *config)
    code, out, err = called(capsys, *activate)
    assert code == 1
    assert "reported no study yet" in out
    assert "nothing was changed" in err
    assert settings.source.read_text() == before
    assert not (tmp_path / "data").exists()
    code, out, _ = called(capsys, *activate, "--yes")
    assert (code, "now names" in out) == (0, True)
    for command in (("bundle", "show"), ("status",)):
        code, out, _ = called(capsys, *command, *config)
        assert code == 0
        assert "marked: Expected a calibration slope of 0.7 to 1.4 on unseen patients (out of fold), found 0.30" in out


def test_a_disagreement_with_trials_is_acknowledged_before_activation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(tmp_path, CONTRADICTED())
    config = ("--config", str(settings.source))
    code, out, err = called(capsys, "bundle", "activate", settings.model.bundle, "--yes", *config)
    assert (code, out) == (1, "")
    # One reason acknowledges both, so both are named.
    assert "expected a record of its hostile suite" in err
    assert "disagrees with randomised evidence: expected +1.8 to +15.8 points" in err
    assert "found -2.4 (-8.1 to +3.3) in its own cohort" in err
    manifest = read_manifest(settings.model.bundle)
    disagreement = disagreement_with_trials(manifest, trial_evidence())
    monkeypatch.setattr("workers.cli.hostile.required_reason", lambda _manifest, because: because)
    with pytest.raises(ModelBundleError, match="needs an acknowledgement: The mean predicted gain"):
        activation_reason(manifest, disagreement, None)
    assert activation_reason(manifest, disagreement, "our patients differ") == "our patients differ"
    assert activation_reason(manifest, None, None) is None
    for command in (("bundle", "show"), ("status",)):
        assert "disagrees with randomised evidence" in called(capsys, *command, *config)[1]
    assert check_model(settings).verdict == "warning"


def stored(ds: Dataset) -> Dataset:
    """The object as a PACS gives it back."""
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def test_the_marks_are_in_every_output_of_a_report() -> None:
    manifest = {**CONTRADICTED(), "metrics": MARKED["slope 0.3"][0]()["metrics"]}
    of_model = model_conditions(manifest, trial_evidence())
    others = [one for one in samples.conditions() if one.code not in {each.code for each in of_model}]
    report = samples.scored(conditions=(*others, *(ConditionOfUse(one.code, one.state, one.text) for one in of_model)))
    slope, trials = (one.text for one in of_model)
    options = ReportOptions(kinds=("sr", "pdf"))
    objects = {b.kind: b for b in build_objects(report, samples.sources(), samples.pictures(), options)}
    again = read_report(stored(objects["sr"].dataset))
    assert {slope, trials} < {one.text for one in again.conditions if one.state is ConditionState.NOT_MET}
    for output in (plain_text(report), json.dumps(to_json(report)), json.dumps(fhir_bundle(report))):
        assert slope in output
        assert trials in output
    pdf = subprocess.run(
        [peer("pdftotext", "poppler-utils"), "-", "-"], input=bytes(objects["pdf"].dataset.EncapsulatedDocument),
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    picture = " ".join(
        text.text for page in render_pages(report, samples.pictures(), "dark", "en") for text in page.texts
    )
    for page in (" ".join(pdf.split()), picture):
        assert "figures of the model" in page
        assert "agreement with trials" in page


def test_the_refusal_is_in_every_output_of_a_report(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, REFUSED["100 patients, nothing learned"][0]())
    with pytest.raises(IneligibleStudyError) as refusal:
        require_permission(settings)
    report = samples.refused(refusals=(Reason(refusal.value.code, refusal.value.text),))
    assert refusal.value.text in plain_text(report)
    assert refusal.value.text in json.dumps(fhir_bundle(report))
    (sr,) = build_objects(report, samples.sources(), None, ReportOptions(kinds=("sr",)))
    assert read_report(stored(sr.dataset)).refusals == report.refusals
    shown = " ".join(text.text for text in render_pages(report, samples.pictures(), "light", "en")[0].texts)
    assert "found 0.535 (0.431 to 0.639)" in " ".join(shown.split())
