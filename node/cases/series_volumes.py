"""The volumes of one series: several where its images repeat positions and something tells them apart.

Dixon images, echoes, time points, magnitude and phase, b values: scanners store them under one Series Instance UID.
Each volume is a candidate for a role of its own. A series whose positions do not repeat is one volume, whatever its
headers say. In this order, until no position repeats:

1. stacks of another plane, size, pixel spacing or frame of reference, each of at least three images;
2. magnitude, phase, real and imaginary images;
3. values that describe the image (`VALUES`): Image Type, echo, b value, time point, dimensions;
4. acquisitions (`TIMES`): by their values, or by their order at every position where each slice has a value of its own;
5. pixel-identical repetitions: the first to arrive is used, the others are left out;
6. Content Time, and the order of Instance Numbers, which is a question and no answer.

References
----------
PS3.3 C.7.6.2 (Image Plane), C.8.3.1 (MR Image), C.7.6.16 and C.7.6.17 (functional groups and dimensions).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from config.messages.message import message
from node.cases.geometry import slice_offsets_mm, unit_normal
from node.cases.physics import numbers_of
from node.cases.slice_rules import (
    MAGNITUDE,
    are_one_orientation,
    are_one_spacing,
    is_one_place,
)
from node.cases.volume_attributes import (
    CONTENT_TIME,
    INSTANCE_NUMBER,
    TIMES,
    VALUES,
    Attribute,
    Header,
    Image,
    component_of,
)

PixelDigest = Callable[[str], str]
"""SOP Instance UID -> digest of what its pixels show; empty where it is not known."""

MAX_COMPARED = 2_000  # images of one series whose pixels are compared: each file is read once
LEAST_STACK = 3  # images; fewer of another plane or size are strays in a series, not a volume
MAX_NAME = 24
PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Volume:
    """One volume of a series.

    Attributes
    ----------
    name : str
        Short and the same whenever the series is read, for example "W" or "te-2.46"; empty for the only volume.
    text : str
        What it is, for sentences, for example "Image Type W".
    headers : tuple of mapping
        Of its instances; those of an Enhanced object are reduced to the frames of this volume.
    frames : mapping of SOP Instance UID to tuple of int
        Frame numbers, from 1, of the objects of which only some frames belong to it.
    left_out : tuple of str
        SOP Instance UIDs of images that repeat others pixel by pixel.
    keywords : frozenset of str
        What tells it apart from the others.
    is_certain : bool
        False where only the order of Instance Numbers tells it apart.
    """

    name: str
    text: str
    headers: tuple[Header, ...]
    frames: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()
    is_certain: bool = True


@dataclass(frozen=True)
class _Part:
    images: Sequence[Image]
    names: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()
    is_certain: bool = True

    def named(self, keyword: str, name: str, text: str, images: Sequence[Image]) -> _Part:
        return replace(
            self,
            images=images,
            names=(*self.names, name),
            texts=(*self.texts, text),
            keywords=self.keywords | {keyword},
        )


def volumes_of(headers: Sequence[Header], pixel_digest_of: PixelDigest | None = None) -> list[Volume]:
    """Split the images of one series into volumes.

    Parameters
    ----------
    headers : sequence of mapping
        Of all instances of the series. Of identical images the first in this order is used.
    pixel_digest_of : callable, optional
        Called only for images that nothing else tells apart. Without it none of them are identical.

    Returns
    -------
    list of Volume
        One without a name where the series is one volume, or where positions are missing; the names of several differ.
        A position may still repeat within a volume: then nothing tells its images apart.
    """
    whole = Volume("", "", tuple(headers))
    images = _images(headers)
    if images is None:
        return [whole]
    stacks = _by_stack(images)
    if stacks is None:
        return [whole]
    parts = [
        separate
        for stack in stacks
        for component in _by_component(stack)
        for separate in _by_value(component, pixel_digest_of)
    ]
    if len(parts) == 1 and not parts[0].left_out:
        return [whole]
    names = _different([",".join(part.names) for part in parts])
    return [_volume(part, name) for part, name in zip(parts, names, strict=True)]


def _images(headers: Sequence[Header]) -> list[Image] | None:
    """Return all images with stack and offset; None where one has no place."""
    stacks: list[tuple[Hashable, list[float], list[float]]] = []
    images = []
    for header in headers:
        planes = header.get("FramePlanes")
        orientations = planes["orientations"] if planes else [numbers_of(header.get("ImageOrientationPatient"))]
        spacing = numbers_of(header.get("PixelSpacing"))
        if any(len(orientation) != 6 for orientation in orientations) or len(spacing) != 2 or min(spacing) <= 0:
            return None
        exact = tuple(str(header.get(keyword)) for keyword in ("Rows", "Columns", "FrameOfReferenceUID"))
        numbers = [_stack_number(stacks, exact, spacing, orientation) for orientation in orientations]
        normal = unit_normal(stacks[numbers[0]][2])
        offsets = slice_offsets_mm(header, normal) if normal is not None else []
        offsets = planes["offsets"] if planes and offsets else offsets
        is_multiframe = bool(header.get("FrameOffsets"))
        # A number of frames that contradicts the functional groups: which frame is which is not known.
        stated = numbers_of([header.get("NumberOfFrames")])
        if not offsets or (is_multiframe and stated and stated[0] != len(offsets)):
            return None
        for at, offset in enumerate(offsets):
            stack = numbers[planes["of"][at]] if planes else numbers[0]
            images.append(Image(header, at + 1 if is_multiframe else 0, offset, stack))
    return images


def _stack_number(
    stacks: list[tuple[Hashable, list[float], list[float]]], exact: Hashable, spacing: list[float], plane: list[float]
) -> int:
    for number, (known, known_spacing, known_plane) in enumerate(stacks):
        is_same_plane = known_plane == plane or are_one_orientation([known_plane, plane])
        if known == exact and is_same_plane and are_one_spacing([known_spacing, spacing]):
            return number
    stacks.append((exact, spacing, plane))
    return len(stacks) - 1


def _by_stack(images: Sequence[Image]) -> list[_Part] | None:
    """Split by plane, size and frame of reference; None where single images differ, which is a defect of the series."""
    stacks = _grouped(images, lambda image: image.stack)
    if len(stacks) == 1:
        return [_Part(images)]
    if min(map(len, stacks.values())) < LEAST_STACK:
        return None
    return [
        _Part(()).named("stack", f"stack-{at}", _stack_text(at, stack[0]), stack)
        for at, stack in enumerate(stacks.values(), start=1)
    ]


def _stack_text(at: int, image: Image) -> str:
    planes = image.header.get("FramePlanes")
    plane = planes["orientations"][planes["of"][image.frame - 1]] if planes else None
    normal = unit_normal(plane or numbers_of(image.header.get("ImageOrientationPatient"))) or (0.0, 0.0, 1.0)
    nearest = max(range(3), key=lambda axis: abs(normal[axis]))
    return message(
        "volume.stack",
        number=at,
        plane=message(f"plane.{PLANES[nearest]}"),
        rows=image.header.get("Rows"),
        columns=image.header.get("Columns"),
    )


def _by_component(part: _Part) -> list[_Part]:
    """Split magnitude from phase, real and imaginary images, also where no position repeats: they are never mixed."""
    groups = _grouped(part.images, component_of)
    if len(groups) == 1:
        return [part]
    return [
        part.named("ComplexImageComponent", name, message("volume.component", component=name), images)
        for name, images in sorted(groups.items(), key=lambda group: group[0] != MAGNITUDE)
    ]


def _by_value(part: _Part, pixel_digest_of: PixelDigest | None) -> list[_Part]:
    """Split as long as positions repeat and an attribute tells the images of a position apart."""
    positions = _positions(part.images)
    most = max(map(len, positions))
    if most == 1:
        return [part]
    for attribute in VALUES:
        groups = _grouped(part.images, attribute.of)
        # A value of every slice's own describes no volume.
        if _separates(positions, attribute) and len(groups) <= 4 * most:
            return [each for split in _named(part, attribute, groups) for each in _by_value(split, pixel_digest_of)]
    for attribute in TIMES:
        ordered = _by_time(part, positions, most, attribute)
        if ordered:
            return [each for split in ordered for each in _by_value(split, pixel_digest_of)]
    unique = _without_repetitions(part, positions, pixel_digest_of)
    if unique is not None:
        return _by_value(unique, pixel_digest_of)
    return _by_time(part, positions, most, CONTENT_TIME) or _by_instance_number(part, positions, most) or [part]


def _separates(positions: Sequence[Sequence[Image]], attribute: Attribute) -> bool:
    return any(len({attribute.of(image) for image in images}) > 1 for images in positions if len(images) > 1)


def _named(part: _Part, attribute: Attribute, groups: Mapping[Any, Sequence[Image]]) -> list[_Part]:
    values = sorted(groups, key=_sort_key)
    shown = {value: value for value in values}
    if attribute.keyword in ("ImageType", "ScanOptions"):
        common = set.intersection(*({*(value or ())} for value in values))
        shown = {value: tuple(dict.fromkeys(v for v in value or () if v not in common)) for value in values}
        # One of them has nothing of its own: its last value names it.
        shown = {value: short or (value or ())[-1:] for value, short in shown.items()}
    return [
        part.named(attribute.keyword, attribute.name(shown[value]), attribute.text(shown[value]), groups[value])
        for value in values
    ]


def _by_time(part: _Part, positions: Sequence[Sequence[Image]], most: int, attribute: Attribute) -> list[_Part] | None:
    if not _separates(positions, attribute):
        return None
    groups = _grouped(part.images, attribute.of)
    if len(groups) == most and None not in groups:
        return _named(part, attribute, groups)
    ranked = _ranked(positions, most, attribute)
    if ranked is None:
        return None
    firsts = [min(attribute.of(image) for image in images) for images in ranked]
    # Named by its earliest value, so that the name does not pass to another volume when more images arrive.
    return [
        part.named(
            attribute.keyword,
            attribute.name(first),
            message("volume.in_time", volume=attribute.text(first), rank=rank, n=most),
            images,
        )
        for rank, (first, images) in enumerate(zip(firsts, ranked, strict=True), start=1)
    ]


def _by_instance_number(part: _Part, positions: Sequence[Sequence[Image]], most: int) -> list[_Part] | None:
    ranked = _ranked(positions, most, INSTANCE_NUMBER)
    if ranked is None:
        return None
    parts = []
    for images in ranked:
        numbers = sorted(INSTANCE_NUMBER.of(image) for image in images)
        first, last = f"{numbers[0]:g}", f"{numbers[-1]:g}"
        named = part.named(
            "InstanceNumber", f"instances-{first}-{last}", message("volume.instances", first=first, last=last), images
        )
        parts.append(replace(named, is_certain=False))
    return parts


def _ranked(positions: Sequence[Sequence[Image]], most: int, attribute: Attribute) -> list[list[Image]] | None:
    """Return the first, second, ... image of every position; None unless each position has `most` different values."""
    ranked: list[list[Image]] = [[] for _ in range(most)]
    for images in positions:
        values = {attribute.of(image): image for image in images}
        if len(images) != most or len(values) != most or None in values:
            return None
        for rank, value in enumerate(sorted(values)):
            ranked[rank].append(values[value])
    return ranked


def _without_repetitions(
    part: _Part, positions: Sequence[Sequence[Image]], pixel_digest_of: PixelDigest | None
) -> _Part | None:
    """Return the part without images that repeat others pixel by pixel; None where there are none."""
    if pixel_digest_of is None or len(part.images) > MAX_COMPARED:
        return None
    remaining: set[int] = set()
    for images in positions:
        seen: set[Hashable] = set()
        for image in images:
            digest = pixel_digest_of(image.sop_instance_uid) if len(images) > 1 else ""
            if not digest or (digest, image.frame) not in seen:
                remaining.add(id(image))
            seen.add((digest, image.frame))
    if len(remaining) == len(part.images):
        return None
    images = [image for image in part.images if id(image) in remaining]
    used = {image.sop_instance_uid for image in images}
    left_out = [image.sop_instance_uid for image in part.images if image.sop_instance_uid not in used]
    return replace(part, images=images, left_out=(*part.left_out, *dict.fromkeys(left_out)))


def _positions(images: Sequence[Image]) -> list[list[Image]]:
    """Return the images of each slice position, in the order in which they were given."""
    positions: list[list[Image]] = []
    for image in sorted(images, key=lambda image: image.offset_mm):
        if positions and is_one_place(positions[-1][0].offset_mm, image.offset_mm):
            positions[-1].append(image)
        else:
            positions.append([image])
    order = {id(image): at for at, image in enumerate(images)}
    for position in positions:
        if len(position) > 1:
            position.sort(key=lambda image: order[id(image)])
    return positions


def _grouped(images: Iterable[Image], key: Callable[[Image], Any]) -> dict[Any, list[Image]]:
    groups: dict[Any, list[Image]] = {}
    for image in images:
        groups.setdefault(key(image), []).append(image)
    return groups


def _sort_key(value: Any) -> tuple[bool, Any]:
    return value is None, 0 if value is None else value


def _different(names: Sequence[str]) -> list[str]:
    """Return short names without special characters, each once: they are typed in commands and stand in addresses."""
    different: list[str] = []
    for name in names:
        parts = (re.sub(r"[^A-Za-z0-9.]+", "-", part)[:MAX_NAME].strip("-") for part in name.split(","))
        short = ",".join(part for part in parts if part)
        again = sum(other == short or other.rpartition("-")[0] == short for other in different)
        different.append(f"{short}-{again + 1}" if short in different else short)
    return different


def _volume(part: _Part, name: str) -> Volume:
    headers, frames = [], {}
    for images in _grouped(part.images, lambda image: id(image.header)).values():
        header = images[0].header
        if images[0].frame and len(images) < len(header["FrameOffsets"]):
            frames[images[0].sop_instance_uid] = tuple(image.frame for image in images)
            header = _reduced(images)
        headers.append(header)
    return Volume(name, ", ".join(part.texts), tuple(headers), frames, part.left_out, part.keywords, part.is_certain)


def _reduced(images: Sequence[Image]) -> dict[str, Any]:
    """Return the header of an Enhanced object as if it contained these frames only."""
    first = images[0]
    header = {key: value for key, value in first.header.items() if key not in ("FrameValues", "FrameEchoTimes")}
    for keyword in first.header.get("FrameValues", {}):
        value = first.value(keyword)
        if value is not None and not keyword.startswith("Dimension"):
            header[keyword] = value
    echo_times = sorted({time for image in images if (time := image.value("EchoTime")) is not None})
    if len(echo_times) > 1:
        header["FrameEchoTimes"] = echo_times
    header["NumberOfFrames"] = len(images)
    header["FrameOffsets"] = [image.offset_mm for image in images]
    planes = first.header.get("FramePlanes")
    if planes and len({planes["of"][image.frame - 1] for image in images}) == 1:
        plane = planes["of"][first.frame - 1]
        header["ImageOrientationPatient"] = planes["orientations"][plane]
        header["ImagePositionPatient"] = planes["positions"][plane]
        header["FrameShear"] = planes["shears"][plane]
        header.pop("FramePlanes")
        header.pop("FrameOrientations", None)
    return header
