"""ORU^R01 and MDM against the SR of the same report, python-hl7, hl7apy's structures, and HL7 v2.5.1."""

from __future__ import annotations

import base64
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from config.indication.vocabulary import EbvCategory
from dicom_sr.header.copied_values import patient_and_study
from dicom_sr.hl7_v2.messages import Earlier, Envelope, cancellation_message, document_message, result_message
from dicom_sr.hl7_v2.observations import observations_of
from dicom_sr.hl7_v2.subject import Subject, filler_order_number, subject_of
from dicom_sr.hl7_v2.writing import CODECS, FormattedText, message, number, segment
from dicom_sr.objects.build import build_objects
from dicom_sr.report.report_inputs import ReportOptions
from dicom_sr.report.treatment_report import NOT_DETECTED, EbvDna, TreatmentReport
from tests.dicom_sr import samples
from tests.dicom_sr.hl7_reading import observations, read, structural_faults, text
from tests.dicom_sr.strategies import reports

CASES = {**samples.CASES, "crowded": samples.crowded, "differing": samples.differing}
PDF = b"%PDF-1.4 page"
SR = "2.25.1234567"
LONGEST_CODE = 20  # of CWE-1 (HL7 v2.5.1 section 2.A.13)
FINAL = ReportOptions(preliminary=False)
any_text = st.text(st.characters(codec="utf-8"), max_size=40)


@pytest.fixture(scope="module")
def report_sr() -> Dataset:
    """The SR of `samples.scored()`, built once: it is the reference for what the messages say."""
    [built] = build_objects(samples.scored(), samples.sources(), None, ReportOptions(kinds=("sr",)))
    return built.dataset


@pytest.fixture(scope="module")
def subject(report_sr: Dataset) -> Subject:
    return subject_of(report_sr)


# --- content ---


def items_of(tree: Dataset) -> list[tuple[str, str]]:
    """Code and value of every NUM and TEXT item of an SR."""
    found = []
    for item in tree.get("ContentSequence", ()):
        code = item.ConceptNameCodeSequence[0].CodeValue
        if item.ValueType == "NUM":
            found.append((code, str(item.MeasuredValueSequence[0].NumericValue)))
        elif item.ValueType == "TEXT":
            found.append((code, str(item.TextValue).replace("\r\n", "\n")))
        found += items_of(item)
    return found


def test_every_number_and_text_is_that_of_the_structured_report(report_sr: Dataset, subject: Subject) -> None:
    written = items_of(report_sr)
    shown = observations(read(result_message(samples.scored(), SR, subject, Envelope(), pdf=PDF)))
    of_message = {(each.code, each.value) for each in shown if each.kind == "NM"}
    assert len(of_message) == 3 * 2 + 6 * 2 + 2 + 4  # differences, rates, scores; age, EBV DNA, threshold, volume
    assert of_message <= set(written)
    for code in ("121111", "CONDITIONS", "WARNING", "121071", "INTENDED_USE", "TRAINING"):
        [value] = [each.value for each in shown if each.code == code]
        assert (code, value) in written


@pytest.mark.parametrize(
    ("ebv", "kind", "value"),
    [
        (EbvDna(EbvCategory.ABOVE, 5000.0), "NM", "5000"),
        (EbvDna(EbvCategory.ABOVE, None, ">4000", comparator=">", bound_copies_per_ml=4000.0), "SN", ">"),
        (EbvDna(EbvCategory.NOT_ABOVE, None, "not detected", comparator=NOT_DETECTED), "CWE", "260415000"),
    ],
)
def test_a_laboratory_result_keeps_its_comparator(ebv: EbvDna, kind: str, value: str, subject: Subject) -> None:
    content = read(result_message(samples.scored(ebv_dna=ebv), SR, subject, Envelope()))
    [load] = [each for each in observations(content) if each.code == "47982-4"]
    assert (load.kind, load.value, load.system) == (kind, value, "LN")


def test_the_answer_is_coded_and_comes_first(subject: Subject) -> None:
    first = observations(read(result_message(samples.scored(), SR, subject, Envelope())))[0]
    assert (first.kind, first.code, first.system, first.value) == ("CWE", "RECOMMENDED", "99CPTDN", "ICT_CCRT")


def test_a_condition_has_its_state_and_its_grounds(subject: Subject) -> None:
    shown = {each.code: each for each in observations(read(result_message(samples.scored(), SR, subject, Envelope())))}
    assert shown["C_CONTOUR_DATE"].value == "NOT_MET"
    assert shown["C_CONTOUR_DATE"].note == "The contour is of 2024-03-20, the MR of 2024-03-11."
    assert shown["C_MALIGNANCY"].value == "NOT_CHECKED"


