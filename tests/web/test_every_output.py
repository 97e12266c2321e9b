"""One answer in every output: the words, the numbers and the order of severity of any report, read from each of them.

Beside `tests/dicom_sr/test_same_numbers.py` (the numbers): the sentences, also as command line, work list, page and
HL7 messages say them.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from config.indication.vocabulary import Answer, AnswerRule, ConditionState, Severity
from config.severities import SEVERITIES
from dicom_sr.content.structured_report import build_sr
from dicom_sr.hl7_v2.messages import Envelope, result_message
from dicom_sr.hl7_v2.subject import subject_of
from dicom_sr.objects.encapsulated_pdf import build_pdf
from dicom_sr.objects.fhir import fhir_bundle
from dicom_sr.objects.rejection_note import RejectedObject, build_rejection_note
from dicom_sr.page.layout import render_pages
from dicom_sr.page.output import pages_pdf
from dicom_sr.reading.reader import read_report
from dicom_sr.report.answer_text import answer_sentence, statement_of
from dicom_sr.report.json_form import dump, to_json
from dicom_sr.report.plain_text import plain_text
from dicom_sr.report.report_inputs import PagePictures, ReportObject, ReportOptions
from dicom_sr.report.treatment_report import ConditionOfUse, Reason, TreatmentReport
from dicom_sr.report.wording import ENGLISH
from node.cli.studies import answer_json
from node.web.answer_texts import answer_of
from tests.dicom_sr import samples
from tests.dicom_sr.hl7_reading import observations, read
from tests.dicom_sr.test_answer_text import codes, decided, states
from tests.dicom_sr.test_page import PATIENT
from tests.dicom_sr.test_same_numbers import SMALL, computed, numeric_values, texts
from tests.peers import peer

SR_ONLY = ReportOptions(kinds=("sr",))
SLOW = settings(
    max_examples=4, deadline=None, phases=(Phase.explicit, Phase.generate),  # shrinking pages takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
STATEMENT = re.compile(
    r"(?P<answer>ICT\+CCRT|CCRT|Noreliabledifference):5-yearDFSwithICT\+CCRTminusCCRTis(?P<gain>[+-]?\d+\.\d)"
    r"percentagepoints\(95%CI(?P<low>[+-]?\d+\.\d)to(?P<high>[+-]?\d+\.\d)\)"
)


# Around zero and the thresholds: an interval across one of them is as frequent as one beside it.
ends = st.floats(-0.2, 0.2)


@st.composite
def judged(draw: st.DrawFn) -> TreatmentReport:
    """Any computed report by the rule of the interval, which it always has; some are invalidated by a warning."""
    base = draw(computed())
    months = base.model.horizon_months
    scenarios = tuple(
        replace(each, difference_ci95={**each.difference_ci95, months: draw(st.tuples(ends, ends))})
        for each in base.scenarios
    )
    code = draw(st.sampled_from([None, None, *sorted(SEVERITIES)]))
    warnings = () if code is None else (Reason(code, f"Warning of {code}."),)
    threshold = draw(st.sampled_from((0.0, 0.02, 0.05)))
    model = replace(base.model, rule=AnswerRule.INTERVAL, threshold=threshold)
    return decided(replace(base, scenarios=scenarios, model=model, warnings=warnings))


def letters(text: str) -> str:
    """Without blanks, which are where an output breaks its lines."""
    return re.sub(r"\s+", "", text)


def strings(document: object) -> Iterator[str]:
    """Every text of a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for part in document.values() if isinstance(document, dict) else document:
            yield from strings(part)


