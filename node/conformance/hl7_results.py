"""Section 9 of the statement: what a hospital or oncology information system gets by HL7 v2 (`[[hl7_out]]`).

PS3.2 has no place for it, but the same administrator asks: which messages, which statuses, which answers mean what.
"""

from __future__ import annotations

from config.settings import Hl7OutSettings, Settings
from node.conformance.document import Block, Heading, Paragraph, Table

MESSAGES = (
    (
        "ORU^R01", "ORU_R01", "every report",
        "MSH, PID, PV1 where the study names a referring physician, ORC, OBR, then OBX with NTE: answer, summary, "
        "ground, differences and rates with both ends of their 95 % interval, scores, EBV DNA, age, stage, volume, "
        "conditions of use, warnings, table, model, page (ED, PDF in Base64), Study Instance UID, SOP Instance UID",
    ),
    ("MDM^T02", "MDM_T02", "the first report of a study", "MSH, EVN, PID, PV1, ORC, OBR, TXA, OBX (ED, or FT)"),
    ("MDM^T10", "MDM_T02", "a successor", "the same; TXA-13 is the document that it replaces"),
    ("MDM^T11", "MDM_T01", "a withdrawal", "MSH, EVN, PID, PV1, ORC, OBR, NTE with the reason, TXA; no OBX"),
)  # fmt: skip
STATUSES = (
    ("first result, preliminary", "P", "P", "T02", "AV"),
    ("first result, final", "F", "F", "T02", "AV"),
    ("successor", "C", "C what was stated before, P or F what is new, D what is no longer stated", "T10", "AV"),
    (
        "withdrawal", "X", "P or F the outcome WITHDRAWN, C summary and page, D everything else that was stated",
        "T11 (or T10)", "UN (AV)",
    ),
)  # fmt: skip
ANSWERS = (
    ("AA, CA", "accepted"),
    ("AE with 205 (duplicate) to a repeated message", "accepted: it had arrived, and its acknowledgement was lost"),
    ("AR, CR with 206 or 207 (locked, internal error)", "repeated, at most 8 times; then refused"),
    ("AR, CR otherwise", "refused: the delivery is dead, with the receiver's sentence"),
    ("AE, CE", "repeated, at most 8 times; then refused"),
    ("none, half of one, or one with another MSA-2", "the same message is repeated, for the configured number of days"),
)


def hl7_section(settings: Settings) -> list[Block]:
    """Build the section; empty where no receiver is configured.

    Parameters
    ----------
    settings : Settings
        Receivers, and whether results are preliminary.

    Returns
    -------
    list of Block
        Receivers, messages, statuses, answers.
    """
    if not settings.hl7_out:
        return []
    return [
        Heading(2, "9 HL7 v2 results"),
        Table(
            ("Receiver", "Address", "Messages", "Version", "Character set", "PDF"),
            tuple(_receiver(receiver) for receiver in settings.hl7_out),
        ),
        Heading(3, "9.1 Messages"),
        Table(("Message", "Structure", "For", "Content"), MESSAGES),
        Paragraph(
            "Numbers and texts are those of the Structured Report. Codes are 99CPTDN, DCM and SCT; that of a number "
            "(OBX-3) contains regimen and EBV DNA category, so that it is never filed over another one. OBR-3 is the "
            "same for every revision of a study and not its accession number, which is in OBR-18. TXA-12 is the SOP "
            "Instance UID of the Structured Report. MSH-11 is T for a demonstration model. MSH-10 of a message "
            "that is repeated is the same. Before version 2.5 coded values are CE, and documents have no ORC and OBR."
        ),
        Heading(3, "9.2 Statuses"),
        Table(("Report", "OBR-25", "OBX-11", "Event", "TXA-19"), STATUSES),
        Paragraph(
            "Table 0085: D deletes a value that was sent, which a receiver must no longer show; the summary that says "
            "withdrawn replaces the earlier one (C). Table 0123: X, no results available. The standard has T11 for "
            "documents that were not available to readers yet (section 9.6.11); for a receiver that keeps to this, "
            "withdrawn_document = \"replace\" sends the page that says WITHDRAWN as T10 instead."
        ),
        Heading(3, "9.3 Acknowledgements"),
        Paragraph("Original mode: one acknowledgement to each message on the same connection, MLLP (Appendix C.4)."),
        Table(("Answer", "What follows"), ANSWERS),
    ]  # fmt: skip


def _receiver(receiver: Hl7OutSettings) -> tuple[str, ...]:
    address = f"{receiver.host}:{receiver.port}{', TLS' if receiver.tls else ''}"
    page = "yes" if receiver.pdf else "no"
    return (
        receiver.name, address, ", ".join(receiver.messages), receiver.version, receiver.character_set, page
    )  # fmt: skip
