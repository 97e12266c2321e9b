"""The conformance statement states what the running node negotiates, and what the report contains."""

from __future__ import annotations

import html.parser
import itertools
import re
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, build_context, build_role
from pynetdicom.sop_class import _VERIFICATION_CLASSES, StorageCommitmentPushModel

from config.settings import (
    DicomwebSettings,
    Hl7OutSettings,
    NodeSettings,
    NotifiedAeSettings,
    PacsSettings,
    ReportSettings,
    Settings,
    WorkItemSettings,
    WorklistSettings,
)
from dicom_sr.header.copied_values import patient_and_study
from dicom_sr.hl7_v2.messages import Earlier, Envelope, document_message, result_message
from dicom_sr.hl7_v2.subject import subject_of
from dicom_sr.objects.build import build_objects
from dicom_sr.report.report_inputs import ReportObject, ReportOptions
from node.cli.app import main
from node.conformance.document import Table, to_markdown
from node.conformance.presentation_contexts import CONTEXT_COLUMNS
from node.conformance.report_annex import CONTAINERS, PRIVATE_SCHEME_UID
from node.conformance.statement import conformance_statement
from node.dicom.network.contexts import PLAIN_SYNTAXES, STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.dicom.query.retrieve_scu import get_contexts
from tests.dicom.scenes import scene
from tests.dicom_sr.hl7_reading import observations, read
from tests.dicom_sr.hl7_reading import text as field_text
from tests.dicom_sr.samples import pictures, reprocessed, scored, sources, withdrawn
from tests.work_items.scenes import scene as work_item_scene

OTHER_SYNTAXES = ("1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93", "1.2.840.10008.1.2.4.100", "1.2.3.4")


def statement_text(settings: Settings) -> str:
    return to_markdown(conformance_statement(settings))


@pytest.fixture(scope="module")
def report_objects() -> list[ReportObject]:
    return build_objects(scored(), sources(), pictures())