def outputs(report: TreatmentReport) -> dict[str, str]:
    """The words of each output, without blanks."""
    sr = build_sr(report, SMALL, SR_ONLY)
    reread = read_report(sr)
    light, dark = (render_pages(report, PagePictures(), colours, "en", PATIENT) for colours in ("light", "dark"))
    pdf = subprocess.run(
        [peer("pdftotext", "poppler-utils"), "-raw", "-", "-"], input=pages_pdf(light, "title", report.created),
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    message = read(result_message(report, sr.SOPInstanceUID, subject_of(sr), Envelope()))
    web = answer_of(dump(report), "en")
    listed = answer_json(dump(report))
    assert web is not None
    assert listed is not None
    words = {
        "sr": "\n".join(texts(sr)),
        "sc": "\n".join(text.text for page in dark for text in page.texts),
        "pdf": pdf,
        "fhir": "\n".join(strings(json.loads(json.dumps(fhir_bundle(report), default=str)))),
        "json": "\n".join(to_json(report)["sentences"]),
        "report show": plain_text(reread),
        "report show --json": "\n".join(to_json(reread)["sentences"]),
        "studies list": "\n".join(listed["sentences"]),
        "page": "\n".join(web["lines"]),
        "hl7": "\n".join(each.value for each in observations(message)),
    }
    return {name: letters(text) for name, text in words.items()}


@SLOW
@given(judged())
def test_every_output_says_the_same_sentence_and_no_other(report: TreatmentReport) -> None:
    expected = {letters(answer_sentence(statement_of(report, each), ENGLISH)) for each in report.scenarios}
    stated = {(found["answer"], found["low"], found["high"]) for found in map(STATEMENT.search, expected) if found}
    for name, text in outputs(report).items():
        for sentence in expected:
            assert sentence in text, name
        in_output = {(each["answer"], each["low"], each["high"]) for each in STATEMENT.finditer(text)}
        # A second statement would be another answer, or the same one with other numbers.
        assert in_output == stated, name


@SLOW
@given(judged())
def test_no_output_has_a_firm_word_with_an_interval_across_the_threshold(report: TreatmentReport) -> None:
    limit = report.model.threshold * 100
    for name, text in outputs(report).items():
        for found in STATEMENT.finditer(text):
            # Read from the words alone, as a planner does; the program's own decision is not asked.
            low, high = sorted((float(found["low"]), float(found["high"])))
            across = min(low, float(found["gain"])) <= limit <= max(high, float(found["gain"]))
            if found["answer"] != "Noreliabledifference":
                assert not across, name
                assert (found["answer"] == "ICT+CCRT") == (low > limit), name
                assert report.is_valid, name
    # What has no sentence: the largest word of the page, codes, and the answer of the lists.
    firm = {each.recommendation for each in report.scenarios} - {Answer.NO_RELIABLE_DIFFERENCE}
    coded = [
        code["code"]
        for entry in fhir_bundle(report)["entry"]
        for concept in entry["resource"].get("conclusionCode", ())
        for code in concept["coding"]
    ]
    if not firm:
        assert not {"ICT_CCRT", "CCRT"} & set(coded)
        assert (answer_of(dump(report), "en") or {})["arm"] is None


@SLOW
@given(judged())
def test_the_numbers_of_the_message_are_those_of_the_structured_report(report: TreatmentReport) -> None:
    sr = build_sr(report, SMALL, SR_ONLY)
    shown = observations(read(result_message(report, sr.SOPInstanceUID, subject_of(sr), Envelope())))
    of_message = [each.value for each in shown if each.kind == "NM"]
    assert len(of_message) >= 12 * len(report.scenarios)
    assert set(of_message) <= set(numeric_values(sr))


@SLOW
@given(codes, codes, states)
def test_no_output_names_a_lighter_reason_before_a_graver_one(
    of_warnings: list[str], of_quality: list[str], state: list[ConditionState]
) -> None:
    # Names of one length that no other contains, so that the place of each is its own.
    warnings = tuple(Reason(code, f"Warning no. {n:02} of the report.") for n, code in enumerate(of_warnings))
    quality = tuple(Reason(code, f"Finding no. {n:02} of the images.") for n, code in enumerate(of_quality))
    base = samples.scored(warnings=warnings, quality=quality)
    conditions = tuple(
        ConditionOfUse(each.code, new, f"Grounds no. {n:02} of the table.")
        for n, (each, new) in enumerate(zip(base.conditions, state, strict=False))
    )
    report = decided(replace(base, conditions=conditions))
    for name, text in outputs(report).items():
        for reasons in (warnings, quality):
            # FHIR and the sentences name what invalidates the result and the conditions; the others name all.
            places = {each: text.find(letters(each.text)) for each in reasons}
            found = sorted((place, SEVERITIES[each.code].rank) for each, place in places.items() if place >= 0)
            if name in ("sr", "sc", "pdf", "report show", "hl7"):
                assert len(found) == len(reasons), name
            assert [rank for _, rank in found] == sorted(rank for _, rank in found), name
            invalid = [each for each in reasons if SEVERITIES[each.code].rank <= Severity.INVALIDATES.rank]
            assert all(places[each] >= 0 for each in invalid), name


PDF = b"%PDF-1.4 page"
REJECTED = [RejectedObject("1.2.840.10008.5.1.4.1.1.88.33", "2.25.5", "2.25.6")]


def encoded(report: TreatmentReport, options: ReportOptions) -> dict[str, tuple[str, bytes]]:
    """UID and bytes of each object that has no pixels."""
    built = {
        "sr": build_sr(report, SMALL, options),
        "pdf": build_pdf(PDF, report, SMALL, options),
        "ko": build_rejection_note("113037", REJECTED, report, SMALL, options),
    }
    return {name: (str(ds.SOPInstanceUID), ReportObject("sr", "", "", ds).encoded) for name, ds in built.items()}


CHANGES = st.sampled_from([
    lambda report: report,
    lambda report: replace(report, created=report.created + timedelta(seconds=1)),
    lambda report: replace(report, age_years=(report.age_years or 0) + 1),
    lambda report: replace(report, stability=None),
    lambda report: replace(report, warnings=(*report.warnings, Reason("other", "One more."))),
    lambda report: replace(report, model=replace(report.model, intended_use="another")),
    lambda report: replace(report, revision=report.revision + 1),
    lambda report: replace(report, report_identity="3f" * 32),
])  # fmt: skip


@SLOW
@given(
    judged(), CHANGES, st.sampled_from([{}, {"language": "zh"}, {"institution": "Hospital"}, {"preliminary": False}])
)
def test_uids_of_two_reports_are_equal_if_and_only_if_their_bytes_are(report, change, options) -> None:  # type: ignore[no-untyped-def]
    before = encoded(report, SR_ONLY)
    after = encoded(decided(change(report)), replace(SR_ONLY, **options))
    for name, (uid, content) in before.items():
        assert (uid == after[name][0]) == (content == after[name][1]), name
