"""Many kept cases made cheaply from one: rows and patches of a study that went through the program, under new UIDs,
with other facts and slightly other patches. The DICOM files themselves are not copied: whoever needs them fails."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import generate_uid
from safetensors.numpy import load_file, save_file
from sqlalchemy import inspect, select

from config.bundle_manifest import read_manifest
from config.settings import BUNDLES, Settings
from node.cases.case_inputs import ComputeRequest
from node.clinical.entries import birth_date_entry, ebv_entry, record_entries, stage_entry
from node.ledger.cases import get_case
from node.ledger.database import Ledger
from node.ledger.jobs import list_jobs_of
from node.ledger.tables import Case, Instance
from node.store.study_store import StudyStore
from node.workflow.casework import evaluate_case
from node.workflow.digests import artefacts_digest
from workers.bundles.packing import pack_bundle
from workers.pipeline.artefacts import load_prepared_study, save_prepared_study
from workers.volumes.stored_slice import StoredSlice

KEPT_SLICES = 2  # of each sequence: enough to score, and quick
UID_COLUMNS = ("sop_instance_uid", "study_instance_uid", "series_instance_uid", "frame_of_reference_uid")


def other_bundle(folder: Path) -> Path:
    """The demonstration bundle with a flatter Predictive-score (a monotone change: tanh of 0.6 times its input) and a
    nomogram in which ICT costs more."""
    shutil.copytree(BUNDLES / "demonstration", folder)
    for path in folder.glob("member-*/scores.safetensors"):
        weights = load_file(path)
        for name in ("response_output.weight", "response_output.bias"):
            weights[name] = (weights[name] * 0.6).astype(weights[name].dtype)
        save_file(weights, path)
    nomogram = json.loads((folder / "nomogram.json").read_text(encoding="utf-8"))
    nomogram["coefficients"]["treatment_ict"] += 0.3
    (folder / "nomogram.json").write_text(json.dumps(nomogram), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    pack_bundle(folder, {**manifest, "name": "other", "version": "1"})
    return folder


def multiply(ledger: Ledger, settings: Settings, study: str, n: int) -> list[str]:
    """Make `n` more kept cases out of a scored study; returns their Study Instance UIDs."""
    store = StudyStore(settings.storage.root, settings.storage.min_free_gb)
    preprocessing = read_manifest(settings.model.bundle).preprocessing_digest
    with ledger.begin() as session:
        job = list_jobs_of(session, study)[-1]
        case = get_case(session, study)
        rows = list(session.scalars(select(Instance).where(Instance.patient_id == case.patient_id)))
    source = store.artefact_folder(study, artefacts_digest(job.request_digest, preprocessing))
    material = load_prepared_study(source)
    assert material is not None
    rng = np.random.default_rng(7)
    made = []
    for number in range(n):
        renamed = {uid: generate_uid(entropy_srcs=[uid, str(number)]) for row in rows for uid in _uids(row)}
        patient = f"KEPT-{number:04d}"
        with ledger.begin() as session:
            entries = [
                ebv_entry(settings, str(rng.integers(200, 20000))),
                stage_entry(settings, "T3N1M0"),
                birth_date_entry(f"{rng.integers(1950, 1995)}-05-01"),
            ]
            record_entries(session, patient, "", entries, source="test", set_by="test")
            # The facts first: recording one wakes the cases of its patient, and these shall sleep.
            session.add(_copy(case, renamed, patient_id=patient, state="reported", assess_after=None, reasons=[]))
            session.add_all(_copy(row, renamed, patient_id=patient) for row in rows)
            session.flush()
            request = evaluate_case(session, settings, get_case(session, renamed[study])).request
        assert isinstance(request, ComputeRequest)
        gain, brightness = rng.uniform(0.9, 1.1), rng.uniform(-0.03, 0.03)
        changed = {
            role: replace(
                one,
                patches=_changed(one.patches[:KEPT_SLICES], gain, brightness),
                slices=_renamed(one.slices[:KEPT_SLICES], renamed),
                mask_zyx=one.mask_zyx[:KEPT_SLICES],
            )
            for role, one in material.items()
        }
        save_prepared_study(
            store.artefact_folder(renamed[study], artefacts_digest(request.digest(), preprocessing)), changed
        )
        made.append(renamed[study])
    return made


def _uids(row: Instance) -> list[str]:
    return [uid for name in UID_COLUMNS if (uid := getattr(row, name))]


def _copy(row: Any, renamed: dict[str, str], **changes: Any) -> Any:
    """The same row with every UID, in columns and in JSON, replaced by its new name."""
    values = {column.key: getattr(row, column.key) for column in inspect(type(row)).mapper.column_attrs}
    values.pop("version", None)
    if isinstance(row, Case):
        values["current_report_id"] = None
    return type(row)(**{**{key: _renamed(value, renamed) for key, value in values.items()}, **changes})


def _renamed(value: Any, renamed: dict[str, str]) -> Any:
    if isinstance(value, str):
        return renamed.get(value, value)
    if isinstance(value, dict):
        return {key: _renamed(part, renamed) for key, part in value.items()}
    if isinstance(value, StoredSlice):
        return StoredSlice(_renamed(value.sop_instance_uid, renamed), value.frame_number)
    if isinstance(value, list | tuple):
        return type(value)(_renamed(part, renamed) for part in value)
    return value


def _changed(patches: np.ndarray[Any, Any], gain: float, brightness: float) -> np.ndarray[Any, Any]:
    changed = patches.copy()
    changed[:, 0] = np.clip(changed[:, 0] * gain + brightness, 0, 1)
    return changed
