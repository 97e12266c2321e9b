"""Whatever the node finds no fault with by its headers, the worker reads; what both refuse has one reason code."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, seed, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from config.errors import IneligibleStudyError
from node.cases.chosen_volumes import series_request
from node.cases.geometry import stack_of
from node.cases.headers import header_of
from node.cases.series_summary import summarise_series
from node.cases.split_series import join_parts
from node.store.pixel_digests import pixel_digests
from tests.volumes.generated_series import generated_series, write
from tests.volumes.synthetic import SeriesGeometry, tilted, write_enhanced, write_series
from workers.volumes.chosen_series import read_chosen
from workers.volumes.reader import read_series

ROWS, COLUMNS = 4, 5
LEAST_SLICES = 3
# Of one slice, for classic and Enhanced objects; each alone makes a series that must not be read.
DEFECTS: dict[str, Callable[[Dataset, Dataset], Any]] = {
    "no position": lambda _, place: place.__delattr__("ImagePositionPatient"),
    "no orientation": lambda _, place: place.__delattr__("ImageOrientationPatient"),
    "no pixel spacing": lambda _, place: place.__delattr__("PixelSpacing"),
    "empty pixel spacing": lambda _, place: setattr(place, "PixelSpacing", None),
    "pixel spacing of 0": lambda _, place: setattr(place, "PixelSpacing", [0, 1]),
    "other pixel spacing": lambda _, place: setattr(place, "PixelSpacing", [1, 1.1]),
    "other orientation": lambda _, place: setattr(place, "ImageOrientationPatient", tilted(3, (1, 0, 0))),
    "other frame of reference": lambda ds, _: setattr(ds, "FrameOfReferenceUID", "1.2.3"),
    "no frame of reference": lambda ds, _: ds.__delattr__("FrameOfReferenceUID"),
}


WHOLE: dict[str, Any] = {
    "dropped": (), "every_second": False, "moved_mm": 0.0, "sheared_mm": 0.0, "repeated": False, "defect": None,
    "stated": "both", "images": None,
}  # fmt: skip
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "dropped": st.sets(st.integers(0, 13), max_size=8),
    "every_second": st.just(True),
    "moved_mm": st.floats(-0.7, 0.7),
    "sheared_mm": st.floats(0.0, 0.1),
    "repeated": st.just(True),
    "defect": st.sampled_from(sorted(DEFECTS)),
    "stated": st.sampled_from([None, "thickness", "spacing"]),
    "images": st.integers(1, 28),
}


@st.composite
def stacks(draw: st.DrawFn) -> dict[str, Any]:
    """One series, with up to two changes."""
    changed = draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=2))
    return {
        **WHOLE,
        "n_slices": draw(st.integers(3, 14)),
        "step_mm": draw(st.one_of(st.floats(0.8, 6.0), st.sampled_from([0.8, 1.0, 1.171875, 3.0, 5.5]))),
        "decimals": draw(st.sampled_from([None, 2, 1])),
        "degrees": draw(st.sampled_from([0.0, 0.0, 7.3, 30.0])),
        "axis": draw(st.sampled_from([(1, 0, 0), (1, 2, 0.5), (0, 1, 1)])),
        **{name: draw(CHANGES[name]) for name in changed},
    }


def written(folder: Path, stack: dict[str, Any]) -> list[Path]:
    """Classic files of one generated series."""
    n_slices, step_mm = stack["n_slices"], stack["step_mm"]
    orientation = tilted(stack["degrees"], stack["axis"])
    geometry = SeriesGeometry((1.0, 1.0, step_mm), (-64.0, -63.0, -30.0), orientation)
    paths = write_series(folder, np.zeros((n_slices, ROWS, COLUMNS), np.uint16), geometry, series_uid="1.2.7",
                         frame_of_reference_uid="1.2.8")  # fmt: skip
    dropped = {z for z in range(n_slices) if z % 2} if stack["every_second"] else stack["dropped"]
    remaining = []
    for z, path in enumerate(paths):
        ds = dcmread(path)
        point = np.asarray(ds.ImagePositionPatient, dtype=float)
        point += geometry.normal * (stack["moved_mm"] if z == n_slices // 2 else 0.0)
        point += geometry.column * stack["sheared_mm"] * z
        ds.ImagePositionPatient = (point if stack["decimals"] is None else point.round(stack["decimals"])).tolist()
        if stack["stated"] in (None, "spacing"):
            del ds.SliceThickness
        if stack["stated"] in (None, "thickness"):
            del ds.SpacingBetweenSlices
        if stack["images"]:
            ds.ImagesInAcquisition = stack["images"]
        if stack["defect"] and z == 1:
            DEFECTS[stack["defect"]](ds, ds)
        if z in dropped:
            continue
        ds.save_as(path, enforce_file_format=True)
        remaining.append(path)
    if stack["repeated"] and remaining:
        ds = dcmread(remaining[0])
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.9"
        ds.save_as(folder / "again.dcm", enforce_file_format=True)
        remaining.append(folder / "again.dcm")
    return remaining


def compare(paths: list[Path]) -> tuple[list[str], str | None]:
    """Reason codes of the node, and that of the worker's refusal."""
    findings = stack_of([header_of(dcmread(path, stop_before_pixels=True)) for path in paths]).findings
    codes = [code for code, _ in findings]
    refusal = None
    try:
        read_series(paths)
    except IneligibleStudyError as error:
        refusal = error
    if refusal is not None:
        assert refusal.code in codes, (findings, refusal.text)
        return codes, refusal.code
    # Only pixels can tell whether a repeated slice repeats them; the node asks.
    assert all("more than once" in text for _, text in findings), findings
    return codes, None


