"""What goes out when a reported case changes: one table, state x event -> act in each channel.

`TABLE` is data that `withdrawal` and `workers.queue` obey, and that `node/workflow/README.md` shows (`as_markdown`; a
test compares both). A new channel is a module in `node/workflow/channels` and a column here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from config.messages.message import message
from node.ledger.reports import has_answer
from node.ledger.tables import Case, Report

COMPUTING = ("receiving", "queued", "running")
HELD_BY_PERSON = "administrator_hold"
OTHER_PATIENT = frozenset({"identity_mismatch", "patient_merged"})


class Channel(StrEnum):
    """Where a report goes; the value is the heading of its column."""

    DICOM = "SR, pictures, PDF"
    REJECTION = "rejection note"
    FHIR = "FHIR"
    HL7 = "HL7 v2"


class Act(StrEnum):
    """What is done in a channel."""

    SUCCESSOR = "new result, names its predecessor"
    REFUSAL = '"not computed", names its predecessor'
    WITHDRAWAL = "withdrawn"
    NOTHING = "nothing"
    # IHE Radiology, Imaging Object Change Management: the titles of a rejection note.
    REJECT_QUALITY = "113001 Rejected for Quality Reasons"
    REJECT_SAFETY = "113037 Rejected for Patient Safety Reasons"
    REJECT_WORKLIST = "113038 Incorrect Modality Worklist Entry"
    FINAL = "final or preliminary"
    AMENDED = "amended or preliminary"
    ENTERED_IN_ERROR = "entered-in-error"
    CORRECTED = "OBX-11 C"
    DELETED = "OBX-11 D"


class Event(StrEnum):
    """What happened to a case that has a delivered answer, or to the ground of that answer."""

    FIRST_RESULT = "first_result"
    NEW_RESULT = "new_result"
    REPORTED_REFUSAL = "reported_refusal"
    RECOMPUTED = "recomputed"
    REFUSED = "refused"
    INCOMPLETE = "incomplete"
    HELD_BY_PERSON = "held_by_person"
    QUESTIONED = "questioned"
    OTHER_PATIENT = "other_patient"
    FAILED = "failed"
    BY_PERSON = "by_person"
    RECALLED = "recalled"
    NOTICED = "noticed"
    UNCHANGED = "unchanged"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    states : tuple of str
        States of the case.
    what : str
        The event, for people.
    acts : mapping of Channel to Act
        One for each channel.
    because : str
        Sentence of a withdrawal, or the reason why nothing goes out.
    by : str
        What withdraws, where no person does.
    waits : bool
        True: a successor is on its way; the act is due when it has not come within ``[case] withdraw_after_s``.
    """

    states: tuple[str, ...]
    what: str
    acts: Mapping[Channel, Act]
    because: str
    by: str = ""
    waits: bool = False

    @property
    def withdraws(self) -> bool:
        """Whether the answer is withdrawn and none takes its place."""
        return self.acts[Channel.DICOM] is Act.WITHDRAWAL


def _acts(dicom: Act, rejection: Act, fhir: Act, hl7: Act) -> dict[Channel, Act]:
    return {Channel.DICOM: dicom, Channel.REJECTION: rejection, Channel.FHIR: fhir, Channel.HL7: hl7}


SUCCEED = _acts(Act.SUCCESSOR, Act.REJECT_QUALITY, Act.AMENDED, Act.CORRECTED)
WITHDRAW = _acts(Act.WITHDRAWAL, Act.REJECT_SAFETY, Act.ENTERED_IN_ERROR, Act.DELETED)
NOTHING = dict.fromkeys(Channel, Act.NOTHING)

