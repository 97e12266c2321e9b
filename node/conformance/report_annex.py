"""Annexes of the conformance statement: the information objects sent, and the templates of the Structured Report.

`dicom_sr` builds the report; a test reads a report and compares its containers and coding schemes with these tables.
"""

from __future__ import annotations

from config.settings import Settings
from node.conformance.document import Block, Heading, Paragraph, Table
from node.conformance.sent_objects import sent_classes

PRIVATE_SCHEME, PRIVATE_SCHEME_UID = "99CPTDN", "2.25.324273081584558895343000411411136428078"
# Containers of the content tree in their order: concept, code, template, content.
# By hand and not read from `dicom_sr`, whose modules build a report and have no table of it; a test compares both.
CONTAINERS = (
    ("Oncology Measurement Report", "126001 DCM", "TID 1500", "the root; language, observer (a device), procedure"),
    (
        "Qualitative Evaluations", "C0034375 UMLS", "row of TID 1500",
        "recommended regimen, no reliable difference, not computed, or withdrawn; permitted use, summary, warnings "
        "with code and severity; then ground of the answer, table, conditions of use, intended use, training "
        "population",
    ),
    ("Image Library", "111028 DCM", "TID 1600", "one representative image of each series used"),
    (
        "Patient Characteristics", "121118 DCM", "extension of TID 1500",
        "age, EBV DNA (47982-4 LN), its threshold and category; cT, cN, cM, staging system, stage groups",
    ),
    ("Imaging Measurements", "126010 DCM", "row of TID 1500", "the groups below; last the algorithm (TID 4019)"),
    ("Measurement Group", "125007 DCM", "TID 1501", "difference of DFS; DFS and points of each regimen; scores"),
    ("Measurement Group", "125007 DCM", "TID 1411", "the tumour: segment, source series, volume, finding site"),
    ("Details of the computation", "DETAILS 99CPTDN", "private", "sources of facts, series, contour, versions"),
)  # fmt: skip


def report_annex(settings: Settings) -> list[Block]:
    """Build section 8 of the statement.

    Parameters
    ----------
    settings : Settings
        Destinations and the form of the report.

    Returns
    -------
    list of Block
        Created instances, attributes used, the templates of the Structured Report, coding schemes.
    """
    report = settings.report
    return [
        Heading(2, "8 Annexes"),
        Heading(3, "8.1 Created instances"),
        Table(("IOD", "SOP Class UID"), tuple((sent.name, sent.uid) for sent in sent_classes(settings))),
        Table(
            ("Attribute", "Value"),
            (
                ("Patient, study, accession number, issuer, referenced request", "copied from the MR images"),
                ("Series", "new for each kind of object and each revision"),
                ("SOP Instance UID", "derived from inputs, model bundle and software: the same result, the same UID"),
                ("Specific Character Set", "ISO_IR 192"),
                ("Completion Flag, Verification Flag", "COMPLETE, UNVERIFIED"),
                ("Preliminary Flag", "PRELIMINARY" if report.preliminary else "FINAL"),
                ("Predecessor Documents Sequence", "the report that is superseded, where there is one"),
                ("Contributing Equipment Sequence", "109102 DCM Processing Equipment: program, version, bundle"),
            ),
        ),
        Heading(3, "8.2 Attributes used of received instances"),
        Paragraph(
            "Series roles come from acquisition parameters (Scanning Sequence, Sequence Variant, Repetition Time, Echo "
            "Time, Inversion Time, Echo Train Length, Contrast/Bolus Agent) and then from names; geometry from Image "
            "Position and Orientation (Patient), Pixel Spacing, Frame of Reference UID; age from Patient's Birth Date "
            "or Patient's Age and Study Date; the contour from ROI Name, RT ROI Interpreted Type and Contour Data."
        ),
        Heading(3, "8.3 Structured Report"),
        Paragraph("TID 1500 Measurement Report, extensible; every container has Continuity of Content SEPARATE."),
        Table(("Container", "Concept", "Template", "Content"), CONTAINERS),
        Heading(3, "8.4 Coding schemes"),
        Table(
            ("Scheme", "UID", "Used for"),
            (
                ("DCM", "1.2.840.10008.2.16.4", "structure, observer, measurements"),
                ("SCT", "2.16.840.1.113883.6.96", "anatomy, findings, staging"),
                ("LN", "2.16.840.1.113883.6.1", "EBV DNA, imaging procedure, document title"),
                ("UCUM", "2.16.840.1.113883.6.8", "units"),
                ("UMLS", "2.16.840.1.113883.6.86", "one heading"),
                (
                    PRIVATE_SCHEME,
                    PRIVATE_SCHEME_UID,
                    "DFS, regimens, points, scores; declared in the object",
                ),
            ),
        ),
        Heading(3, "8.5 Private attributes"),
        Paragraph("None are created; those of received instances are stored unchanged."),
    ]