def tables_of(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text, header first."""
    tables: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if set(line) <= {"|", "-"}:
                continue
            if not inside:
                tables.append([])
            tables[-1].append(cells)
        inside = line.startswith("|")
    return tables


def listed(text: str, number: int = 0) -> set[tuple[str, str, str]]:
    """Abstract syntax, transfer syntax and role of the n-th table of contexts."""
    context_tables = [table for table in tables_of(text) if table[0] == list(CONTEXT_COLUMNS)]
    return {(row[1], row[3], row[4]) for row in context_tables[number][1:]}


def negotiated(port: int, abstract: str, syntaxes: tuple[str, ...], role: str) -> set[tuple[str, str, str]]:
    """What the node accepts of one abstract syntax, each transfer syntax in a context of its own."""
    ae = AE(ae_title="PROBE")
    items = [build_role(abstract, scp_role=True)] if role == "SCU" else []  # the node as SCU: we offer to be the SCP
    contexts = [build_context(abstract, syntax) for syntax in syntaxes]
    assoc = ae.associate("127.0.0.1", port, contexts=contexts, ae_title="CPTDN", ext_neg=items)
    assert assoc.is_established or assoc.rejected_contexts
    accepted = {(str(one.abstract_syntax), str(one.transfer_syntax[0]), role) for one in assoc.accepted_contexts}
    if role == "SCU":
        assert all(one.as_scp for one in assoc.accepted_contexts)  # we are SCP, so the node is SCU
    if assoc.is_established:
        assoc.release()
    return accepted


def test_other_storage_classes_are_accepted_where_the_statement_says_so(tmp_path: Path) -> None:
    others = [context.abstract_syntax for context in AllStoragePresentationContexts]
    others = [uid for uid in others if uid not in STORAGE_CLASSES]
    with scene(tmp_path / "data") as node:
        assert "are accepted in any transfer syntax" in statement_text(node.settings)
        for begin in range(0, len(others), 120):
            contexts = [build_context(uid) for uid in others[begin : begin + 120]]
            assoc = AE(ae_title="PROBE").associate("127.0.0.1", node.port, contexts=contexts, ae_title="CPTDN")
            assert assoc.rejected_contexts == []
            assoc.release()


def test_every_listed_context_is_negotiated_and_no_other(tmp_path: Path) -> None:
    syntaxes = (*TRANSFER_SYNTAXES, *OTHER_SYNTAXES)
    with scene(tmp_path / "data", other_classes="reject") as node:
        stated = listed(statement_text(node.settings))
        abstracts = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
        abstracts |= set(_VERIFICATION_CLASSES.values()) | {uid for uid, _, role in stated if role == "SCP"}
        accepted: set[tuple[str, str, str]] = set()
        unlisted = sorted(abstracts - {uid for uid, _, _ in stated})
        ae = AE(ae_title="PROBE")
        for begin in range(0, len(unlisted), 120):  # at most 128 contexts an association, PS3.8 section 9.3.2.2
            contexts = [build_context(uid, list(syntaxes)) for uid in unlisted[begin : begin + 120]]
            assoc = ae.associate("127.0.0.1", node.port, contexts=contexts, ae_title="CPTDN")
            assert assoc.accepted_contexts == []
            if assoc.is_established:
                assoc.release()
        for uid in sorted({uid for uid, _, role in stated if role == "SCP"}):
            accepted |= negotiated(node.port, uid, syntaxes, "SCP")
        accepted |= negotiated(node.port, str(StorageCommitmentPushModel), syntaxes, "SCU")
    assert accepted == stated


def test_contexts_about_work_items_are_listed_and_negotiated_where_they_are_configured(tmp_path: Path) -> None:
    sections = {"work_items": WorkItemSettings(receive=True), "worklist": (WorklistSettings(),)}
    plain = Settings(node=NodeSettings(port=0))
    configured = plain.model_copy(update=sections)
    stated = listed(statement_text(configured)) - listed(statement_text(plain))
    assert {(UID(uid).name, role) for uid, _, role in stated} == {
        ("Unified Procedure Step - Push SOP Class", "SCP"), ("Unified Procedure Step - Watch SOP Class", "SCP"),
        ("Unified Procedure Step - Query SOP Class", "SCP"), ("Unified Procedure Step - Event SOP Class", "SCU"),
    }  # fmt: skip
    with work_item_scene(tmp_path / "data", worklist=(WorklistSettings(),)) as node:
        accepted = set[tuple[str, str, str]]()
        for uid, _, role in stated:
            accepted |= negotiated(node.port, uid, tuple(PLAIN_SYNTAXES), role)
        assert accepted == stated
        assert negotiated(node.port, "1.2.840.10008.5.1.4.34.6.3", tuple(PLAIN_SYNTAXES), "SCP") == set()


def test_the_statement_says_what_is_told_to_whom() -> None:
    receiver = NotifiedAeSettings(ae_title="RIS", instance_availability=True)
    web = WorklistSettings(name="rs", url="https://manager.example/dicom-web")
    sections = {"work_items": WorkItemSettings(receive=True), "worklist": (web,), "notified_ae": (receiver,)}
    text = statement_text(Settings(**sections))
    assert "RIS at 127.0.0.1:11115" in text
    assert "Instance Availability Notification" in text
    assert "PUT https://manager.example/dicom-web/workitems/{uid}/state" in text
    assert "Unified Procedure Step - Pull" not in text
    assert "4.2.5" not in statement_text(Settings())


def test_the_contexts_to_send_are_those_of_the_objects(report_objects: list[ReportObject]) -> None:
    settings = Settings(pacs=(PacsSettings(send=("sr", "pdf", "sc", "seg")),))
    is_sent = {
        (str(o.dataset.SOPClassUID), syntax, "SCU")
        for o in report_objects
        # As it is stored, and uncompressed for a peer that accepts nothing else.
        for syntax in (str(o.dataset.file_meta.TransferSyntaxUID), "1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
    }
    stated = listed(statement_text(settings), 1)
    services = {"1.2.840.10008.1.1", str(StorageCommitmentPushModel)}
    fallback = "1.2.840.10008.5.1.4.1.1.88.33"  # Comprehensive SR is the fallback of Comprehensive 3D SR
    assert {row for row in stated if row[0] not in services | {fallback}} == is_sent


def test_the_annex_describes_the_report_as_it_is(report_objects: list[ReportObject]) -> None:
    sr = next(o.dataset for o in report_objects if o.kind == "sr")
    in_report: list[tuple[str, str]] = []

    def walk(item: Dataset) -> None:
        if item.ValueType == "CONTAINER":
            concept = item.ConceptNameCodeSequence[0]
            template = item.get("ContentTemplateSequence")
            code = f"{concept.CodeValue} {concept.CodingSchemeDesignator}"
            in_report.append((code, f"TID {template[0].TemplateIdentifier}" if template else ""))
        for child in item.get("ContentSequence", []):
            walk(child)

    walk(sr)
    stated = [(code, template if template.startswith("TID") else "") for _, code, template, _ in CONTAINERS]
    in_annex = [one for one in dict.fromkeys(in_report) if one in stated]
    assert in_annex == stated  # all of them, in this order
    unlisted = {code for code, _ in in_report} - {code for code, _ in stated}
    assert all("99CPTDN" in code or code == "126200 DCM" for code in unlisted)  # groups inside a listed container
    assert {str(one.CodingSchemeUID) for one in sr.CodingSchemeIdentificationSequence} == {PRIVATE_SCHEME_UID}


def test_the_configuration_is_in_it() -> None:
    settings = Settings(
        node=NodeSettings(ae_title="HEAD", allowed_addresses=("192.0.2.0/24",), max_pdu_bytes=65536),
        pacs=(PacsSettings(name="one", storage_commitment=False), PacsSettings(name="two", send=("pdf",))),
        report=ReportSettings(sop_class="enhanced", preliminary=False),
    )
    text = statement_text(settings)
    for expected in (
        "HEAD",
        "192.0.2.0/24",
        "65536 bytes",
        "Proposed to one",
        "Proposed to two",
        "Enhanced SR Storage",
        "FINAL",
    ):
        assert expected in text
    assert "Comprehensive 3D" not in text
    assert str(StorageCommitmentPushModel) not in {uid for uid, _, _ in listed(text, 1)}
    assert "1.2.840.10008.5.1.4.1.1.7" not in {uid for uid, _, _ in listed(text, 2)}
    levels = [line.split()[0].count("#") for line in text.splitlines() if line.startswith("#")]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_a_dicomweb_destination_is_stated_and_has_no_contexts() -> None:
    text = statement_text(Settings(pacs=(PacsSettings(name="web", stow_url="https://pacs.example/dicom-web"),)))
    assert "| web | https://pacs.example/dicom-web/studies |" in text
    assert "Proposed to web" not in text


def test_a_dicomweb_source_and_the_intake_are_stated_and_need_no_contexts() -> None:
    pacs = PacsSettings(wado_url="https://pacs.example/dicom-web", query_retrieve=True)
    text = statement_text(Settings(pacs=(pacs,), dicomweb=DicomwebSettings(receive=True, max_requests=7)))
    assert "| DICOMweb: Search (QIDO-RS) | yes (user agent) |  |" in text
    assert "| DICOMweb: Store (STOW-RS) |  | yes (origin server) |" in text
    assert "| main | https://pacs.example/dicom-web |" in text
    assert "| Simultaneous requests | 7 |" in text
    assert "C122" in text
    assert not {row for row in listed(text, 1) if row[0].startswith("1.2.840.10008.5.1.4.1.2.")}
    assert "DICOMweb" not in statement_text(Settings()).replace("by DICOMweb only", "")


def test_receivers_of_hl7_v2_are_stated_with_the_statuses_that_are_sent() -> None:
    assert "HL7 v2" not in statement_text(Settings())
    receiver = Hl7OutSettings(name="ois", host="ois.example", port=6661, messages=("MDM^T02",))
    text = statement_text(Settings(hl7_out=(receiver,)))
    assert "| ois | ois.example:6661 | MDM^T02 | 2.5.1 | UNICODE UTF-8 | yes |" in text
    [rows] = [table[1:] for table in tables_of(text) if table[0][:2] == ["Report", "OBR-25"]]
    header = subject_of(patient_and_study(sources()))
    earlier = Earlier((scored(),), "2.25.7")
    final = ReportOptions(preliminary=False)
    cases = (
        (scored(), ReportOptions(), Earlier()), (scored(), final, Earlier()), (reprocessed(), final, earlier),
        (withdrawn(), final, earlier),
    )  # fmt: skip
    for row, (value, options, before) in zip(rows, cases, strict=True):
        result = read(result_message(value, "2.25.1", header, Envelope(), options, before))
        document = read(document_message(value, "2.25.1", header, Envelope(), options, before))
        assert field_text(result.segment("OBR"), 25) == row[1], row
        assert {each.status for each in observations(result)} <= set(re.findall(r"\b[A-Z]\b", row[2])), row
        assert (field_text(document.segment("EVN"), 1), field_text(document.segment("TXA"), 19)) == (
            row[3].split()[0], row[4].split()[0],
        ), row  # fmt: skip


def test_the_contexts_of_query_and_retrieve_are_stated() -> None:
    pacs = PacsSettings(query_retrieve=True)
    stated = listed(statement_text(Settings(pacs=(pacs,))), 1)
    find, move, get = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
    assert {find, move, get} <= {uid for uid, _, _ in stated}
    brought = {(uid, tuple(syntaxes.split(", "))) for uid, syntaxes, role in stated if role == "SCP (C-GET)"}
    proposed = {(str(c.abstract_syntax), tuple(map(str, c.transfer_syntax))) for c in get_contexts()}
    assert {context for context in proposed if context[0] != get} == brought
    only_get = listed(statement_text(Settings(pacs=(pacs.model_copy(update={"retrieve_by": "get"}),))), 1)
    assert move not in {uid for uid, _, _ in only_get}
    assert find not in {uid for uid, _, _ in listed(statement_text(Settings()), 1)}


class _Reader(html.parser.HTMLParser):
    """Counts tags and checks that they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.n_rows = 0

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.n_rows += tag == "tr"
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_command_writes_markdown_and_html(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        try:
            main(["conformance", *arguments])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    assert run() == 0
    assert capsys.readouterr().out == statement_text(Settings())
    page = tmp_path / "conformance.html"
    assert run("--html", "--out", str(page)) == 0
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    rows = sum(len(block.rows) + 1 for block in conformance_statement(Settings()) if isinstance(block, Table))
    assert reader.n_rows == rows
    assert run("--out", str(tmp_path / "none" / "x")) == 1
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a | b", "<script>", "&"])
def test_text_stays_text_in_both_forms(text: str) -> None:
    from node.conformance.document import Paragraph, to_html, to_markdown

    table = Table(("x",), ((text,),))
    assert tables_of(to_markdown([table]))[0][1] != ["a", "b"]
    assert "<script>" not in to_html([table, Paragraph(text)])
