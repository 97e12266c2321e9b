"""Which series of a PACS may fill the gaps of a case: a pure choice from what the PACS says and what is here.

Nothing is fetched for its name alone and nothing is trusted: what arrives is judged like anything that a PACS sends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config.settings import SeriesRules
from node.cases.completion import CONTOUR, REGISTRATION
from node.cases.contour_choice import OWN_MODEL_NAME
from node.cases.series_roles import ROLES, classify_header

MOST_SERIES = 12  # fetched at one look at the PACS
MOST_INSTANCES = 4_000
MOST_TIMES = 3  # a series that stays incomplete is not fetched more often
CONTOUR_MODALITIES = ("RTSTRUCT", "SEG", "REG")
MR = "MR"


@dataclass(frozen=True)
class Offered:
    """A series that a PACS has. n_instances : None where it does not count them; header : DICOM keywords it told."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    header: Mapping[str, Any]
    n_instances: int | None = None

    def with_header(self, more: Mapping[str, Any]) -> Offered:
        return replace(self, header={**self.header, **more})

    @property
    def name(self) -> str:
        """What a person recognises the series by."""
        described = str(self.header.get("SeriesDescription") or self.header.get("ProtocolName") or "no description")
        number = self.header.get("SeriesNumber")
        count = f", {self.n_instances} instances" if self.n_instances is not None else ""
        return f"{self.modality} {described!r}{f' (series {number}{count})' if number is not None else count}"


@dataclass(frozen=True)
class Wanted:
    """A series to be fetched, and why."""

    series: Offered
    why: str


def modalities_elsewhere(lacks: Collection[str]) -> tuple[str, ...]:
    """Modalities to be looked for in other studies of the patient: contours come in studies of their own."""
    if CONTOUR in lacks:
        return ("RTSTRUCT", "SEG")
    return CONTOUR_MODALITIES if REGISTRATION in lacks else ()


def choose(
    lacks: Collection[str],
    offered: Sequence[Offered],
    here: Mapping[str, int],
    fetched: Mapping[str, Mapping[str, Any]],
    rules: SeriesRules,
) -> list[Wanted]:
    """The series worth fetching, the likeliest first.

    lacks : what the case lacks (see `Gap.lacks`). here : Series Instance UID -> instances that are stored.
    fetched : Series Instance UID -> {"times", "n_instances"} of earlier fetches.
    """
    found: list[tuple[float, Wanted]] = []
    for one in offered:
        if _is_here(one, lacks, here) or _tried_enough(one, fetched):
            continue
        reason = _reason(one, lacks, rules)
        if reason is not None:
            found.append((reason[0], Wanted(one, reason[1])))
    found.sort(key=lambda entry: (-entry[0], str(entry[1].series.header.get("SeriesNumber") or "")))
    wanted: list[Wanted] = []
    instances = 0
    for _, choice in found[:MOST_SERIES]:
        instances += choice.series.n_instances or 1
        if instances > MOST_INSTANCES and wanted:
            break
        wanted.append(choice)
    return wanted


def _is_here(one: Offered, lacks: Collection[str], here: Mapping[str, int]) -> bool:
    stored = here.get(one.series_instance_uid, 0)
    if one.n_instances is not None:
        return stored >= one.n_instances
    return stored > 0 and one.series_instance_uid not in lacks


def _tried_enough(one: Offered, fetched: Mapping[str, Mapping[str, Any]]) -> bool:
    """A series is fetched again only when the PACS has more of it than before."""
    earlier = fetched.get(one.series_instance_uid)
    return (
        earlier is not None
        and int(earlier.get("times", 0)) >= MOST_TIMES
        and earlier.get("n_instances") == one.n_instances
    )


def _reason(one: Offered, lacks: Collection[str], rules: SeriesRules) -> tuple[float, str] | None:
    """How likely the series helps, in [0, 1], and why; None when it does not."""
    if one.series_instance_uid in lacks:
        return 1.0, "slices of it are missing here"
    if one.modality == MR:
        return _role_reason(one, lacks, rules)
    if one.header.get("ManufacturerModelName") == OWN_MODEL_NAME:
        return None  # our own result is never a source
    if CONTOUR in lacks and one.modality in CONTOUR_MODALITIES:
        return 0.9 if one.modality == "RTSTRUCT" else 0.8, "the contour is missing"
    if REGISTRATION in lacks and one.modality in CONTOUR_MODALITIES:
        return 0.9 if one.modality == "REG" else 0.8, "the contour lies in another frame of reference"
    return None


def _role_reason(one: Offered, lacks: Collection[str], rules: SeriesRules) -> tuple[float, str] | None:
    missing = [role for role in ROLES if role in lacks]
    if not missing:
        return None
    decision = classify_header({key: value for key, value in one.header.items() if value not in ("", None, [])}, rules)
    if decision.role in missing:
        return decision.confidence, f"it is likely the missing {decision.role}"
    if decision.role == "T1w" and "CE-T1w" in missing:
        return 0.5, "it may be the missing CE-T1w: a query does not always tell a contrast agent"
    if decision.role == "ambiguous" and decision.leaning in (None, *missing):
        return 0.3, f"it may be the missing {decision.leaning or ' or '.join(missing)}"
    return None
