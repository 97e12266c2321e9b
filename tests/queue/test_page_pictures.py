"""What the pages show beside the report: which slice, by which number, and the performance of the model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import Dataset

from config.bundle_manifest import read_manifest
from workers.queue.page_pictures import largest_section, model_performance, slice_number
from workers.volumes.stored_slice import StoredSlice


def test_the_largest_section_is_the_first_one_of_the_largest_area() -> None:
    mask = np.zeros((4, 6, 6), dtype=np.uint8)
    mask[0, 2, 2], mask[1, 1:4, 1:4], mask[2, 2:5, 2:5], mask[3, 0, 0:5] = 1, 1, 1, 1
    assert largest_section(SimpleNamespace(mask_zyx=mask)) == 1  # type: ignore[arg-type]


def test_a_slice_has_the_number_that_viewers_show() -> None:
    header = Dataset()
    header.InstanceNumber = 14
    assert slice_number(header, StoredSlice("1.2.3", None)) == "14"
    assert slice_number(header, StoredSlice("1.2.3", 7)) == "7"  # a frame of a multi-frame instance
    assert slice_number(Dataset(), StoredSlice("1.2.3", None)) == ""
    assert slice_number(None, StoredSlice("1.2.3", None)) == ""


def test_the_performance_is_that_of_unseen_patients() -> None:
    content = read_manifest("demonstration").content
    shown = model_performance(content)
    assert shown is not None
    out_of_fold = content["metrics"]["out_of_fold"]
    assert shown.n_cases == out_of_fold["n"]
    assert shown.c_index == pytest.approx(out_of_fold["c_index"]["all"]["value"])
    assert shown.slope == pytest.approx(out_of_fold["calibration_slope"]["value"])
    assert model_performance({**content, "metrics": {}}) is None
