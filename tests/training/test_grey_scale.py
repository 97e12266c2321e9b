"""Members learn on the grey scale of their own patients, from patches that were cut once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.training.grey_scale import GreyScale
from workers.training.patch_store import SEQUENCES, build_store
from workers.volumes.intensity import IntensityTemplate, rescaled
from workers.volumes.landmarks import PERCENTILES, landmarks_of


def image(seed: int, gain: float = 1.0) -> np.ndarray:
    return gain * (100 + np.random.default_rng(seed).gamma(2.0 + seed / 5, 40, (2, 128, 128)))


COHORT, MEMBER = (IntensityTemplate.fit([image(k) for k in patients]) for patients in (range(4), range(10, 13)))


@settings(max_examples=20)
@given(st.integers(0, 20), st.floats(0.3, 5))
def test_patches_are_as_if_cut_on_the_other_scale(seed: int, gain: float) -> None:
    pixels = image(seed, gain)
    landmarks = landmarks_of(pixels)
    once = COHORT.map_of(pixels, landmarks)(pixels)[:, None]
    mask = (once > 0.5).astype(np.float32)
    mapped = rescaled(np.concatenate([once, mask], axis=1), COHORT, MEMBER)
    directly = MEMBER.map_of(pixels, landmarks)(pixels)
    inside = (once[:, 0] > 0) & (once[:, 0] < 1)  # what was clipped at the ends has lost its grey value
    np.testing.assert_allclose(mapped[:, 0][inside], directly[inside], atol=2e-6)
    np.testing.assert_array_equal(mapped[:, 1], mask[:, 0])


def test_a_member_is_on_the_scale_of_its_patients_and_not_of_those_left_out(tmp_path: Path) -> None:
    rows = {name: {role: landmarks_of(image(k)) for role in SEQUENCES} for k, name in enumerate("ABCD")}
    everybody = {role: IntensityTemplate.from_landmarks([rows[name][role] for name in "ABCD"]) for role in SEQUENCES}
    bag = np.random.default_rng(0).random((2, 2, 128, 128)).astype(np.float32)
    store = build_store("ABCD", lambda _: dict.fromkeys(SEQUENCES, bag), tmp_path)
    known = replace(store, scale=GreyScale(everybody, rows))
    own = known.on_scale_of(["A", "B", "C"])
    expected = IntensityTemplate.from_landmarks([rows[name]["T1w"] for name in "ABC"])
    assert own.templates is not None
    assert own.templates["T1w"].standard == pytest.approx(expected.standard)
    assert len(expected.standard) == len(PERCENTILES)
    one = np.array([0])
    found = own.slices("T1w", one)
    np.testing.assert_allclose(found, rescaled(store.slices("T1w", one), everybody["T1w"], expected), atol=1e-6)
    assert not np.allclose(found, store.slices("T1w", one), atol=1e-3)


def test_saved_patches_keep_their_scale(tmp_path: Path) -> None:
    templates = {role: IntensityTemplate.fit([image(1)]) for role in SEQUENCES}
    assert GreyScale(templates).of(["A"]) is templates
