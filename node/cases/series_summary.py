"""The summary of a series: one header for its acquisition, one stack for its geometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from node.cases.dates import dicom_moment
from node.cases.geometry import Stack, stack_of
from node.cases.physics import numbers_of


@dataclass(frozen=True)
class SeriesSummary:
    """One series of a study.

    Attributes
    ----------
    series_instance_uid : str
        Its UID.
    header : mapping of DICOM keyword to value
        Of the first instance by Instance Number.
    n_instances, n_frames : int
        Objects, and images in them.
    stack : Stack
        Geometry of its slices; empty for other modalities than MR.
    echo_times_ms : tuple of float
        Different echo times, ascending, rounded to 0.1 ms.
    frames_of_reference : frozenset of str
        Frame of Reference UIDs; more than one is a defect.
    """

    series_instance_uid: str
    header: Mapping[str, Any]
    n_instances: int
    n_frames: int
    stack: Stack = field(default_factory=Stack)
    echo_times_ms: tuple[float, ...] = ()
    frames_of_reference: frozenset[str] = frozenset()

    @property
    def n_slices(self) -> int:
        """Number of different slice positions, or of frames where none is given."""
        return self.stack.n_slices or self.n_frames

    @property
    def name(self) -> str:
        """Description and number, by which an administrator recognises the series."""
        number = self.header.get("SeriesNumber")
        described = str(self.header.get("SeriesDescription") or self.header.get("ProtocolName") or "no description")
        return f"{described!r} (series {number})" if number is not None else repr(described)

    @property
    def acquired_at(self) -> datetime | None:
        """When the first instance was acquired; None where the header gives no readable day and time."""
        header = self.header
        study = (header.get("StudyDate"), header.get("StudyTime"))
        acquired = dicom_moment(
            header.get("AcquisitionDateTime"),
            header.get("AcquisitionDate") or header.get("SeriesDate"),
            header.get("AcquisitionTime"),
            study,
        )
        return acquired or dicom_moment(None, header.get("SeriesDate"), header.get("SeriesTime"), study)


def summarise_series(headers: Sequence[Mapping[str, Any]]) -> list[SeriesSummary]:
    """Group the headers of a study into series.

    Parameters
    ----------
    headers : sequence of mapping
        Headers of all images, in any order.

    Returns
    -------
    list of SeriesSummary
        In order of Series Number, then UID.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for header in headers:
        groups.setdefault(str(header.get("SeriesInstanceUID") or ""), []).append(header)
    summaries = [_summary(uid, sorted(group, key=_instance_number)) for uid, group in groups.items()]
    return sorted(summaries, key=lambda s: (_number(s.header, "SeriesNumber"), s.series_instance_uid))


def _summary(uid: str, headers: Sequence[Mapping[str, Any]]) -> SeriesSummary:
    echo_times: set[float] = set()
    for header in headers:
        # To 0.1 ms: less is rounding of the scanner and not a second echo.
        values = header.get("FrameEchoTimes") or [header.get("EchoTime")]
        echo_times.update(round(number, 1) for number in numbers_of(values) if number > 0)
    first = headers[0]
    return SeriesSummary(
        series_instance_uid=uid,
        header=first,
        n_instances=len(headers),
        n_frames=sum(max(1, int(_number(header, "NumberOfFrames"))) for header in headers),
        stack=stack_of(headers) if str(first.get("Modality") or "MR") == "MR" else Stack(),
        echo_times_ms=tuple(sorted(echo_times)),
        frames_of_reference=frozenset(
            str(header["FrameOfReferenceUID"]) for header in headers if header.get("FrameOfReferenceUID")
        ),
    )


def _instance_number(header: Mapping[str, Any]) -> float:
    return _number(header, "InstanceNumber")


def _number(header: Mapping[str, Any], keyword: str) -> float:
    numbers = numbers_of([header.get(keyword)])
    return numbers[0] if numbers else 0.0
