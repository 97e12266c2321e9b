"""What one step saves, the next one loads as it was, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from config.indication.vocabulary import SeriesRole
from workers.pipeline.artefacts import load_attributions, load_prepared_study, save_attributions, save_prepared_study
from workers.volumes.prepared_study import PreparedSeries


def prepared_series(role: SeriesRole, seed: int) -> PreparedSeries:
    rng = np.random.default_rng(seed)
    return PreparedSeries(
        role=role,
        series_instance_uid=f"1.2.{seed}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        description="增强 T1",
        patches=rng.random((3, 2, 128, 128), dtype=np.float32),
        slices=(("1.2.3", None), ("1.2.4", 7), ("1.2.5", None)),
        mask_zyx=rng.integers(0, 2, (3, 20, 30)).astype(np.uint8),
        volume_ml=12.34,
        n_slices=3,
        landmark_distance=0.01,
        distance_limit=0.2,
        findings=(("contour_resampled", "moved"),),
    )


def test_a_prepared_study_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    saved = {role: prepared_series(role, seed) for seed, role in enumerate(SeriesRole)}
    save_prepared_study(tmp_path, saved)
    loaded = load_prepared_study(tmp_path)
    assert loaded is not None
    assert list(loaded) == list(saved)
    for role, series in saved.items():
        np.testing.assert_array_equal(loaded[role].patches, series.patches)
        np.testing.assert_array_equal(loaded[role].mask_zyx, series.mask_zyx)
        assert {k: v for k, v in vars(loaded[role]).items() if k not in ("patches", "mask_zyx")} == {
            k: v for k, v in vars(series).items() if k not in ("patches", "mask_zyx")
        }


def test_an_interrupted_save_counts_as_missing(tmp_path: Path) -> None:
    save_prepared_study(tmp_path, {SeriesRole.T1W: prepared_series(SeriesRole.T1W, 1)})
    (tmp_path / "material.json").unlink()  # written last
    assert load_prepared_study(tmp_path) is None


@pytest.mark.parametrize("name", ["material.npz", "material.json"])
@pytest.mark.parametrize("left", [0, 30, 0.5])
def test_a_half_written_file_counts_as_missing(tmp_path: Path, name: str, left: float) -> None:
    save_prepared_study(tmp_path, {SeriesRole.T1W: prepared_series(SeriesRole.T1W, 1)})
    size = (tmp_path / name).stat().st_size
    os.truncate(tmp_path / name, int(size * left) if left < 1 else int(left))
    assert load_prepared_study(tmp_path) is None


def test_a_full_disk_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save_prepared_study(tmp_path, {SeriesRole.T1W: prepared_series(SeriesRole.T1W, 1)})
    assert list(tmp_path.iterdir()) == []


def test_maps_are_loaded_as_saved_and_may_be_missing(tmp_path: Path) -> None:
    assert load_attributions(tmp_path) == {}
    maps = {SeriesRole.T2W: np.full((128, 128), 0.5, dtype=np.float32)}
    save_attributions(tmp_path, maps)
    np.testing.assert_array_equal(load_attributions(tmp_path)[SeriesRole.T2W], maps[SeriesRole.T2W])
