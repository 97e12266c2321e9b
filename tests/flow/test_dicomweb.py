"""A case whose objects come by DICOMweb alone: posted to the pages, and fetched from Orthanc's plugin."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import httpx
import pytest

from node.small_pacs.pacs import SmallPacs
from tests.dicom.test_multipart import BOUNDARY, message
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import free_port, know_each_other, running_program
from tests.flow.servers import orthanc
from tests.flow.test_main_job import delivered
from workers.phantoms.dicom_study import write_phantom_study

SETTINGS = ALLOW_DEMONSTRATION + "[case]\nstable_after_s = 1\n[dicomweb]\nreceive = true\n"


@pytest.mark.long
def test_a_case_that_comes_by_stow_rs_and_wado_rs_is_reported(tmp_path: Path, pacs: SmallPacs) -> None:
    study = write_phantom_study(
        tmp_path / "study", seed=81, patient_id="DW-81", birth_date=date(1970, 1, 1), study_date=date(2026, 3, 9)
    )
    with orthanc(tmp_path / "pacs", 1, free_port(), routes=False, stow_to=("http://127.0.0.1:1/", "x")) as archive:
        for path in study.files:
            archive.upload(path)
        source = f'query_retrieve = true\nwado_url = "{archive.url}/dicom-web"'
        with running_program(tmp_path / "program", pacs.port, SETTINGS, source, pages=True) as program:
            know_each_other(pacs, program)
            program.cptdn("clinical", "set", "DW-81", "--ebv-dna", "500", "--stage", "T3N1M0")
            body = message([path.read_bytes() for path in study.series["T1w"]])
            kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
            url = f"http://127.0.0.1:{program.web_port}/dicomweb/studies/{study.study_instance_uid}"
            answer = httpx.post(url, content=body, headers={"Content-Type": kind}, timeout=60)
            assert answer.status_code == 200, answer.text
            delivered(program, study.study_instance_uid, 1)
            explained = program.json("studies", "explain", study.study_instance_uid)
            told = [line["text"] for line in explained["history"] if line["kind"] == "fetch"]
            assert "it is likely the missing T2w" in told[0]
            assert "22 instances by WADO-RS" in told[-1]
            assert explained["retrieval"][0]["state"] == "idle"
            shown = program.cptdn("status").stdout
            assert "STOW-RS http://127.0.0.1" in shown
            assert "main by QIDO-RS and WADO-RS" in shown
