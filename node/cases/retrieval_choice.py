"""Which series of a PACS may fill the gaps of a case: a pure choice from query answers and from what is stored.

A series is never requested for its name alone, and no answer is trusted: what arrives is classified and checked like
anything that a PACS sends by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config.messages.message import message
from config.settings import SeriesRules
from node.cases.completion import CONTOUR, REGISTRATION
from node.cases.contour_choice import OWN_MODEL_NAME
from node.cases.series_roles import ROLES, classify_header

MAX_SERIES = 12  # requested of one PACS at a time
MAX_INSTANCES = 4_000  # of all requested series together; a study of three sequences has some hundreds
MAX_RETRIEVALS = 3  # of one series that stays incomplete
CONTOUR_MODALITIES = ("RTSTRUCT", "SEG", "REG")
MR = "MR"


@dataclass(frozen=True)
class PacsSeries:
    """A series that a PACS has, as its answers to queries describe it.

    Attributes
    ----------
    study_instance_uid, series_instance_uid, modality : str
        As answered; the UIDs are checked by the query.
    header : mapping of DICOM keyword to value
        What the PACS answered about the series and, where it answers at the IMAGE level, about one of its instances.
    n_instances : int or None
        Number of Series Related Instances (0020,1209); None where the PACS does not count them (it is optional,
        PS3.4 C.6.1.1.4).
    """

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    header: Mapping[str, Any]
    n_instances: int | None = None

    def with_header(self, more: Mapping[str, Any]) -> PacsSeries:
        """Return a copy whose header has these keywords, too; they replace those of the same name."""
        return replace(self, header={**self.header, **more})

    @property
    def name(self) -> str:
        """Modality, description, number and size, by which an administrator recognises the series."""
        description = self.header.get("SeriesDescription") or self.header.get("ProtocolName")
        described = str(description) if description else message("series.no_description")
        named = {"modality": self.modality, "description": described}
        number = self.header.get("SeriesNumber")
        if number is None:
            if self.n_instances is None:
                return message("fetch.name", **named)
            return message("fetch.name_count", **named, n=self.n_instances)
        if self.n_instances is None:
            return message("fetch.name_number", **named, number=number)
        return message("fetch.name_number_count", **named, number=number, n=self.n_instances)


@dataclass(frozen=True)
class SeriesRequest:
    """A series to be retrieved, and the half sentence that says why."""

    series: PacsSeries
    reason: str


def modalities_of_other_studies(missing: Collection[str]) -> tuple[str, ...]:
    """Return the modalities to query in other studies of the patient.

    Parameters
    ----------
    missing : collection of str
        What the case misses (see `Gap.missing`).

    Returns
    -------
    tuple of str
        Contours and registrations often are in a study of their own; images of another study are never requested.
    """
    if CONTOUR in missing:
        return ("RTSTRUCT", "SEG")
    return CONTOUR_MODALITIES if REGISTRATION in missing else ()


def choose_series(
    missing: Collection[str],
    offered: Sequence[PacsSeries],
    n_stored: Mapping[str, int],
    retrieved: Mapping[str, Mapping[str, Any]],
    rules: SeriesRules,
) -> list[SeriesRequest]:
    """Choose the series to retrieve, the most likely first.

    Parameters
    ----------
    missing : collection of str
        What the case misses (see `Gap.missing`).
    offered : sequence of PacsSeries
        What the PACS has of the study, and contours of the patient's other studies.
    n_stored : mapping of Series Instance UID to int
        Instances that this node has already.
    retrieved : mapping of Series Instance UID to mapping
        Earlier retrievals: {"times": int, "n_instances": int or None}.
    rules : SeriesRules
        Thresholds of the site for series roles.

    Returns
    -------
    list of SeriesRequest
        At most `MAX_SERIES`, and together at most `MAX_INSTANCES` instances unless the first alone has more.
    """
    candidates: list[tuple[float, SeriesRequest]] = []
    for series in offered:
        if _is_stored(series, missing, n_stored) or _is_exhausted(series, retrieved):
            continue
        usefulness = _usefulness(series, missing, rules)
        if usefulness is not None:
            likelihood, reason = usefulness
            candidates.append((likelihood, SeriesRequest(series, reason)))
    # Equal ones in order of Series Number, so that a repeated query chooses the same series.
    candidates.sort(key=lambda entry: (-entry[0], str(entry[1].series.header.get("SeriesNumber") or "")))
    requests: list[SeriesRequest] = []
    n_instances = 0
    for _, request in candidates[:MAX_SERIES]:
        n_instances += request.series.n_instances or 1
        if n_instances > MAX_INSTANCES and requests:
            break
        requests.append(request)
    return requests


def _is_stored(series: PacsSeries, missing: Collection[str], n_stored: Mapping[str, int]) -> bool:
    count = n_stored.get(series.series_instance_uid, 0)
    # A study that is still being acquired grows in the PACS: the number decides, not that something is stored.
    if series.n_instances is not None:
        return count >= series.n_instances
    return count > 0 and series.series_instance_uid not in missing


def _is_exhausted(series: PacsSeries, retrieved: Mapping[str, Mapping[str, Any]]) -> bool:
    """After `MAX_RETRIEVALS` a series is requested again only when the PACS has another number of its instances."""
    earlier = retrieved.get(series.series_instance_uid)
    return (
        earlier is not None
        and int(earlier.get("times", 0)) >= MAX_RETRIEVALS
        and earlier.get("n_instances") == series.n_instances
    )


def _usefulness(series: PacsSeries, missing: Collection[str], rules: SeriesRules) -> tuple[float, str] | None:
    """How likely the series helps, in [0, 1], and why; None when it does not."""
    if series.series_instance_uid in missing:
        return 1.0, message("fetch.slices_missing")
    if series.modality == MR:
        return _usefulness_for_role(series, missing, rules)
    if series.header.get("ManufacturerModelName") == OWN_MODEL_NAME:
        return None  # a segmentation that this node delivered is a result, never a source
    if CONTOUR in missing and series.modality in CONTOUR_MODALITIES:
        return 0.9 if series.modality == "RTSTRUCT" else 0.8, message("fetch.contour_missing")
    if REGISTRATION in missing and series.modality in CONTOUR_MODALITIES:
        return 0.9 if series.modality == "REG" else 0.8, message("fetch.contour_in_other_frame")
    return None


def _usefulness_for_role(series: PacsSeries, missing: Collection[str], rules: SeriesRules) -> tuple[float, str] | None:
    roles = [role for role in ROLES if role in missing]
    if not roles:
        return None
    # A key without a value here is answered with zero length (PS3.4 C.4.1.1.3.2); for the rules that is absent.
    answered = {keyword: value for keyword, value in series.header.items() if value not in ("", None, [])}
    decision = classify_header(answered, rules)
    if decision.role in roles:
        return decision.confidence, message("fetch.likely_role", role=decision.role)
    # Contrast/Bolus Agent is an optional key of a query, so its absence says nothing.
    if decision.role == "T1w" and "CE-T1w" in roles:
        return 0.5, message("fetch.possible_ce_t1w")
    if decision.role == "ambiguous" and decision.possible_role in (None, *roles):
        return 0.3, message("fetch.possible_role", roles=[decision.possible_role] if decision.possible_role else roles)
    return None