def check(stack: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = written(Path(folder), stack)
        codes, refused = compare(paths) if paths else ([], None)
    event(f"node: {'ready' if not codes else codes[0]}, worker: {refused or 'read'}")


@settings(max_examples=60)
@given(stacks())
def test_what_the_node_calls_ready_the_worker_reads(stack: dict[str, Any]) -> None:
    check(stack)


def run_part(
    part: int, strategy: st.SearchStrategy[dict[str, Any]], check_one: Callable[[dict[str, Any]], None]
) -> None:
    """One of ten parts with examples of its own: an interrupted run goes on with the next (`-k "part7 or part8"`)."""
    counts: Counter[str] = Counter()

    def counted(plan: dict[str, Any]) -> None:
        check_one(plan)
        counts["checked"] += 1

    examples = settings(max_examples=200, database=None, suppress_health_check=[HealthCheck.too_slow])
    seed(part)(examples(given(strategy)(counted)))()
    print(f"part {part}: {counts['checked']} series without a fault", flush=True)
    assert counts["checked"] >= 200


PARTS = pytest.mark.parametrize("part", range(10), ids=lambda part: f"part{part}")


@pytest.mark.long
@PARTS
def test_what_the_node_calls_ready_the_worker_reads_in_two_thousand_series(part: int) -> None:
    run_part(part, stacks(), check)


def check_volumes(plan: dict[str, Any]) -> None:
    """Whatever the node finds no fault with is read as one volume, with the images of one volume only."""
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), plan)
        headers = [header_of(dcmread(path, stop_before_pixels=True)) for path in paths]
        files = {str(header["SOPInstanceUID"]): path for header, path in zip(headers, paths, strict=True)}
        digests = dict.fromkeys(files, "")
        for summary in join_parts(summarise_series(headers, pixel_digests(files))):
            if summary.stack.findings:
                outcomes.append(summary.stack.findings[0][0])
                continue
            series = read_chosen(series_request(summary, digests, ""), files)
            outcomes.append("read")
            # Two images at two places may be of one volume or of two; so few slices never have a role.
            if summary.n_slices < LEAST_SLICES:
                continue
            assert len(series.frames) == summary.n_slices
            greys = {int(grey) for grey in np.unique(series.pixels_zyx(range(len(series.frames))))}
            # With identical volumes the grey value is that of the slice.
            assert len(greys) == (summary.n_slices if plan["identical"] else 1), greys
    event(f"{plan['enhanced']}, {'one series' if plan['split'] is None else 'two'}: {', '.join(sorted(set(outcomes)))}")