def test_an_unknown_category_gives_both_answers_and_numbers_of_both(subject: Subject) -> None:
    shown = {each.code: each.value for each in observations(read(
        result_message(samples.unknown_ebv(), SR, subject, Envelope())
    ))}  # fmt: skip
    assert shown["DFS_60_I_GT"] == "79.1"
    assert shown["DFS_60_I_LE"] == "85.1"
    assert "DFS_60_I" not in shown


def test_the_patient_is_that_of_the_study(subject: Subject) -> None:
    pid, obr = (
        read(result_message(samples.scored(), SR, subject, Envelope())).segment(name) for name in ("PID", "OBR")
    )
    assert [text(pid, 3, n) for n in (1, 4, 5)] == ["PID-0042", "HOSPITAL", "PI"]
    assert [text(pid, 5, n) for n in (1, 2, 8)] == ["Wang", "XiaoDong", "A"]
    assert [text(pid, 5, n, 2) for n in (1, 2, 8)] == ["王", "小东", "I"]
    assert (text(pid, 7), text(pid, 8)) == ("19810203", "M")
    assert (text(obr, 7), text(obr, 18), text(obr, 19)) == ("20240311101500", "ACC77", "RP5")


def test_an_issuer_with_a_universal_identifier_has_three_parts() -> None:
    qualifiers = Dataset()
    qualifiers.UniversalEntityID, qualifiers.UniversalEntityIDType = "1.2.156.1", "ISO"
    found = subject_of(patient_and_study(samples.sources(IssuerOfPatientIDQualifiersSequence=[qualifiers])))
    pid = read(result_message(samples.scored(), SR, found, Envelope())).segment("PID")
    assert text(pid, 3, 4) == "HOSPITAL&1.2.156.1&ISO"


def test_the_message_links_to_the_study_and_its_report(subject: Subject) -> None:
    content = read(result_message(samples.scored(), SR, subject, Envelope()))
    shown = {each.code: each.value for each in observations(content)}
    assert (shown["110180"], shown["SR_INSTANCE_UID"]) == (samples.STUDY, SR)


def test_the_page_is_a_pdf_in_base64(subject: Subject) -> None:
    content = read(result_message(samples.scored(), SR, subject, Envelope(), pdf=PDF))
    [page] = [each for each in content if str(each[0]) == "OBX" and text(each, 2) == "ED"]
    assert [text(page, 5, n) for n in (2, 3, 4)] == ["AP", "PDF", "Base64"]
    assert base64.b64decode(text(page, 5, 5)) == PDF


def test_a_demonstration_is_training_data(subject: Subject) -> None:
    contents = [result_message(each(), SR, subject, Envelope()) for each in (samples.scored, samples.demonstration)]
    assert [text(read(content).segment("MSH"), 11) for content in contents] == ["P", "T"]


@pytest.mark.parametrize("name", CASES)
def test_every_observation_has_a_key_of_its_own(name: str) -> None:
    found = observations_of(CASES[name](), ReportOptions(), SR, PDF)
    assert len({each.key for each in found}) == len(found)
    assert max(len(each.name.value) for each in found) <= LONGEST_CODE


def test_a_number_has_no_exponent() -> None:
    ebv = EbvDna(samples.scored().ebv_dna.category, 3.2e18)
    found = observations_of(samples.scored(ebv_dna=ebv), FINAL, SR)
    [load] = [each for each in found if each.name.value == "47982-4"]
    assert load.value == "3200000000000000000"
    assert number("-1.250000000e+03") == "-1250.000000"


# --- structure ---


@pytest.mark.parametrize("version", ["2.3.1", "2.4", "2.5", "2.5.1"])
def test_documents_have_the_structure_of_their_version(version: str, subject: Subject, tmp_path: Path) -> None:
    envelope = Envelope("CPTDN^1.2.3^ISO", "RT", "OIS", "RT", version)  # type: ignore[arg-type]
    earlier = Earlier((samples.scored(),), "2.25.1", ("2.25.2",))
    for content in (
        document_message(samples.scored(), SR, subject, envelope, pdf=PDF),
        document_message(samples.refused(), SR, subject, envelope),
        document_message(samples.reprocessed(), SR, subject, envelope, earlier=earlier, pdf=PDF),
        document_message(samples.withdrawn(), SR, subject, envelope, earlier=earlier, pdf=PDF),
        cancellation_message(samples.reprocessed(), subject, envelope, FINAL, "2.25.2"),
    ):
        assert structural_faults(content, tmp_path / "report.txt") == []


