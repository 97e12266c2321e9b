"""What quarantined files mean for a case: its content is not certain, or what it is missing may be among them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from node.cases.case_inputs import QuarantinedFile
from node.cases.completion import Gap

UNREADABLE = "unreadable_instance"


def quarantine_gaps(files: Sequence[QuarantinedFile], stored: Collection[str], is_incomplete: bool) -> list[Gap]:
    """Return the reasons for which quarantined files hold a case.

    Parameters
    ----------
    files : sequence of QuarantinedFile
        Of the study, and those that may belong to it.
    stored : collection of str
        SOP Instance UIDs of the study's stored instances. An unreadable file whose instance is there was sent again;
        a conflict remains whichever came first.
    is_incomplete : bool
        Whether the case is missing something. A file that may belong to another study is a reason only then: a study
        that is whole has no place for it.

    Returns
    -------
    list of Gap
        Held; ``unreadable_instance`` once for all unreadable files, ``conflicting_instance`` for each.
    """
    gaps = [Gap("held", file.code, file.text) for file in files if file.code != UNREADABLE]
    unreadable = [file for file in files if file.code == UNREADABLE and file.sop_instance_uid not in stored]
    certain = [file for file in unreadable if file.is_of_study]
    possible = [file for file in unreadable if not file.is_of_study] if is_incomplete else []
    if certain:
        gaps.append(Gap("held", UNREADABLE, _sentence(certain, "of this study")))
    if possible:
        where = "that came together with this study and with others"
        gaps.append(Gap("held", UNREADABLE, _sentence(possible, where)))
    return gaps


def _sentence(files: Sequence[QuarantinedFile], which: str) -> str:
    first = files[0]
    uid = first.sop_instance_uid
    name = f"SOP Instance UID {uid}" if uid else "without a valid SOP Instance UID"
    objects = f"An object {which} cannot be read ({name})" if len(files) == 1 else (
        f"{len(files)} objects {which} cannot be read, the first of them ({name})"
    )  # fmt: skip
    return (
        f"{objects}: {first.text.rstrip('.')}; send again what `cptdn quarantine list` shows, or dismiss it with "
        "`cptdn quarantine dismiss`."
    )