@settings(max_examples=140)
@given(generated_series())
def test_each_volume_that_the_node_calls_ready_is_read_alone(plan: dict[str, Any]) -> None:
    check_volumes(plan)


@pytest.mark.long
@PARTS
def test_each_volume_of_two_thousand_series_that_the_node_calls_ready_is_read_alone(part: int) -> None:
    run_part(part, generated_series(), check_volumes)


@pytest.mark.parametrize("decimals", [1, 2])
@pytest.mark.parametrize("step_mm", [0.8, 0.9, 1.171875, 2.37, 3.3, 6.0])
@pytest.mark.parametrize("degrees", [0.0, 12.0])
def test_rounded_positions_are_usable(tmp_path: Path, step_mm: float, degrees: float, decimals: int) -> None:
    stack = {"n_slices": 40, "step_mm": step_mm, "degrees": degrees, "axis": (1, 2, 0.5), "decimals": decimals}
    assert compare(written(tmp_path, {**WHOLE, **stack})) == ([], None)


@pytest.mark.parametrize("claim", [{"Rows": 9000}, {"Columns": 0}, {"BitsAllocated": 12}, {"Rows": None}])
def test_claims_of_a_header_that_no_image_has_are_refused_by_both(tmp_path: Path, claim: dict[str, Any]) -> None:
    paths = write_series(tmp_path, np.zeros((6, ROWS, COLUMNS), np.uint16))
    for path in paths:
        ds = dcmread(path)
        for keyword, value in claim.items():
            setattr(ds, keyword, value)
        ds.save_as(path, enforce_file_format=True)
    codes, refused = compare(paths)
    assert codes[0] == refused == "unreadable_instance"


def test_a_number_of_frames_that_contradicts_their_descriptions_is_refused_by_both(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "e.dcm", np.zeros((8, ROWS, COLUMNS), np.uint16), temporal_positions=2)
    ds = dcmread(path)
    ds.NumberOfFrames = 9
    ds.PixelData = bytes(9 * ROWS * COLUMNS * 2)
    ds.save_as(path, enforce_file_format=True)
    headers = [header_of(dcmread(path, stop_before_pixels=True))]
    (summary,) = summarise_series(headers)
    assert summary.stack.findings[0] == ("unreadable_instance", "an object states 9 frames and describes 8")
    assert compare([path])[1] == "unreadable_instance"


@pytest.mark.parametrize("name", sorted(name for name in DEFECTS if "frame of reference" not in name))
def test_an_enhanced_object_with_a_defect_is_refused_by_both(tmp_path: Path, name: str) -> None:
    path = write_enhanced(tmp_path / "e.dcm", np.zeros((6, ROWS, COLUMNS), np.uint16))
    ds = dcmread(path)
    shared = ds.SharedFunctionalGroupsSequence[0]
    measures, orientation = shared.PixelMeasuresSequence[0], shared.PlaneOrientationSequence[0]
    del shared.PixelMeasuresSequence, shared.PlaneOrientationSequence
    for number, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        place = Dataset()
        for element in (*measures, *orientation, *group.PlanePositionSequence[0]):
            place.add(deepcopy(element))
        if number == 1:
            DEFECTS[name](ds, place)
        for macro, keywords in (("PixelMeasuresSequence", ("PixelSpacing", "SliceThickness")),
                                ("PlaneOrientationSequence", ("ImageOrientationPatient",)),
                                ("PlanePositionSequence", ("ImagePositionPatient",))):  # fmt: skip
            item = Dataset()
            for keyword in keywords:
                if keyword in place:
                    item.add(place[keyword])
            setattr(group, macro, [item])
    ds.save_as(path, enforce_file_format=True)
    assert compare([path]) == (["inconsistent_geometry"], "inconsistent_geometry")
