"""The summary of a volume: one header for its acquisition, one stack for its geometry. Most series are one volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from config.messages.message import message
from node.cases.dates import dicom_moment
from node.cases.geometry import Stack, stack_of
from node.cases.physics import numbers_of
from node.cases.series_volumes import PixelDigest, Volume, volumes_of
from node.cases.volume_attributes import TIME_KEYWORDS

OF_SERIES, JOINED = ":", "+"  # in the key of a volume: SERIES_UID:VOLUME and SERIES_UID+SERIES_UID
VOLUME_OF_SERIES = "VolumeOfSeries"  # keyword of a header that is of one of several volumes


@dataclass(frozen=True)
class SeriesSummary:
    """One volume of a study: a series, one of several volumes in a series, or one acquisition in two series.

    Attributes
    ----------
    series_instance_uid : str
        UID of the series; of the first one where two were joined.
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
    volume : Volume
        Name among the volumes of the series, instances and frames.
    volume_names : tuple of str
        Names of all volumes of the series; empty where it is the only one.
    joined : tuple of str
        Keys of the series that were joined; empty otherwise.
    """

    series_instance_uid: str
    header: Mapping[str, Any]
    n_instances: int
    n_frames: int
    stack: Stack = field(default_factory=Stack)
    echo_times_ms: tuple[float, ...] = ()
    frames_of_reference: frozenset[str] = frozenset()
    volume: Volume = field(default_factory=lambda: Volume("", "", ()))
    volume_names: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What names it in assignments and addresses: ``SERIES_UID``, ``SERIES_UID:VOLUME`` or ``UID+UID``."""
        if self.joined:
            return JOINED.join(self.joined)
        return (
            f"{self.series_instance_uid}{OF_SERIES}{self.volume.name}" if self.volume.name else self.series_instance_uid
        )

    @property
    def series_uids(self) -> tuple[str, ...]:
        """Series Instance UIDs of its instances."""
        if not self.joined:
            return (self.series_instance_uid,)
        return tuple(dict.fromkeys(key.partition(OF_SERIES)[0] for key in self.joined))

    @property
    def n_slices(self) -> int:
        """Number of different slice positions, or of frames where none is given."""
        return self.stack.n_slices or self.n_frames

    @property
    def name(self) -> str:
        """Description and number, by which an administrator recognises the series."""
        number = self.header.get("SeriesNumber")
        description = self.header.get("SeriesDescription") or self.header.get("ProtocolName")
        described = str(description) if description else message("series.no_description")
        named = (
            message("series.without_number", description=described)
            if number is None
            else message("series.described", description=described, number=number)
        )
        if self.joined:
            return message("series.with_other_part", series=named)
        return message("series.volume", series=named, volume=self.volume.name) if self.volume.name else named

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


def summarise_series(
    headers: Sequence[Mapping[str, Any]],
    pixel_digest_of: PixelDigest | None = None,
    check_image_count: bool = True,
) -> list[SeriesSummary]:
    """Group the headers of a study into series, and those into volumes.

    Parameters
    ----------
    headers : sequence of mapping
        Headers of all images. Of identical images the first in this order is used.
    pixel_digest_of : callable, optional
        See `volumes_of`.
    check_image_count : bool
        See `stack_of`.

    Returns
    -------
    list of SeriesSummary
        In order of Series Number, then UID; the volumes of one series follow each other.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for header in headers:
        groups.setdefault(str(header.get("SeriesInstanceUID") or ""), []).append(header)
    summaries = []
    for uid, group in groups.items():
        is_mr = str(group[0].get("Modality") or "MR") == "MR"
        volumes = volumes_of(group, pixel_digest_of) if is_mr else [Volume("", "", tuple(group))]
        names = tuple(volume.name for volume in volumes) if len(volumes) > 1 else ()
        series_headers = group if names else None
        summaries += [_summary(uid, volume, names, series_headers, check_image_count) for volume in volumes]
    return sorted(summaries, key=lambda s: (_number(s.header, "SeriesNumber"), s.series_instance_uid))


def join(first: SeriesSummary, second: SeriesSummary, check_image_count: bool = True) -> SeriesSummary:
    """Return two series as one volume; its stack tells whether they are one."""
    parts = sorted((first, second), key=lambda part: part.key)
    headers = [header for part in parts for header in part.volume.headers]
    volume = Volume(
        "", "", tuple(headers), {uid: frames for part in parts for uid, frames in part.volume.frames.items()}
    )
    summary = _summary(parts[0].series_instance_uid, volume, (), None, check_image_count)
    return replace(summary, joined=tuple(part.key for part in parts))


def _summary(
    uid: str,
    volume: Volume,
    names: tuple[str, ...],
    series_headers: Sequence[Mapping[str, Any]] | None,
    check_image_count: bool,
) -> SeriesSummary:
    headers = sorted(volume.headers, key=_instance_number)
    echo_times: set[float] = set()
    for header in headers:
        # To 0.1 ms: less is rounding of the scanner and not a second echo.
        values = header.get("FrameEchoTimes") or [header.get("EchoTime")]
        echo_times.update(round(number, 1) for number in numbers_of(values) if number > 0)
    first = headers[0]
    if names:
        first = {**first, VOLUME_OF_SERIES: volume.name}
        if volume.keywords & TIME_KEYWORDS or not volume.is_certain:
            first["NumberOfTemporalPositions"] = 1  # of the series; the volume is one of them
    is_mr = str(first.get("Modality") or "MR") == "MR"
    return SeriesSummary(
        series_instance_uid=uid,
        header=first,
        n_instances=len(headers),
        n_frames=sum(max(1, int(_number(header, "NumberOfFrames"))) for header in headers),
        stack=stack_of(headers, series_headers, check_image_count) if is_mr else Stack(),
        echo_times_ms=tuple(sorted(echo_times)),
        frames_of_reference=frozenset(
            str(header["FrameOfReferenceUID"]) for header in headers if header.get("FrameOfReferenceUID")
        ),
        volume=volume,
        volume_names=names,
    )


def _instance_number(header: Mapping[str, Any]) -> float:
    return _number(header, "InstanceNumber")


def _number(header: Mapping[str, Any], keyword: str) -> float:
    numbers = numbers_of([header.get(keyword)])
    return numbers[0] if numbers else 0.0
