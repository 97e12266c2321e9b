from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings

from config.indication.vocabulary import ReportStatus
from dicom_sr.report.errors import UnreadableReportError
from dicom_sr.report.json_form import dump, load, to_json
from dicom_sr.report.treatment_report import TreatmentReport
from tests.dicom_sr import samples
from tests.dicom_sr.strategies import reports

CONTRACT = {
    "patient_id", "study_instance_uid", "dfs", "difference", "recommendation", "inputs", "scores", "tumour_volume_ml",
    "bundle", "warnings", "intended_use", "predecessors",
}  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reports("P", "1.2.3", ("1.2.4",)))
def test_any_report_survives_json(report: TreatmentReport) -> None:
    assert load(json.loads(json.dumps(dump(report)))) == report


def test_report_show_has_the_keys_of_the_contract() -> None:
    document = to_json(samples.scored())
    assert set(document) >= CONTRACT
    assert document["dfs"] == {
        "ICT+CCRT": {"36": {"value": 0.864, "ci95": [0.812, 0.907]}, "60": {"value": 0.791, "ci95": [0.72, 0.856]}},
        "CCRT": {"36": {"value": 0.773, "ci95": [0.721, 0.816]}, "60": {"value": 0.665, "ci95": [0.594, 0.729]}},
    }
    assert document["difference"] == {"36": 0.091, "60": 0.126}
    assert document["recommendation"] == "ICT+CCRT"
    assert document["points"]["age"] == 23.5
    assert document["points"]["predictive_score"] == {"ICT+CCRT": 44.6, "CCRT": 70.0}
    assert document["total_points"] == {"ICT+CCRT": 138.7, "CCRT": 164.1}
    assert document["tumour_volume_ml"] == 23.41
    assert "by_ebv_dna_category" not in document
    json.dumps(document)


def test_unknown_ebv_dna_shows_both_categories() -> None:
    document = to_json(samples.unknown_ebv())
    assert [document[key] for key in ("dfs", "difference", "points", "total_points")] == [None] * 4
    assert document["recommendation"] == "ICT+CCRT"
    by_category = document["by_ebv_dna_category"]
    assert set(by_category) == {"<=threshold", ">threshold"}
    assert by_category["<=threshold"]["dfs"]["CCRT"]["60"]["value"] == 0.725
    assert set(by_category[">threshold"]) >= {"points", "total_points", "dfs", "difference", "recommendation"}
    assert to_json(samples.differing())["recommendation"] is None


def test_a_refusal_has_reasons_in_place_of_numbers() -> None:
    document = to_json(samples.refused())
    assert document["dfs"] is None
    assert [reason["code"] for reason in document["refusals"]] == ["missing_series", "stage_unknown"]


def test_the_status_is_withdrawn_or_current_or_what_the_ledger_knows() -> None:
    assert to_json(samples.scored())["status"] == "current"
    assert to_json(samples.scored(), ReportStatus.SUPERSEDED)["status"] == "superseded"
    document = to_json(samples.withdrawn())
    assert document["status"] == "withdrawn"
    assert document["withdrawal"]["by"] == "dr.chen"
    assert document["replaced"] == {"revision": 2, "created": "2024-03-12T08:30:15.250000+00:00"}
    assert [document[key] for key in ("dfs", "recommendation", "scores", "sentences")] == [None, None, None, []]


@pytest.mark.parametrize("wrong", [{}, {"patient_id": 3}, {**dump(samples.scored()), "created": "yesterday"}])
def test_a_document_that_is_not_a_report_is_refused(wrong) -> None:
    with pytest.raises(UnreadableReportError, match="expected a report as JSON"):
        load(wrong)
