"""Series of several volumes, classic or Enhanced, whole or with defects, for the property that ready implies readable.

Every image of a volume has the same grey value, another one in each volume: what is read tells which volume it is of.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.random import Generator
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from tests.volumes.synthetic import SeriesGeometry, tilted, write_enhanced, write_series

ROWS, COLUMNS = 4, 5
ORIGINAL = ("ORIGINAL", "PRIMARY")
# What may differ between two volumes: values of the first, second, ... volume.
KINDS: dict[str, list[dict[str, Any]]] = {
    "dixon": [{"ImageType": [*ORIGINAL, kind, kind]} for kind in ("W", "IP", "OP", "F")],
    "component": [{"ImageType": [*ORIGINAL, kind]} for kind in ("M", "P", "R", "I")],
    "echo": [{"EchoTime": 10.0 * n} for n in (1, 2, 3, 4)],
    "time": [{"TemporalPositionIdentifier": n} for n in (1, 2, 3, 4)],
    "b value": [{"DiffusionBValue": float(n)} for n in (0, 50, 400, 1000)],
    "trigger": [{"TriggerTime": 1000.0 * n} for n in range(4)],
    "acquisition": [{"AcquisitionNumber": n} for n in (1, 2, 3, 4)],
    "nothing": [{}, {}, {}, {}],
}
# Where an Enhanced object states what the keyword of classic MR says.
MACRO_OF = {
    "ImageType": ("MRImageFrameTypeSequence", "FrameType"),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
}


@st.composite
def generated_series(draw: st.DrawFn) -> dict[str, Any]:
    """One series, or an acquisition in two, with up to two defects."""
    return {
        # Of fewer slices one that is moved is not distinguishable from one of another volume.
        "n_slices": draw(st.integers(6, 9)),
        "step_mm": draw(st.sampled_from([0.8, 1.171875, 3.0, 5.5])),
        "decimals": draw(st.sampled_from([None, 2, 1])),
        "degrees": draw(st.sampled_from([0.0, 0.0, 12.0])),
        "kinds": draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=2, unique=True)),
        "n_volumes": draw(st.integers(1, 4)),
        "identical": draw(st.booleans()) and draw(st.booleans()),
        "enhanced": draw(st.sampled_from(["classic", "classic", "one object", "object each"])),
        "split": draw(st.sampled_from([None, None, None, "interleaved", "halves"])),
        "dropped": draw(st.one_of(st.just(set()), st.sets(st.integers(0, 35), max_size=3))),
        "moved_mm": draw(st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.7])),
        "stated": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


def values_of(plan: dict[str, Any], volume: int) -> dict[str, Any]:
    """What the headers of one volume say; of two kinds the second varies faster."""
    values: dict[str, Any] = {}
    if len(plan["kinds"]) == 1:
        return dict(KINDS[plan["kinds"][0]][volume])
    for kind, at in zip(plan["kinds"], divmod(volume, 2), strict=True):
        values |= KINDS[kind][at]
    return values


def write(folder: Path, plan: dict[str, Any]) -> list[Path]:
    """The files of one plan; frames and instances in a random order."""
    rng = np.random.default_rng(plan["seed"])
    geometry = SeriesGeometry((1.0, 1.0, plan["step_mm"]), (-64.0, -63.0, -30.0), tilted(plan["degrees"], (1, 2, 0.5)))
    images = [
        (volume, z) for volume in range(plan["n_volumes"]) for z in range(plan["n_slices"])
        if volume * plan["n_slices"] + z not in plan["dropped"]
    ]  # fmt: skip
    if plan["enhanced"] == "classic":
        return _classic(folder, plan, geometry, images, rng)
    groups = [images] if plan["enhanced"] == "one object" else [
        [image for image in images if image[0] == volume] for volume in range(plan["n_volumes"])
    ]  # fmt: skip
    return [_enhanced(folder / f"{at}.dcm", plan, geometry, group, rng) for at, group in enumerate(groups) if group]


def _position(plan: dict[str, Any], geometry: SeriesGeometry, volume: int, z: int) -> list[float]:
    point = geometry.points([0, 0, z])
    if z == plan["n_slices"] // 2 and volume == 0:
        point = point + geometry.normal * plan["moved_mm"]
    rounded = point if plan["decimals"] is None else point.round(plan["decimals"])
    numbers: list[float] = rounded.tolist()
    return numbers


def _grey(plan: dict[str, Any], volume: int, z: int) -> int:
    return 100 + z if plan["identical"] else 100 * (volume + 1)


def _classic(
    folder: Path,
    plan: dict[str, Any],
    geometry: SeriesGeometry,
    images: list[tuple[int, int]],
    rng: np.random.Generator,
) -> list[Path]:
    pattern = np.zeros((1, ROWS, COLUMNS), np.uint16)
    (source,) = write_series(folder, pattern, geometry, series_uid="1.2.7", frame_of_reference_uid="1.2.8",
                             study_uid="1.2.6")  # fmt: skip
    first = dcmread(source)
    source.unlink()
    if not plan["stated"]:
        del first.SpacingBetweenSlices, first.SliceThickness
    # One data set for each volume: a copy for each image takes longer than all that is tested.
    by_volume = {}
    for volume in range(plan["n_volumes"]):
        by_volume[volume] = deepcopy(first)
        for keyword, value in values_of(plan, volume).items():
            setattr(by_volume[volume], keyword, value)
    paths = []
    for number, (volume, z) in enumerate(images, start=1):
        ds = by_volume[volume]
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str((volume, z))])
        ds.InstanceNumber = number
        ds.ImagePositionPatient = _position(plan, geometry, volume, z)
        ds.PixelData = np.full((ROWS, COLUMNS), _grey(plan, volume, z), "<u2").tobytes()
        second = (plan["split"] == "interleaved" and z % 2) or (
            plan["split"] == "halves" and z >= plan["n_slices"] // 2
        )
        ds.SeriesInstanceUID = "1.2.9" if second else "1.2.7"
        path = folder / f"{int(rng.integers(1 << 30)):010d}-{number}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _enhanced(
    path: Path, plan: dict[str, Any], geometry: SeriesGeometry, images: Sequence[tuple[int, int]], rng: Generator
) -> Path:
    order = [images[at] for at in rng.permutation(len(images))]
    stack = np.stack([np.full((ROWS, COLUMNS), _grey(plan, volume, z), np.uint16) for volume, z in order])
    write_enhanced(path, stack, geometry, series_uid="1.2.7", frame_of_reference_uid="1.2.8", study_uid="1.2.6")
    ds = dcmread(path)
    if not plan["stated"]:
        del ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness
    for (volume, z), group in zip(order, ds.PerFrameFunctionalGroupsSequence, strict=True):
        group.PlanePositionSequence[0].ImagePositionPatient = _position(plan, geometry, volume, z)
        del group.FrameContentSequence[0].TemporalPositionIndex
        for keyword, value in values_of(plan, volume).items():
            macro, name = MACRO_OF[keyword]
            if macro not in group:
                setattr(group, macro, [Dataset()])
            setattr(group[macro].value[0], name, value)
    ds.save_as(path, enforce_file_format=True)
    return path
