"""One DiagnosticReport per study on a FHIR server: created, updated, entered in error, also against other writers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.errors import PacsUnavailableError
from config.settings import FhirSettings
from dicom_sr.header.uids import uid_for
from dicom_sr.objects.fhir import fhir_bundle
from dicom_sr.objects.fhir_revisions import with_parts_of_earlier
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import TreatmentReport
from node.clinical.fhir_reports import ReportRefusedError, post_report
from tests.clinical.fhir_store import FhirStore
from tests.dicom_sr import samples

OPTIONS = ReportOptions(preliminary=False)
IN_ERROR = "entered-in-error"


@pytest.fixture
def server() -> Iterator[FhirStore]:
    store = FhirStore()
    yield store
    store.stop()


def sr_of(report: TreatmentReport) -> str:
    return uid_for(report.report_identity, "sr")


class Sender:
    """Sends revisions of one study as the worker builds them: each knows the resources of the one before."""

    def __init__(self, folder: Path, server: FhirStore) -> None:
        self.folder, self.settings = folder, FhirSettings(report_url=server.url)
        self.earlier: dict[str, Any] | None = None
        self.reports: list[TreatmentReport] = []

    def build(self, report: TreatmentReport) -> Path:
        path = self.folder / f"{len(self.reports)}.json"
        bundle = fhir_bundle(report, OPTIONS, sr_instance_uid=sr_of(report))
        self.earlier = with_parts_of_earlier(bundle, self.earlier)
        path.write_text(json.dumps(self.earlier), encoding="utf-8")
        self.reports.append(report)
        return path

    def send(self, sample: Any) -> Path:
        n = len(self.reports) + 1
        before = (sr_of(self.reports[-1]),) if self.reports else ()
        path = self.build(sample(revision=n, predecessors=before, report_identity=f"{n}" * 64))
        post_report(path, self.settings)
        return path


@pytest.fixture
def sender(tmp_path: Path, server: FhirStore) -> Sender:
    return Sender(tmp_path, server)


def statuses(server: FhirStore, kind: str) -> list[str]:
    return sorted(one["status"] for one in server.current(kind))


def test_a_study_has_one_report_that_every_revision_updates(server: FhirStore, sender: Sender) -> None:
    sender.send(samples.scored)
    assert statuses(server, "DiagnosticReport") == ["final"]
    n_observations = len(server.current("Observation"))
    sender.send(samples.scored)
    assert statuses(server, "DiagnosticReport") == ["amended"]
    (document,) = server.current("DiagnosticReport")
    assert document["meta"]["versionId"] == "2"
    assert len(server.current("Observation")) == n_observations
    assert len(server.current("RiskAssessment")) == 2
    assert len(server.current("Device")) == 1
    entry = server.transactions[-1]["entry"][-1]
    assert (entry["request"]["method"], entry["request"]["ifMatch"]) == ("PUT", 'W/"1"')
    resolved = {f"{one['resourceType']}/{one['id']}" for one in server.current("Observation")}
    assert {one["reference"] for one in document["result"]} <= resolved


def test_a_withdrawal_enters_every_resource_of_the_study_in_error(server: FhirStore, sender: Sender) -> None:
    sender.send(samples.scored)
    sender.send(samples.withdrawn)
    for kind in ("DiagnosticReport", "RiskAssessment", "Observation"):
        assert set(statuses(server, kind)) == {IN_ERROR}, kind
    assert not any("prediction" in one for one in server.current("RiskAssessment"))
    assert not any("valueQuantity" in one for one in server.current("Observation"))
    sender.send(samples.scored)
    assert statuses(server, "DiagnosticReport") == ["amended"]
    assert IN_ERROR not in statuses(server, "RiskAssessment")


def test_parts_that_a_revision_has_not_are_entered_in_error(server: FhirStore, sender: Sender) -> None:
    sender.send(samples.unknown_ebv)
    assert len(statuses(server, "RiskAssessment")) == 4
    sender.send(samples.scored)
    assert statuses(server, "RiskAssessment") == ["amended"] * 2 + [IN_ERROR] * 4
    sender.send(samples.refused)
    assert set(statuses(server, "RiskAssessment")) == {IN_ERROR}
    assert statuses(server, "DiagnosticReport") == ["amended"]


def test_a_revision_that_the_server_has_makes_no_second_version(server: FhirStore, sender: Sender) -> None:
    post_report(sender.send(samples.scored), sender.settings)
    post_report(sender.send(samples.scored), sender.settings)
    assert server.current("DiagnosticReport")[0]["meta"]["versionId"] == "2"
    assert len(server.transactions) == 2


def test_a_withdrawal_of_what_the_server_never_had_sends_nothing(server: FhirStore, sender: Sender) -> None:
    sender.build(samples.scored())
    sender.send(samples.withdrawn)
    assert server.transactions == []


def test_a_report_that_another_one_changed_meanwhile_is_read_again(server: FhirStore, sender: Sender) -> None:
    sender.send(samples.scored)

    def another_writer() -> None:
        server.before_transaction = None
        server.write({**server.current("DiagnosticReport")[0], "note": "by another"})

    server.before_transaction = another_writer
    sender.send(samples.scored)
    assert server.current("DiagnosticReport")[0]["meta"]["versionId"] == "3"
    assert statuses(server, "DiagnosticReport") == ["amended"]


def test_a_report_that_is_changed_again_and_again_is_tried_later(server: FhirStore, sender: Sender) -> None:
    sender.send(samples.scored)
    server.before_transaction = lambda: server.write(server.current("DiagnosticReport")[0]) and None
    with pytest.raises(PacsUnavailableError, match="412"):
        sender.send(samples.scored)


@pytest.mark.parametrize(
    ("status", "error"), [(503, PacsUnavailableError), (429, PacsUnavailableError), (422, ReportRefusedError)]
)
def test_the_status_of_an_answer_says_whether_it_is_tried_again(
    server: FhirStore, sender: Sender, status: int, error: type[Exception]
) -> None:
    for failures in ([status], [0, status]):  # the search, then the transaction
        server.fail_next = failures
        with pytest.raises(error, match=f"{status}: no"):
            sender.send(samples.scored)
    assert server.transactions == []


def test_the_resource_of_an_earlier_version_is_updated(server: FhirStore, sender: Sender) -> None:
    """Earlier versions identified the DiagnosticReport by its SR alone, and made another one for each revision."""
    first = samples.scored(report_identity="1" * 64)
    uid = f"urn:oid:{sr_of(first)}"
    server.write({
        "resourceType": "DiagnosticReport", "id": "77", "status": "final",
        "identifier": [{"system": "urn:dicom:uid", "value": uid}],
    })  # fmt: skip
    sender.reports = [first]
    sender.send(samples.withdrawn)
    assert statuses(server, "DiagnosticReport") == [IN_ERROR]
    assert server.current("DiagnosticReport")[0]["id"] == "77"
