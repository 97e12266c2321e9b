"""Which contour belongs to which series: by frame of reference, by reference, or through a rigid registration.

Of several structure sets the newest approved one with a matching ROI counts, then the newest. Where a site draws one
structure set per sequence (each referencing one series only), each sequence gets its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.errors import IneligibleStudyError
from node.cases.case_inputs import StoredInstance
from node.cases.geometry import box_contains
from node.cases.headers import RT_STRUCTURE_SET, SEGMENTATION, SPATIAL_REGISTRATION
from node.cases.identity import patient_difference
from node.cases.roi_choice import RoiChoice, choose_roi
from node.cases.series_summary import SeriesSummary

Finding = tuple[str, str]
OWN_MODEL_NAME = "CPTDN node"  # Manufacturer's Model Name of what this node itself writes
KINDS = {RT_STRUCTURE_SET: "RTSTRUCT", SEGMENTATION: "SEG"}


@dataclass(frozen=True)
class Link:
    """How a contour reaches a series. `registration` is the REG that joins their frames of reference."""

    by: str  # reference | frame | registration
    registration: StoredInstance | None = None
    from_frame: str = ""
    to_frame: str = ""


@dataclass(frozen=True)
class ContourObject:
    """A structure set or segmentation that concerns this study; `roi` is None where `problem` says why."""

    instance: StoredInstance
    kind: str
    roi: RoiChoice | None
    problem: Finding | None
    links: Mapping[str, Link]  # Series Instance UID -> how it is reached
    explicit: frozenset[str]  # Series Instance UIDs that it references by name
    rank: tuple[Any, ...]

    @property
    def approved(self) -> bool:
        return str(self.instance.header.get("ApprovalStatus") or "").upper() == "APPROVED"

    @property
    def name(self) -> str:
        label = self.instance.header.get("StructureSetLabel") or self.instance.header.get("SeriesDescription")
        return f"{self.kind} {label!r}" if label else f"{self.kind} {self.instance.sop_instance_uid}"


@dataclass(frozen=True)
class Contours:
    """The structures of a study, best first, and what is wrong with those that were left out."""

    usable: tuple[ContourObject, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> ContourObject | None:
        return self.usable[0] if self.usable else None

    def for_series(self, series_uids: Sequence[str]) -> dict[str, ContourObject]:
        """The structure for each of these series; a series that none reaches is absent."""
        own = {structure.instance.sop_instance_uid: structure.explicit & set(series_uids) for structure in self.usable}
        singles = {next(iter(uids)) for uids in own.values() if len(uids) == 1}
        per_sequence = len(singles) > 1 and all(len(uids) == 1 for uids in own.values() if uids)
        chosen: dict[str, ContourObject] = {}
        for uid in series_uids:
            reaching = [structure for structure in self.usable if uid in structure.links]
            mine = [structure for structure in reaching if own[structure.instance.sop_instance_uid] == {uid}]
            if per_sequence and mine:
                chosen[uid] = mine[0]
            elif reaching:
                chosen[uid] = reaching[0]
        return chosen


def find_contours(
    study_uid: str,
    series: Sequence[SeriesSummary],
    series_of_instance: Mapping[str, str],
    patient: Mapping[str, Any],
    related: Sequence[StoredInstance],
    roi_names: Sequence[str],
) -> Contours:
    """Look through all structure sets and segmentations that may concern this study.

    patient : a header of the MR study; a structure of another patient that points here is refused as identity_mismatch.
    """
    registrations = [one for one in related if one.header.get("SOPClassUID") == SPATIAL_REGISTRATION]
    structures, findings, notes = [], [], []
    for instance in related:
        kind = KINDS.get(str(instance.header.get("SOPClassUID")))
        if kind is None or instance.header.get("ManufacturerModelName") == OWN_MODEL_NAME:
            continue  # our own segmentation that came back is a result, never a source
        structure = _structure(instance, kind, series, series_of_instance, registrations, roi_names)
        if not _concerns(structure, study_uid):
            if structure.roi is not None and patient_difference(patient, instance.header) is None:
                notes.append(f"{structure.name} is in another frame of reference and no registration joins it.")
            continue
        difference = patient_difference(patient, instance.header)
        if difference is not None:
            findings.append(("identity_mismatch", f"{structure.name} points to this study, but {difference}."))
        elif str(instance.header.get("ApprovalStatus") or "").upper() == "REJECTED":
            notes.append(f"{structure.name} is rejected and was left out.")
        else:
            structures.append(structure)
    structures.sort(key=lambda one: one.rank, reverse=True)
    usable, problems = _sorted_out(structures)
    return Contours(
        tuple(usable), tuple(findings + ([] if usable and not _blocking(problems) else problems)), tuple(notes)
    )


def sentence_if_not_covered(structure: ContourObject, summary: SeriesSummary) -> str | None:
    """A sentence when the contour reaches beyond the slices of a series in the same frame of reference."""
    extent = structure.roi.extent_mm if structure.roi else None
    bounds = summary.stack.bounds_mm
    link = structure.links.get(summary.series_instance_uid)
    if extent is None or bounds is None or link is None or link.by == "registration":
        return None
    if box_contains(bounds, extent, (summary.stack.step_mm or 0.0) + 1.0):
        return None
    name = structure.roi.name if structure.roi else ""
    return f"The contour {name!r} reaches beyond the slices of {summary.name}."


def _structure(
    instance: StoredInstance,
    kind: str,
    series: Sequence[SeriesSummary],
    series_of_instance: Mapping[str, str],
    registrations: Sequence[StoredInstance],
    roi_names: Sequence[str],
) -> ContourObject:
    header = instance.header
    roi: RoiChoice | None = None
    problem: Finding | None = None
    try:
        roi = choose_roi(header.get("Rois") or [], roi_names)
    except IneligibleStudyError as error:
        problem = (error.code, error.text)
    explicit = _referenced_series(header, series_of_instance)
    frames = _frames(header, roi)
    links: dict[str, Link] = {}
    for one in series:
        link = _link(one, frames, explicit, registrations)
        if link is not None:
            links[one.series_instance_uid] = link
    return ContourObject(
        instance=instance,
        kind=kind,
        roi=roi,
        problem=problem,
        links=links,
        explicit=frozenset(explicit),
        rank=(
            kind == "RTSTRUCT",
            str(header.get("ApprovalStatus") or "").upper() == "APPROVED",
            _drawn_at(header),
            instance.received_at,
            instance.sop_instance_uid,
        ),
    )


def _link(
    series: SeriesSummary, frames: frozenset[str], explicit: set[str], registrations: Sequence[StoredInstance]
) -> Link | None:
    if frames & series.frames_of_reference:
        return Link("reference" if series.series_instance_uid in explicit else "frame")
    if not frames or not series.frames_of_reference:
        return Link("reference") if series.series_instance_uid in explicit else None
    for registration in sorted(registrations, key=lambda one: one.received_at, reverse=True):
        joined = _rigidly_joined(registration.header)
        for own in sorted(frames & joined):
            for target in sorted(series.frames_of_reference & joined):
                return Link("registration", registration, own, target)
    return None


def _rigidly_joined(header: Mapping[str, Any]) -> frozenset[str]:
    entries = header.get("RegisteredFrames") or []
    joined = {
        str(entry.get("frame_of_reference_uid") or "")
        for entry in entries
        if all(str(kind).upper() == "RIGID" for kind in entry.get("matrix_types") or ())
    }
    own = str(header.get("FrameOfReferenceUID") or "")
    return frozenset(uid for uid in joined | {own} if uid)


def _frames(header: Mapping[str, Any], roi: RoiChoice | None) -> frozenset[str]:
    """Frames of reference of the chosen ROI, or of the whole object where the ROI states none."""
    if roi is not None:
        for entry in header.get("Rois") or []:
            if entry.get("number") == roi.number and entry.get("frame_of_reference_uid"):
                return frozenset({str(entry["frame_of_reference_uid"])})
    references = header.get("ContourReferences") or {}
    stated = list(references.get("frame_of_reference_uids") or []) or [header.get("FrameOfReferenceUID")]
    return frozenset(str(uid) for uid in stated if uid)


def _referenced_series(header: Mapping[str, Any], series_of_instance: Mapping[str, str]) -> set[str]:
    references = header.get("ContourReferences") or {}
    known = set(series_of_instance.values())
    named = {str(uid) for uid in references.get("series_instance_uids") or ()} & known
    drawn_on = {
        series_of_instance[uid] for uid in references.get("sop_instance_uids") or () if uid in series_of_instance
    }
    return named | drawn_on


def _concerns(structure: ContourObject, study_uid: str) -> bool:
    references = structure.instance.header.get("ContourReferences") or {}
    named = study_uid in (references.get("study_instance_uids") or ())
    return (
        bool(structure.links or structure.explicit)
        or named
        or structure.instance.header.get("StudyInstanceUID") == study_uid
    )


def _drawn_at(header: Mapping[str, Any]) -> str:
    day = str(header.get("StructureSetDate") or header.get("ContentDate") or header.get("SeriesDate") or "")
    time = str(header.get("StructureSetTime") or header.get("ContentTime") or header.get("SeriesTime") or "")
    return f"{day}{time}"


def _sorted_out(structures: Sequence[ContourObject]) -> tuple[list[ContourObject], list[Finding]]:
    """Usable structures, and the problems of those better ones that are not."""
    usable: list[ContourObject] = []
    problems: list[Finding] = []
    for structure in structures:
        if structure.roi is not None and structure.links:
            usable.append(structure)
        elif not usable:
            problems.append(_problem(structure))
    return usable, problems


def _problem(structure: ContourObject) -> Finding:
    if structure.problem is not None:
        return structure.problem[0], f"In {structure.name} {structure.problem[1]}."
    return (
        "frame_of_reference_mismatch",
        f"{structure.name} names this study, but its frame of reference is not that of any of its series.",
    )


def _blocking(problems: Sequence[Finding]) -> bool:
    """An ambiguous better structure set must not be passed over silently; one without tumour ROI may."""
    return any(code == "ambiguous_roi" for code, _ in problems)
