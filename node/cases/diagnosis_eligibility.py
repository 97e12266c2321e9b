"""Whether a recorded diagnosis says that the patient has the disease of the model.

Facts (command, table, HL7, FHIR) come first; without one the diagnosis that the images carry from the order counts:
Admitting Diagnoses and the reason for the procedure (PS3.3 C.7.2.2, C.7.3.1, table 10-9). A study description alone is
no diagnosis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from config.messages.message import message
from node.cases.clinical_facts import DiagnosisFact
from node.cases.diagnosis import Diagnosis, read_diagnosis
from node.cases.study_purpose import confirmable_text

# The attributes of a header that state a diagnosis, and their names for people.
HEADER_DIAGNOSES: Mapping[str, str] = {
    keyword: message(f"attribute.{keyword}")
    for keyword in (
        "AdmittingDiagnosesCodeSequence",
        "AdmittingDiagnosesDescription",
        "ReasonForRequestedProcedureCodeSequence",
        "ReasonForTheRequestedProcedure",
        "ReasonForStudy",
    )
}
UNKNOWN, OTHER, CONTRADICTION = "diagnosis_unknown", "diagnosis_not_eligible", "diagnosis_contradiction"


@dataclass(frozen=True)
class DiagnosisAnswer:
    """The answer about the diagnosis of one patient.

    Attributes
    ----------
    state : {"met", "held", "refused", "assumed"}
        "assumed" where nothing is recorded and the site assumes the disease.
    code : str
        Reason code of the contract; empty for "met".
    text : str
        One sentence or more.
    recorded : str
        The diagnosis that counts, as recorded; empty for none.
    other_tumour : str
        Another one that is recorded beside it; empty for none.
    is_diagnosed : bool
        Whether the disease of the model is recorded, alone or beside another one.
    """

    state: Literal["met", "held", "refused", "assumed"]
    code: str
    text: str
    recorded: str = ""
    other_tumour: str = ""
    is_diagnosed: bool = False


def answer_diagnosis(
    facts: Sequence[DiagnosisFact], headers: Iterable[Mapping[str, Any]], disease: str, unknown: str
) -> DiagnosisAnswer:
    """Answer whether the diagnosis is that of the model.

    Parameters
    ----------
    facts : sequence of DiagnosisFact
        The patient's current diagnoses.
    headers : iterable of mapping
        Headers of the images.
    disease : str
        The disease of the indication, for the sentences.
    unknown : {"require", "assume"}
        What the site does without a diagnosis, `[eligibility] diagnosis`.

    Returns
    -------
    DiagnosisAnswer
        "refused" for recorded facts of another disease, "held" where nothing is recorded, records contradict each
        other, or only the images name another disease.
    """
    recorded: list[tuple[Diagnosis, str]] = [
        (fact.diagnosis, message("source.in_parentheses", source=fact.provenance.said_source)) for fact in facts
    ]
    in_images = _in_images(headers)
    eligible: list[tuple[Diagnosis, str]] = [one for one in recorded if one[0].kind == "nasopharyngeal_carcinoma"]
    others = [one for one in recorded if one[0].kind in ("other", "recurrent")]
    if others and not eligible:
        diagnosis, source = others[-1]
        text = message("diagnosis_not_eligible.other", diagnosis=diagnosis.text, source=source, disease=disease)
        return DiagnosisAnswer("refused", OTHER, text, diagnosis.text)
    against = [*others, *(one for one in in_images if one[0].kind in ("other", "recurrent") and one[0].is_tumour)]
    eligible += [one for one in in_images if one[0].kind == "nasopharyngeal_carcinoma"]
    if against:
        return _contradiction(eligible, against, disease)
    if eligible:
        diagnosis, source = eligible[-1] if len(recorded) == 0 else eligible[0]
        return DiagnosisAnswer(
            "met", "", message("diagnosis.is", diagnosis=diagnosis.text, source=source), diagnosis.text, "", True
        )
    return _without(recorded, disease, unknown)


def _contradiction(
    eligible: Sequence[tuple[Diagnosis, str]], against: Sequence[tuple[Diagnosis, str]], disease: str
) -> DiagnosisAnswer:
    other, source = against[-1]
    if eligible:
        own, own_source = eligible[-1]
        sentence = confirmable_text(
            message(
                "diagnosis_contradiction.beside",
                disease=disease, other=other.text, source=source, own=own.text, own_source=own_source,
            ),
            CONTRADICTION,
        )  # fmt: skip
    else:
        sentence = message("diagnosis_unknown.in_images_only", disease=disease, other=other.text, source=source)
    recorded = eligible[-1][0].text if eligible else other.text
    code = CONTRADICTION if eligible else UNKNOWN
    return DiagnosisAnswer("held", code, sentence, recorded, other.text if eligible else "", bool(eligible))


def _without(recorded: Sequence[tuple[Diagnosis, str]], disease: str, unknown: str) -> DiagnosisAnswer:
    code = "diagnosis_assumed" if unknown == "assume" else UNKNOWN
    if recorded:
        diagnosis, source = recorded[-1]
        text = message(f"{code}.unclear", disease=disease, found=diagnosis.text, source=source)
    else:
        text = message(f"{code}.none", disease=disease)
    return DiagnosisAnswer("assumed" if unknown == "assume" else "held", code, text)


def _in_images(headers: Iterable[Mapping[str, Any]]) -> list[tuple[Diagnosis, str]]:
    """Return the certain diagnoses of the images, each text once, in an order that does not depend on arrival."""
    texts: dict[tuple[str, str], None] = {}
    for header in headers:
        for keyword in HEADER_DIAGNOSES:
            value = header.get(keyword)
            for text in value if isinstance(value, list) else [value]:
                if text:
                    texts[keyword, str(text)] = None
    read = [
        (read_diagnosis(text), message("source.in_images", what=HEADER_DIAGNOSES[keyword]))
        for keyword, text in sorted(texts)
    ]
    return [one for one in read if one[0].kind != "unclear"]