@pytest.mark.parametrize(("name", "version"), [("scored", "2.3.1"), ("refused", "2.4"), ("unknown_ebv", "2.5.1")])
def test_results_have_the_structure_of_their_version(name: str, version: str, subject: Subject, tmp_path: Path) -> None:
    earlier = Earlier((samples.scored(),)) if name != "scored" else None
    envelope = Envelope(version=version)  # type: ignore[arg-type]
    content = result_message(CASES[name](), SR, subject, envelope, earlier=earlier, pdf=PDF)
    assert structural_faults(content, tmp_path / "report.txt") == []


# --- any text ---


@settings(max_examples=40)
@given(st.lists(any_text, min_size=1, max_size=4), st.sampled_from(sorted(CODECS)))
def test_any_text_stays_in_its_field(texts: list[str], character_set: str) -> None:
    names = [(each, "x") for each in texts]
    fields = {2: texts[0], 3: list(names), 4: ("a", (texts[0], "b")), 5: FormattedText(texts[0]), 6: "end"}
    header = segment("MSH", {10: "1", 18: character_set})
    content = message([header, segment("ZZZ", fields), segment("ZZY", {1: "1"})], character_set)  # type: ignore[arg-type]
    assert not set(content) & {0x0B, 0x1C}
    found = read(content, CODECS[character_set])  # type: ignore[index]
    assert [str(each[0]) for each in found] == ["MSH", "ZZZ", "ZZY"]
    shown = found[1]
    plain = [cleaned(each) for each in texts]
    assert text(shown, 2) == plain[0]
    assert [text(shown, 3, 1, n) for n in range(1, len(texts) + 1)] == plain
    assert text(shown, 4, 2).removesuffix("&b") == plain[0]
    assert text(shown, 5).replace("\n", " ") == plain[0]
    assert text(shown, 6) == "end"


def cleaned(value: str) -> str:
    """What a field that is one line can contain: Unicode's control characters and line ends become blanks."""
    lines = value.replace("\r\n", "\n")
    return "".join(
        " " if ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 or each in "\u2028\u2029" else each for each in lines
    )


def lines_of(value: str) -> str:
    return "\n".join(cleaned(line) for line in value.split("\n"))


@settings(max_examples=15, deadline=None)
@given(reports("P", samples.STUDY, (samples.instance_uid(samples.ROLES[0], 1),)), st.sampled_from(sorted(CODECS)))
def test_any_report_reads_back(report: TreatmentReport, character_set: str) -> None:
    envelope = Envelope("A|B^C&D", r"F\T", "~", "R", character_set=character_set)  # type: ignore[arg-type]
    whom = Subject((("P|1", ("I^&", "", "")),), ((("N~", "\\"), "A"),), "", "", samples.STUDY, "2024", "A&C")
    content = read(result_message(report, SR, whom, envelope, pdf=PDF), CODECS[character_set])  # type: ignore[index]
    expected = observations_of(report, ReportOptions(), SR, PDF)
    shown = observations(content)
    assert [(each.code, each.sub_id) for each in shown] == [(each.name.value, each.sub_id) for each in expected]
    for each, wanted in zip(shown, expected, strict=True):
        if isinstance(wanted.value, str):
            assert each.value == (lines_of(wanted.value) if each.kind == "FT" else cleaned(wanted.value))
            assert each.kind != "NM" or set(each.value) <= set(string.digits + ".-")
        assert each.note == lines_of(wanted.note)
    assert (text(content.segment("PID"), 3), text(content.segment("OBR"), 18)) == ("P|1", "A&C")


# --- corrections and withdrawals ---


@pytest.mark.parametrize(("options", "status"), [(ReportOptions(), "P"), (FINAL, "F")])
def test_a_first_result_is_preliminary_or_final(options: ReportOptions, status: str, subject: Subject) -> None:
    content = read(result_message(samples.scored(), SR, subject, Envelope(), options))
    assert text(content.segment("OBR"), 25) == status
    assert {each.status for each in observations(content)} == {status}


def test_a_correction_replaces_what_was_stated_and_deletes_what_is_no_longer_true(subject: Subject) -> None:
    before, after = samples.unknown_ebv(), samples.reprocessed()
    content = read(result_message(after, SR, subject, Envelope(), FINAL, Earlier((before,)), PDF))
    assert text(content.segment("OBR"), 25) == "C"
    status = {(each.code, each.sub_id): each.status for each in observations(content)}
    assert status[("121111", "1")] == status[("PDF_REPORT", "1")] == "C"
    assert status[("DFS_60_I", "1")] == "F"  # new: so far there were the numbers of two categories
    assert status[("DFS_60_I_GT", "1")] == status[("DFS_60_I_LE", "1")] == "D"
    empty = [each.value for each in observations(content) if each.status == "D"]
    assert empty
    assert not any(empty)


