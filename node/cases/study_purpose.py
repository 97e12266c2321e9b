"""What the texts of a study say about its purpose, and whether that fits: another region, treatment already given.

Such texts are written by hand and may be wrong, so they are questions that an operator answers, and no refusals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from config.messages.message import Message, message
from node.cases.body_region import other_region
from node.cases.completion import Gap
from node.cases.contour_choice import ContourObject
from node.cases.vocabulary import plain_text

REGION, RESPONSE = "region_contradiction", "treatment_response"
ADAPTIVE, CONTOUR_AGE = "contour_adaptive", "contour_not_contemporary"
# The codes of questions that `cptdn studies confirm` answers.
MERGED = "patient_merged"
CONFIRMABLE = frozenset({REGION, RESPONSE, ADAPTIVE, CONTOUR_AGE, "diagnosis_contradiction", MERGED})
CONTOUR_DAYS = 30  # a contour drawn longer before or after the MR shows another state of the tumour

# Attributes of the study and its order, then those of a series; a series name has short words with other meanings (ARMS
# is a sequence of Philips), so fewer regions are looked for there.
STUDY_TEXTS: Mapping[str, str] = {
    keyword: message(f"attribute.{keyword}")
    for keyword in (
        "StudyDescription", "RequestedProcedureDescription", "RequestedProcedureCodeSequence", "ProcedureCodeSequence",
        "PerformedProcedureStepDescription", "RequestAttributesSequence", "ReasonForStudy",
        "ReasonForTheRequestedProcedure", "ReasonForRequestedProcedureCodeSequence", "BodyPartExamined",
        "AnatomicRegionSequence",
    )
}  # fmt: skip
SERIES_TEXTS: Mapping[str, str] = {
    keyword: message(f"attribute.{keyword}") for keyword in ("SeriesDescription", "ProtocolName")
}
_NOT_IN_SERIES_NAMES = frozenset({"limb", "wrist or hand", "ankle or foot", "hip", "kidney", "bowel"})
# A reason may name the primary tumour of another organ beside this one; the diagnosis is judged elsewhere.
_REASONS = frozenset({"ReasonForStudy", "ReasonForTheRequestedProcedure", "ReasonForRequestedProcedureCodeSequence"})

_TREATMENT = (
    r"(?:rt|crt|ccrt|chrt|rct|imrt|vmat|xrt|radio\w*|chemo\w*|ic|ict|nact|nac|induction\w*|neoadj\w*|adj\w*|surg\w*|op|"
    r"treat\w*|tx|therap\w*|rx|irradiat\w*|(?:\d ?)?cycles?\w*)"
)
_RESPONSE = re.compile(
    r"(?<![a-z])(?:(?:post|after|following|s ?p|status post|during|mid|end of|completed|completion of)"
    rf" ?-? ?{_TREATMENT}|follow ?-? ?up\w*|f ?u|fup|flup|response|responder|restag\w*|re ?staging|surveillance|"
    r"recurr\w*|relaps\w*|residual|salvage|"
    r"re ?irradiat\w*|(?:treatment|therapy) (?:monitor\w*|evaluation|assessment)|on treatment|"
    r"(?:wk|week|woche|fx|fraction) ?\d{1,2}|\d{1,2} ?(?:wk|weeks?|months?|mo) (?:post|after)|"
    r"nach (?:rt|rct|op|bestrahl\w*|radio\w*|chemo\w*|therap\w*)|nachsorge|verlauf\w*|rezidiv\w*|"
    r"suivi|r[ée]cidive|apr[eè]s (?:rt|radio\w*|chimio\w*|traitement)|seguimiento|control post\w*|recidiva|"
    r"dopo (?:rt|radio\w*|chemio\w*|terapia)|"
    r"(?:despu[eé]s|tras) (?:de )?(?:rt|radio\w*|quimio\w*|tratamiento))(?![a-z])|"
    r"复查|複查|复诊|随访|隨訪|疗效|療效|(?:治疗|放疗|化疗|放化疗|诱导|同期)(?:后|後|中)|術後|术后|复发|復發|残留|再程|第\d+周期后"
)
_ADAPTIVE = re.compile(
    r"(?<![a-z])(?:adapt\w*|adpt|art\d*|re ?-?plan\w*|replan\w*|re ?-?contour\w*|mid ?-?(?:rt|tx|treatment)|"
    r"(?:w|wk|week|woche|fx|fr|frac|fraction)s? ?\d{1,2}|\d{1,2} ?(?:fx|fr)|day ?\d{1,2}|rescan\w*|"
    rf"(?:post|after) ?-? ?{_TREATMENT})(?![a-z])|自适应|重新?计划|二次计划|第二次|二程|第\d+(?:次|周)|复位"
)


def study_questions(
    study_headers: Iterable[Mapping[str, Any]],
    series_headers: Iterable[Mapping[str, Any]],
    contours: Sequence[ContourObject],
    study_day: date | None,
) -> list[Gap]:
    """Return the questions that the texts of a study and its contours raise.

    Parameters
    ----------
    study_headers : iterable of mapping
        Headers of all images; the attributes of the study are read.
    series_headers : iterable of mapping
        One header of each series that has a role.
    contours : sequence of ContourObject
        The contour objects that are used.
    study_day : date or None
        Day of the MR.

    Returns
    -------
    list of Gap
        Held, with the codes of `CONFIRMABLE`; at most one for each code.
    """
    texts = [*_texts(study_headers, STUDY_TEXTS), *_texts(series_headers, SERIES_TEXTS)]
    questions = [_region_question(texts), _response_question(texts), _adaptive_question(contours)]
    questions.append(_age_question(contours, study_day))
    return [question for question in questions if question is not None]


def confirmable_text(text: str, code: str) -> str:
    """Return a question with the command that answers it.

    Parameters
    ----------
    text : str
        One sentence.
    code : str
        One of `CONFIRMABLE`.
    """
    return message("confirmable", question=text, code=code)


def question_of(text: str) -> str:
    """Return the sentence of a question, without the command that answers it.

    Parameters
    ----------
    text : str
        What `confirmable_text` returned; another text is returned as it is.
    """
    return text.parameters["question"] if isinstance(text, Message) and text.key == "confirmable" else text


def _texts(headers: Iterable[Mapping[str, Any]], keywords: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return keyword, its name and its text, each once, in the order of the keywords."""
    found: dict[tuple[str, str], None] = {}
    for header in headers:
        for keyword in keywords:
            value = header.get(keyword)
            for text in value if isinstance(value, list) else [value]:
                if text:
                    found[keyword, str(text).strip()] = None
    ranks = list(keywords)
    # Sorted, because the order of arrival must not change the question.
    return [
        (keyword, keywords[keyword], text) for keyword, text in sorted(found, key=lambda k: (ranks.index(k[0]), k[1]))
    ]


