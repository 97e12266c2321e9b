"""Choose the contour of each series: by frame of reference, by reference, or through a rigid registration.

Of several structure sets the newest approved one with a matching ROI is used, else the newest. Where a site draws one
structure set per sequence (each references one series only), each sequence gets its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from config.errors import IneligibleStudyError, InputError
from config.messages.message import message
from node.cases.case_inputs import StoredInstance
from node.cases.contour_references import ContourPlaces, referenced_keys
from node.cases.dates import parse_date
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
    """The relation of a contour to a series.

    Attributes
    ----------
    by : {"reference", "frame", "registration"}
        Named by the contour, in the same frame of reference, or in one that a rigid registration joins to it.
    registration : StoredInstance or None
        The Spatial Registration.
    from_frame, to_frame : str
        Frame of Reference UIDs of the contour and of the series, for a registration.
    """

    by: str
    registration: StoredInstance | None = None
    from_frame: str = ""
    to_frame: str = ""


@dataclass(frozen=True)
class ContourObject:
    """A structure set or segmentation that concerns this study.

    Attributes
    ----------
    instance : StoredInstance
        The object.
    kind : {"RTSTRUCT", "SEG"}
        Its modality.
    roi : RoiChoice or None
        The ROI of the primary tumour; None where `problem` says why.
    problem : Finding or None
        Reason code and half a sentence.
    links : mapping of key to Link
        The series, or volumes of a series, that the contour reaches (see `SeriesSummary.key`).
    explicit : frozenset of str
        Keys of those that the object itself names.
    rank : tuple
        The greatest is preferred.
    """

    instance: StoredInstance
    kind: str
    roi: RoiChoice | None
    problem: Finding | None
    links: Mapping[str, Link]
    explicit: frozenset[str]
    rank: tuple[Any, ...]

    @property
    def approved(self) -> bool:
        """Whether Approval Status (300E,0002) is APPROVED."""
        return str(self.instance.header.get("ApprovalStatus") or "").upper() == "APPROVED"

    @property
    def drawn_on(self) -> date | None:
        """The day on which the contour was drawn; None where the object does not state one."""
        try:
            return parse_date(_drawn_at(self.instance.header)[:8])
        except InputError:
            return None

    @property
    def name(self) -> str:
        """Kind and label, by which a planner recognises the object."""
        label = self.instance.header.get("StructureSetLabel") or self.instance.header.get("SeriesDescription")
        return f"{self.kind} {label!r}" if label else f"{self.kind} {self.instance.sop_instance_uid}"


@dataclass(frozen=True)
class Contours:
    """The contour objects of a study.

    Attributes
    ----------
    usable : tuple of ContourObject
        With a ROI and at least one series that they reach, the preferred one first.
    findings : tuple of Finding
        Problems that hold the case.
    notes : tuple of str
        Sentences about objects that were left out without consequence.
    newer : str
        A sentence where a structure set that is not approved is newer than the approved one that is used.
    """

    usable: tuple[ContourObject, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    newer: str = ""

    @property
    def best(self) -> ContourObject | None:
        """The preferred object; None when there is none."""
        return self.usable[0] if self.usable else None

    def for_series(self, keys: Sequence[str]) -> dict[str, ContourObject]:
        """Choose the contour object of each series.

        Parameters
        ----------
        keys : sequence of str
            Keys of the series or volumes that have a role.

        Returns
        -------
        dict of key to ContourObject
            A series that no object reaches is absent.
        """
        named = {each.instance.sop_instance_uid: each.explicit & set(keys) for each in self.usable}
        drawn_alone = {next(iter(uids)) for uids in named.values() if len(uids) == 1}
        # One object for each sequence: at least two name a single series, and none names several.
        per_sequence = len(drawn_alone) > 1 and all(len(uids) == 1 for uids in named.values() if uids)
        chosen: dict[str, ContourObject] = {}
        for uid in keys:
            reaching = [each for each in self.usable if uid in each.links]
            own = [each for each in reaching if named[each.instance.sop_instance_uid] == {uid}]
            if per_sequence and own:
                chosen[uid] = own[0]
            elif reaching:
                chosen[uid] = reaching[0]
        return chosen


def find_contours(
    study_uid: str,
    series: Sequence[SeriesSummary],
    patient: Mapping[str, Any],
    related: Sequence[StoredInstance],
    roi_names: Sequence[str],
) -> Contours:
    """Find the contour objects that concern a study.

    Parameters
    ----------
    study_uid : str
        The MR study.
    series : sequence of SeriesSummary
        Its series and volumes.
    patient : mapping
        A header of the study; an object of another patient that refers to the study is an ``identity_mismatch``.
    related : sequence of StoredInstance
        RTSTRUCT, SEG and REG that may concern the study.
    roi_names : sequence of str
        Names of the primary tumour at this site.

    Returns
    -------
    Contours
        An object with an ambiguous ROI holds the case when it is preferred over a usable one; one without any matching
        ROI does not, because sites save organs at risk in structure sets of their own.
    """
    registrations = [instance for instance in related if instance.header.get("SOPClassUID") == SPATIAL_REGISTRATION]
    contour_objects: list[ContourObject] = []
    findings: list[Finding] = []
    notes: list[str] = []
    places = ContourPlaces.of(series)
    for instance in related:
        kind = KINDS.get(str(instance.header.get("SOPClassUID")))
        if kind is None or instance.header.get("ManufacturerModelName") == OWN_MODEL_NAME:
            continue  # a segmentation that this node delivered is a result, never a source
        contour_object = _contour_object(instance, kind, series, places, registrations, roi_names)
        if not _concerns(contour_object, study_uid):
            # Without a tumour ROI, or of another patient, the object says nothing about this case and is not mentioned.
            if contour_object.roi is not None and patient_difference(patient, instance.header) is None:
                notes.append(message("contour.in_other_frame", contour=contour_object.name))
            continue
        difference = patient_difference(patient, instance.header)
        if difference is not None:
            findings.append(
                (
                    "identity_mismatch",
                    message("identity_mismatch.contour", contour=contour_object.name, difference=difference),
                )
            )
        # REJECTED is a statement of a person (PS3.3 C.8.8.16); UNAPPROVED is only the absence of one.
        elif str(instance.header.get("ApprovalStatus") or "").upper() == "REJECTED":
            notes.append(message("contour.rejected", contour=contour_object.name))
        else:
            contour_objects.append(contour_object)
    contour_objects.sort(key=lambda each: each.rank, reverse=True)
    usable, problems = _usable(contour_objects)
    if not usable or _is_blocking(problems):
        findings += problems
    return Contours(tuple(usable), tuple(findings), tuple(notes), _newer_unapproved(usable))


def sentence_if_not_covered(contour_object: ContourObject, summary: SeriesSummary) -> str | None:
    """Return a sentence when the contour reaches beyond the slices of a series.

    Parameters
    ----------
    contour_object : ContourObject
        Its extent is known for an RTSTRUCT only.
    summary : SeriesSummary
        A series that it reaches.

    Returns
    -------
    str or None
        None when the contour is inside the slices, within one step and 1 mm, or when it cannot be compared: through a
        registration the extent is in another frame of reference.
    """
    extent = contour_object.roi.extent_mm if contour_object.roi else None
    bounds = summary.stack.bounds_mm
    link = contour_object.links.get(summary.key)
    if extent is None or bounds is None or link is None or link.by == "registration":
        return None
    if box_contains(bounds, extent, (summary.stack.step_mm or 0.0) + 1.0):
        return None
    name = contour_object.roi.name if contour_object.roi else ""
    return message("contour_not_covered.beyond_slices", name=name, series=summary.name)


def _contour_object(
    instance: StoredInstance,
    kind: str,
    series: Sequence[SeriesSummary],
    places: ContourPlaces,
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
    explicit = referenced_keys(header, places)
    frames = _frames(header, roi)
    links: dict[str, Link] = {}
    for summary in series:
        link = _link(summary, frames, explicit, registrations)
        if link is not None:
            links[summary.key] = link
    return ContourObject(
        instance=instance,
        kind=kind,
        roi=roi,
        problem=problem,
        links=links,
        explicit=frozenset(explicit),
        rank=(
            # Contours of the planning system before a segmentation, which may be a product of another program.
            kind == "RTSTRUCT",
            str(header.get("ApprovalStatus") or "").upper() == "APPROVED",
            # When it was drawn, and only then when it arrived: archives send old objects late.
            _drawn_at(header),
            instance.received_at,
            instance.sop_instance_uid,
        ),
    )


def _link(
    series: SeriesSummary, frames: frozenset[str], explicit: set[str], registrations: Sequence[StoredInstance]
) -> Link | None:
    # The frame of reference decides (PS3.3 C.7.4.1); that the series is named as well is only recorded.
    if frames & series.frames_of_reference:
        return Link("reference" if series.key in explicit else "frame")
    # Without a frame of reference on one side, the reference to the images themselves is what is left.
    if not frames or not series.frames_of_reference:
        return Link("reference") if series.key in explicit else None
    # The newest first: a registration that was repeated replaces the earlier one.
    for registration in sorted(registrations, key=lambda each: each.received_at, reverse=True):
        joined = _rigidly_joined(registration.header)
        sources, targets = sorted(frames & joined), sorted(series.frames_of_reference & joined)
        if sources and targets:
            return Link("registration", registration, sources[0], targets[0])
    return None


def _rigidly_joined(header: Mapping[str, Any]) -> frozenset[str]:
    # A scaled or affine matrix would change the volume of the contour: only rigid ones join (PS3.3 C.20.2).
    entries = header.get("RegisteredFrames") or []
    joined = {str(entry.get("frame_of_reference_uid") or "") for entry in entries if _is_rigid(entry)}
    if all("is_rigid" in entry for entry in entries):
        return frozenset(uid for uid in joined if uid)
    # The frame of reference of the registration itself is the target of all its matrices (PS3.3 C.20.2).
    own = str(header.get("FrameOfReferenceUID") or "")
    return frozenset(uid for uid in joined | {own} if uid)


def _is_rigid(entry: Mapping[str, Any]) -> bool:
    # Headers of older versions, which stay in the ledger, have the stated types instead of what the numbers say.
    if "is_rigid" in entry:
        return bool(entry["is_rigid"])
    return all(str(kind).upper() == "RIGID" for kind in entry.get("matrix_types") or ())


def _frames(header: Mapping[str, Any], roi: RoiChoice | None) -> frozenset[str]:
    """Frames of reference of the chosen ROI, or of the whole object where the ROI states none."""
    if roi is not None:
        for entry in header.get("Rois") or []:
            if entry.get("number") == roi.number and entry.get("frame_of_reference_uid"):
                return frozenset({str(entry["frame_of_reference_uid"])})
    references = header.get("ContourReferences") or {}
    stated = list(references.get("frame_of_reference_uids") or []) or [header.get("FrameOfReferenceUID")]
    return frozenset(str(uid) for uid in stated if uid)


def _concerns(contour_object: ContourObject, study_uid: str) -> bool:
    references = contour_object.instance.header.get("ContourReferences") or {}
    named = study_uid in (references.get("study_instance_uids") or ())
    return (
        bool(contour_object.links or contour_object.explicit)
        or named
        or contour_object.instance.header.get("StudyInstanceUID") == study_uid
    )


def _drawn_at(header: Mapping[str, Any]) -> str:
    day = str(header.get("StructureSetDate") or header.get("ContentDate") or header.get("SeriesDate") or "")
    time = str(header.get("StructureSetTime") or header.get("ContentTime") or header.get("SeriesTime") or "")
    return f"{day}{time}"


def _usable(contour_objects: Sequence[ContourObject]) -> tuple[list[ContourObject], list[Finding]]:
    """Return the usable objects, and the problems of those that would be preferred over the first of them."""
    usable: list[ContourObject] = []
    problems: list[Finding] = []
    for contour_object in contour_objects:
        if contour_object.roi is not None and contour_object.links:
            usable.append(contour_object)
        # Only what would have been preferred: a damaged old structure set beside a usable newer one is no question.
        elif not usable:
            problems.append(_problem(contour_object))
    return usable, problems


def _newer_unapproved(usable: Sequence[ContourObject]) -> str:
    """Return a sentence about a newer structure set that is not used because it is not approved."""
    if not usable or not usable[0].approved:
        return ""
    used = usable[0]
    newer = [
        each
        for each in usable[1:]
        if each.kind == used.kind
        and not each.approved
        and _drawn_at(each.instance.header) > _drawn_at(used.instance.header)
    ]
    if not newer:
        return ""
    latest = max(newer, key=lambda each: _drawn_at(each.instance.header))
    return message(
        "newer_contour.not_approved", used=used.name, used_day=_day(used), latest=latest.name, latest_day=_day(latest)
    )


def _day(contour_object: ContourObject) -> str:
    written = _drawn_at(contour_object.instance.header)
    if not written[:8].isdigit() or len(written) < 8:
        return message("part.unknown_day")
    clock = written[8:]
    at = f" {clock[:2]}:{clock[2:4]}" if len(clock) >= 4 and clock[:4].isdigit() else ""
    return f"{written[:4]}-{written[4:6]}-{written[6:8]}{at}"


def _problem(contour_object: ContourObject) -> Finding:
    if contour_object.problem is not None:
        return contour_object.problem[0], message(
            "contour.in_object", contour=contour_object.name, problem=contour_object.problem[1]
        )
    return (
        "frame_of_reference_mismatch",
        message("frame_of_reference_mismatch.study", contour=contour_object.name),
    )


def _is_blocking(problems: Sequence[Finding]) -> bool:
    """Whether a preferred object is ambiguous; one without any tumour ROI may be left out in silence."""
    return any(code == "ambiguous_roi" for code, _ in problems)
