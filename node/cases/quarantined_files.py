"""What quarantined files mean for a case: its content is not certain, or what it is missing may be among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from config.messages.message import message
from node.cases.case_inputs import CaseInputs, QuarantinedFile
from node.cases.completion import Gap
from node.cases.series_summary import SeriesSummary

UNREADABLE, CONFLICTING = "unreadable_instance", "conflicting_instance"
MAX_NAMED_ATTRIBUTES = 4


def quarantine_gaps(inputs: CaseInputs, series: Mapping[str, SeriesSummary], is_incomplete: bool) -> list[Gap]:
    """Return the reasons for which quarantined files hold a case.

    Parameters
    ----------
    inputs : CaseInputs
        Its quarantined files, and the stored instances. An unreadable file whose instance is stored was sent again; a
        conflict remains whichever came first.
    series : mapping of Series Instance UID to SeriesSummary
        Of the study; their names are used in the sentences.
    is_incomplete : bool
        Whether the case is missing something. A file that may belong to another study is a reason only then: a study
        that is whole has no place for it.

    Returns
    -------
    list of Gap
        Held; ``unreadable_instance`` once for all unreadable files, ``conflicting_instance`` once for each series. The
        latter never takes a report away: the stored instances are those that it was computed from.
    """
    stored = {image.sop_instance_uid for image in inputs.images}
    gaps = _conflicts(inputs, series)
    unreadable = [
        file for file in inputs.quarantined if file.code == UNREADABLE and file.sop_instance_uid not in stored
    ]
    certain = [file for file in unreadable if file.is_of_study]
    possible = [file for file in unreadable if not file.is_of_study] if is_incomplete else []
    if certain:
        gaps.append(Gap("held", UNREADABLE, _sentence(certain, message("quarantine.of_study"))))
    if possible:
        where = message("quarantine.together")
        gaps.append(Gap("held", UNREADABLE, _sentence(possible, where)))
    return gaps


def _sentence(files: Sequence[QuarantinedFile], which: str) -> str:
    first = files[0]
    uid = first.sop_instance_uid
    name = message("quarantine.uid", uid=uid) if uid else message("quarantine.no_uid")
    if len(files) == 1:
        return message("unreadable_instance.one", which=which, name=name, why=first.text)
    return message("unreadable_instance.several", n=len(files), which=which, name=name, why=first.text)


def _conflicts(inputs: CaseInputs, series: Mapping[str, SeriesSummary]) -> list[Gap]:
    headers = {stored.sop_instance_uid: stored.header for stored in (*inputs.related, *inputs.images)}
    by_series: dict[str, list[QuarantinedFile]] = {}
    for file in inputs.quarantined:
        if file.code == CONFLICTING:
            uid = str(headers.get(file.sop_instance_uid, {}).get("SeriesInstanceUID") or "")
            by_series.setdefault(uid, []).append(file)
    gaps = []
    for uid, files in by_series.items():
        modality = headers.get(files[0].sop_instance_uid, {}).get("Modality") or "object"
        name = series[uid].name if uid in series else f"{modality} {uid}"
        gaps.append(Gap("held", CONFLICTING, _conflict(name, files, inputs.study_instance_uid), keeps_report=True))
    return gaps


def _conflict(name: str, files: Sequence[QuarantinedFile], study_instance_uid: str) -> str:
    n = len({file.sop_instance_uid for file in files})
    differences = list(dict.fromkeys(keyword for file in files for keyword in file.differences))
    named = [*differences[:MAX_NAMED_ATTRIBUTES], *(["..."] if differences[MAX_NAMED_ATTRIBUTES:] else [])]
    attributes = message("conflicting_instance.attributes", names=named) if named else ""
    if n == 1:
        return message("conflicting_instance.one", name=name, attributes=attributes, study=study_instance_uid)
    return message("conflicting_instance.several", name=name, n=n, attributes=attributes, study=study_instance_uid)