def _region_question(texts: Sequence[tuple[str, str, str]]) -> Gap | None:
    for keyword, name, text in texts:
        region = None if keyword in _REASONS else other_region(text)
        if region is None or (keyword in SERIES_TEXTS and region in _NOT_IN_SERIES_NAMES):
            continue
        sentence = message("region_contradiction.text", name=name, text=text, region=message(f"region.{region}"))
        return Gap("held", REGION, confirmable_text(sentence, REGION))
    return None


def _response_question(texts: Sequence[tuple[str, str, str]]) -> Gap | None:
    for _, name, text in texts:
        words = _RESPONSE.search(plain_text(text))
        if words:
            sentence = message("treatment_response.text", name=name, text=text, words=words.group().strip())
            return Gap("held", RESPONSE, confirmable_text(sentence, RESPONSE))
    return None


def _adaptive_question(contours: Sequence[ContourObject]) -> Gap | None:
    for contour in contours:
        for name, text in _contour_names(contour):
            if _ADAPTIVE.search(plain_text(text)):
                sentence = message("contour_adaptive.text", name=name, text=text)
                return Gap("held", ADAPTIVE, confirmable_text(sentence, ADAPTIVE))
    return None


def _contour_names(contour: ContourObject) -> Iterator[tuple[str, str]]:
    if contour.roi is not None:
        yield message("attribute.roi"), contour.roi.name
    for keyword, name in (("StructureSetLabel", "structure_set"), ("SeriesDescription", "contour_series")):
        if contour.instance.header.get(keyword):
            yield message(f"attribute.{name}"), str(contour.instance.header[keyword])


def _age_question(contours: Sequence[ContourObject], study_day: date | None) -> Gap | None:
    for contour in contours:
        drawn = contour.drawn_on
        if drawn is None or study_day is None or abs((drawn - study_day).days) <= CONTOUR_DAYS:
            continue
        when = message("part.after" if drawn > study_day else "part.before")
        sentence = message(
            "contour_not_contemporary.days",
            limit=CONTOUR_DAYS,
            study_day=study_day,
            contour=contour.name,
            drawn=drawn,
            days=abs((drawn - study_day).days),
            when=when,
        )
        return Gap("held", CONTOUR_AGE, confirmable_text(sentence, CONTOUR_AGE))
    return None