def test_what_any_earlier_report_stated_is_deleted(subject: Subject) -> None:
    # The second one may have been replaced before it arrived: its predecessor's numbers are still there.
    chain = Earlier((samples.unknown_ebv(), samples.refused()))
    status = {each.code: each.status for each in observations(read(
        result_message(samples.reprocessed(), SR, subject, Envelope(), FINAL, chain)
    ))}  # fmt: skip
    assert status["DFS_60_I_GT"] == "D"
    assert status["REFUSAL"] == "D"


def test_every_revision_has_the_filler_order_number_of_its_study(subject: Subject) -> None:
    numbers = {
        text(read(result_message(report, SR, subject, Envelope())).segment("OBR"), 3)
        for report in (samples.scored(), samples.refused(), samples.withdrawn())
    }
    assert numbers == {filler_order_number(samples.STUDY)}
    assert len(filler_order_number(samples.STUDY)) == 22  # the most in version 2.3.1


def test_a_withdrawal_deletes_every_number_and_says_that_it_is_one(subject: Subject) -> None:
    content = read(
        result_message(samples.withdrawn(), SR, subject, Envelope(), FINAL, Earlier((samples.scored(),)), PDF)
    )
    assert (text(content.segment("OBR"), 25), text(content.segment("ORC"), 5)) == ("X", "CA")
    shown = observations(content)
    assert shown[0].value == "WITHDRAWN"
    assert {each.status for each in shown if each.kind == "NM"} == {"D"}
    assert [each.status for each in shown if each.code == "RECOMMENDED"] == ["D"]
    [summary] = [each for each in shown if each.code == "121111"]
    assert summary.status == "C"
    assert samples.withdrawn().withdrawal.because in summary.value  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("report", "earlier", "event", "number", "parent", "available"),
    [
        (samples.scored, Earlier(), "T02", "own", "", "AV"),
        (samples.reprocessed, Earlier((samples.scored(),), "2.25.7"), "T10", "own", "2.25.7", "AV"),
        (samples.refused, Earlier((samples.scored(),), "2.25.7"), "T10", "own", "2.25.7", "AV"),
        (samples.withdrawn, Earlier((samples.scored(),), "2.25.7"), "T11", "2.25.7", "", "UN"),
    ],
)  # fmt: skip
def test_documents_are_original_replaced_or_cancelled(
    report: object, earlier: Earlier, event: str, number: str, parent: str, available: str, subject: Subject
) -> None:
    made = report()  # type: ignore[operator]
    content = read(document_message(made, SR, subject, Envelope(), FINAL, earlier, PDF))
    txa = content.segment("TXA")
    assert text(content.segment("MSH"), 9, 2) == text(content.segment("EVN"), 1) == event
    own = SR if number == "own" else number
    assert (text(txa, 12), text(txa, 13), text(txa, 19)) == (own, parent, available)
    assert len(observations(content)) == (event != "T11")


def test_a_site_may_replace_a_withdrawn_document_by_the_page_that_says_so(subject: Subject) -> None:
    earlier = Earlier((samples.scored(),), "2.25.7")
    content = read(document_message(samples.withdrawn(), SR, subject, Envelope(), FINAL, earlier, PDF, "T10"))
    assert text(content.segment("TXA"), 13) == "2.25.7"
    assert base64.b64decode(observations(content)[0].value) == PDF


def test_without_a_page_the_document_is_the_report_as_text(subject: Subject) -> None:
    content = read(document_message(samples.scored(), SR, subject, Envelope()))
    [only] = observations(content)
    assert (only.kind, text(content.segment("TXA"), 3)) == ("FT", "FT")
    assert only.value.startswith("ICT+CCRT: 5-year DFS with ICT+CCRT minus CCRT is +12.6 percentage points")


def test_the_same_report_gives_the_same_bytes_and_another_one_another_control_id(subject: Subject) -> None:
    envelope = Envelope(receiver="his")
    once, again = (result_message(samples.scored(), SR, subject, envelope) for _ in range(2))
    assert once == again
    ids = [
        text(read(content).segment("MSH"), 10)
        for content in (
            once,
            result_message(samples.reprocessed(), SR, subject, envelope),
            result_message(samples.scored(), SR, subject, Envelope(receiver="ois")),
            document_message(samples.scored(), SR, subject, envelope),
            cancellation_message(samples.scored(), subject, envelope, FINAL, "2.25.7"),
        )
    ]
    assert len(set(ids)) == len(ids)
    assert {len(each) for each in ids} == {20}
