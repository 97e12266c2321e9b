"""Structure sets as real programs write them: the volume that was drawn, or a refusal or statement that names why not.

The expected volume is that of the unchanged contours: areas by the shoelace formula times the distance of the planes,
which for the axial ball plastimatch confirms.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from config.errors import IneligibleStudyError
from tests.volumes.mutated_structures import Contours, mutated, rewrite
from tests.volumes.synthetic import SeriesGeometry, sphere_contours, tilted, write_rtstruct, write_series
from tests.volumes.test_plastimatch import by_plastimatch
from workers.volumes.contours import roi_on_series
from workers.volumes.reader import MrSeries, read_series
from workers.volumes.rtstruct import read_rtstruct

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")  # closed_planar, on purpose

FRAME = "1.2.3"
SIZE = 64
REGIONS = {
    "axial": (SeriesGeometry((1, 1, 3), (-32, -32, -30)), 0.01),
    "oblique": (SeriesGeometry((1, 1, 3), (-32, -32, -30), tilted(17, (1, 2, 0.5))), 0.03),
}


def drawn_ml(contours: Contours, normal: np.ndarray, distance_mm: float) -> float:
    """Volume of contours, each alone in its plane."""
    areas = [np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0) @ normal / 2 for points in contours]
    return float(np.abs(areas).sum()) * distance_mm / 1000


def base(name: str) -> Contours:
    geometry, _ = REGIONS[name]
    return [points[::5] for points in sphere_contours(geometry, 20, geometry.points([32, 32, 9.4]), 15.0)]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MrSeries]:
    folder = tmp_path_factory.mktemp("mr")
    pixels = np.ones((20, SIZE, SIZE), np.uint16)
    return {
        name: read_series(write_series(folder / name, pixels, geometry, frame_of_reference_uid=FRAME))
        for name, (geometry, _) in REGIONS.items()
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("rt") / "rt.dcm"
    return dcmread(write_rtstruct(path, {"GTVp": base("axial"), "Brainstem": base("axial")}, FRAME))


def outcome(seed: int, series: dict[str, MrSeries], template: Dataset, path: Path) -> str:
    """What became of one mutated structure set; fails the test when its volume is silently another one."""
    rng = np.random.default_rng(seed)
    name = list(REGIONS)[int(rng.integers(2))]
    geometry, tolerance = REGIONS[name]
    contours = base(name)
    structure = mutated(contours, rng)
    ds = deepcopy(template)
    rewrite(ds, structure)
    ds.save_as(path, enforce_file_format=True)
    said = f"seed {seed}, {name}: {', '.join(structure.applied)}"
    roi = next(roi for roi in read_rtstruct(path) if roi.name == "GTVp")
    try:
        mask = roi_on_series(roi, series[name])
    except IneligibleStudyError as error:
        refusal = error
    else:
        refusal = None
    if refusal is not None:
        confused = "give_one_number_twice" in structure.applied
        assert (refusal.code == "ambiguous_roi") is confused, f"{said}: {refusal.text}"
        assert confused or "drop_planes" in structure.applied, f"{said}: {refusal.text}"
        return "refused"
    assert "give_one_number_twice" not in structure.applied, said
    expected = drawn_ml(contours, geometry.normal, 3.0)
    if "drop_planes" in structure.applied:
        stated = {finding.code for finding in mask.findings} & {"contour_gap", "contour_resampled"}
        ends_only = not stated and mask.volume_ml < expected * (1 + tolerance)
        assert stated or ends_only, f"{said}: {mask.volume_ml:.2f} mL instead of {expected:.2f}"
        return "stated"
    assert mask.volume_ml == pytest.approx(expected, rel=tolerance), said
    assert mask.mask_volume_ml == pytest.approx(expected, rel=max(tolerance, 0.02)), said
    return "same volume"


def test_a_region_written_in_many_ways_has_its_volume_or_a_reason(
    series: dict[str, MrSeries], template: Dataset, tmp_path: Path
) -> None:
    ends = [outcome(seed, series, template, tmp_path / "rt.dcm") for seed in range(300)]
    counts = {end: ends.count(end) for end in set(ends)}
    assert counts["same volume"] > 200, counts
    assert counts["refused"] > 5, counts


@pytest.mark.long
def test_five_thousand_structures(series: dict[str, MrSeries], template: Dataset, tmp_path: Path) -> None:
    ends = [outcome(seed, series, template, tmp_path / "rt.dcm") for seed in range(1000, 6000)]
    print({end: ends.count(end) for end in set(ends)})


def test_plastimatch_finds_the_volume_that_is_expected(tmp_path: Path) -> None:
    geometry, _ = REGIONS["axial"]
    write_series(tmp_path / "mr", np.ones((20, SIZE, SIZE), np.uint16), geometry, frame_of_reference_uid=FRAME)
    path = write_rtstruct(tmp_path / "rt.dcm", {"GTVp": base("axial")}, FRAME)
    ((_, volume_ml),) = by_plastimatch(path, tmp_path / "mr", tmp_path / "out").values()
    assert volume_ml == pytest.approx(drawn_ml(base("axial"), geometry.normal, 3.0), rel=0.01)