TABLE: Mapping[Event, Row] = {
    Event.FIRST_RESULT: Row(
        ("reported",), "a first result, or the first after a withdrawal was taken back",
        _acts(Act.SUCCESSOR, Act.NOTHING, Act.FINAL, Act.SUCCESSOR), "nothing is outside that it replaces",
    ),
    Event.NEW_RESULT: Row(
        ("reported",), "a new result: fact corrected, contour replaced, computed again", SUCCEED,
        "the new result takes the place of the earlier one",
    ),
    Event.REPORTED_REFUSAL: Row(
        ("refused",), "refused, and refusals are reported (`[case] report_refusals`)",
        _acts(Act.REFUSAL, Act.REJECT_SAFETY, Act.AMENDED, Act.CORRECTED),
        "the refusal takes the place of the earlier result",
    ),
    Event.RECOMPUTED: Row(
        COMPUTING, "a fact, contour or series has changed and the successor is not there in time", WITHDRAW,
        message("withdrawn.recomputed"), message("withdrawn_by.recomputed"), waits=True,
    ),
    Event.REFUSED: Row(
        ("refused",), "refused: stage, diagnosis, earlier treatment, images", WITHDRAW,
        message("withdrawn.refused"), message("withdrawn_by.refused"),
    ),
    Event.INCOMPLETE: Row(
        ("incomplete",), "a series or the contour is missing, deleted or replaced by an unusable one", WITHDRAW,
        message("withdrawn.incomplete"), message("withdrawn_by.incomplete"),
    ),
    Event.HELD_BY_PERSON: Row(
        ("held",), "a person holds the case", WITHDRAW, message("withdrawn.held"), message("withdrawn_by.held"),
    ),
    Event.QUESTIONED: Row(
        ("held",), "a question about an input: stage, EBV DNA, series, contour", WITHDRAW,
        message("withdrawn.questioned"), message("withdrawn_by.questioned"),
    ),
    Event.OTHER_PATIENT: Row(
        ("held", "refused", "incomplete"), "the images and the facts are of different patients, or a merge is in doubt",
        {**WITHDRAW, Channel.REJECTION: Act.REJECT_WORKLIST},
        message("withdrawn.other_patient"), message("withdrawn_by.other_patient"),
    ),
    Event.FAILED: Row(
        ("failed",), "the computation of the changed inputs failed", WITHDRAW,
        message("withdrawn.failed"), message("withdrawn_by.failed"),
    ),
    Event.BY_PERSON: Row(
        ("withdrawn",), "a person withdraws the answer (`cptdn studies withdraw`)", WITHDRAW, "", "",
    ),
    Event.RECALLED: Row(
        ("withdrawn",), "its model bundle is recalled (`cptdn bundle recall`)", WITHDRAW, "", "",
    ),
    Event.NOTICED: Row(
        ("reported",), "a question beside the answer: conflicting or unreadable instance, a repeated image", NOTHING,
        "no input of the answer has changed; the question is shown with the case",
    ),
    Event.UNCHANGED: Row(
        ("reported",),
        "nothing changed, the report is frozen and a later fact is only shown, or its images were retired", NOTHING,
        "the answer was used for the decision (frozen), or its ground is as it was",
    ),
    Event.NO_ANSWER: Row(
        ("refused", "held", "incomplete", "failed", "withdrawn", *COMPUTING),
        "the newest report outside is a refusal or a withdrawal", NOTHING, "nothing outside names an answer",
    ),
}  # fmt: skip


def event_of(case: Case, report: Report | None) -> Event:
    """Return which event of the table a case is in.

    Parameters
    ----------
    case : Case
        With its state and reasons.
    report : Report or None
        The current report of its study.

    Returns
    -------
    Event
        The key of a row whose `states` contain the state of the case.
    """
    if case.state == "reported":
        return Event.NOTICED if case.reasons else Event.UNCHANGED
    if report is None or not has_answer(report):
        return Event.NO_ANSWER
    if case.withdrawal is not None:
        return Event(case.withdrawal["event"])
    if case.state in COMPUTING:
        return Event.RECOMPUTED
    codes = {reason["code"] for reason in case.reasons}
    if case.state in TABLE[Event.OTHER_PATIENT].states and codes & OTHER_PATIENT:
        return Event.OTHER_PATIENT
    if case.state == "held":
        return Event.HELD_BY_PERSON if HELD_BY_PERSON in codes else Event.QUESTIONED
    return Event(case.state)


def rejection_title(event: Event) -> str | None:
    """Return the code value of the rejection note that an event calls for; None where it calls for none."""
    act = TABLE[event].acts[Channel.REJECTION]
    return None if act is Act.NOTHING else act.value.split()[0]


def as_markdown() -> str:
    """Return the table as Markdown, for the README."""
    head = ("state of the case", "event", *(channel.value for channel in Channel), "reason")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in TABLE.values():
        when = f"{row.what}, after `[case] withdraw_after_s`" if row.waits else row.what
        because = row.because.rstrip(".") or "as the person states it"
        cells = (", ".join(row.states), when, *(row.acts[channel].value for channel in Channel), because)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
