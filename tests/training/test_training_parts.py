"""Batches, augmentation, learning rates, patch stores, checkpoints: the small parts of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import InputError
from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork
from workers.training.augmentation import augment
from workers.training.batch_sampling import PAPER_EVENT_SHARE, epoch_batches, stratified_folds, validation_split
from workers.training.checkpoints import load_checkpoint, save_checkpoint
from workers.training.patch_store import build_store, saved_patch_reader
from workers.training.training_config import TrainingConfig, convolution_optimizer, set_rate

RNG = np.random.default_rng


def test_a_paper_batch_has_37_censored_and_27_events() -> None:
    events = RNG(0).random(684) < 0.156
    batches = epoch_batches(events, 64, PAPER_EVENT_SHARE, RNG(1))
    assert {(int((~events[b]).sum()), int(events[b].sum())) for b in batches} == {(37, 27)}
    drawn = np.concatenate(batches)
    censored = drawn[~events[drawn]]
    assert len(set(censored.tolist())) == len(censored)  # each censored patient once
    times = np.bincount(drawn[events[drawn]], minlength=684)[events]
    assert times.max() - times.min() <= 1  # events come again and again, evenly


@settings(deadline=None)
@given(n=st.integers(2, 200), share=st.floats(0, 1), size=st.integers(2, 64))
def test_everybody_once_without_an_event_share(n: int, share: float, size: int) -> None:
    events = RNG(n).random(n) < share
    batches = epoch_batches(events, size, None, RNG(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(n))
    counts = [int(events[b].sum()) for b in batches]
    assert max(counts) - min(counts) <= 1


def test_the_held_back_are_the_same_share_of_every_group() -> None:
    rng = RNG(0)
    events, treated = rng.random(1000) < 0.2, rng.random(1000) < 0.5
    held = validation_split(events, treated, 0.15, RNG(1))
    for event in (False, True):
        for arm in (False, True):
            group = (events == event) & (treated == arm)
            assert held[group].mean() == pytest.approx(0.15, abs=0.5 / group.sum() + 1e-9)


@settings(deadline=None)
@given(n=st.integers(2, 120), share=st.floats(0, 1), n_folds=st.integers(2, 7))
def test_folds_have_one_size_and_their_share_of_every_group(n: int, share: float, n_folds: int) -> None:
    rng = RNG(n)
    events, treated = rng.random(n) < share, rng.random(n) < 0.5
    folds = stratified_folds(events, treated, n_folds, RNG(1))

    def sizes(patients: np.ndarray) -> np.ndarray:
        return np.bincount(folds[patients], minlength=n_folds + 1)[1:]

    assert np.ptp(sizes(np.ones(n, dtype=bool))) <= 1
    for event in (False, True):
        for arm in (False, True):
            assert np.ptp(sizes((events == event) & (treated == arm))) <= 1
    assert np.array_equal(folds, stratified_folds(events, treated, n_folds, RNG(1)))


def patches(n: int = 6) -> torch.Tensor:
    rng = RNG(0)
    image = torch.from_numpy(rng.random((n, 1, 128, 128), dtype=np.float32))
    mask = torch.zeros(n, 1, 128, 128)
    mask[:, :, 50:80, 45:75] = 1
    return torch.cat([image, mask], dim=1)


def test_augmented_masks_stay_binary_and_images_in_range() -> None:
    found = augment(patches(), torch.Generator().manual_seed(0))
    assert found.shape == (6, 2, 128, 128)
    assert set(found[:, 1].unique().tolist()) == {0.0, 1.0}
    assert found[:, 0].min() >= 0
    assert found[:, 0].max() <= 1
    areas = found[:, 1].sum(dim=(1, 2)) / 900
    assert ((areas > 0.95) & (areas < 1.05)).all()  # moved and turned, not scaled


def test_the_mask_moves_by_five_pixels_at_most() -> None:
    rows = torch.arange(128.0)
    before = patches(40)
    after = augment(before, torch.Generator().manual_seed(1), scanner=False)
    for axis in (1, 2):

        def centre(mask: torch.Tensor, axis: int = axis) -> torch.Tensor:
            profile = mask.sum(dim=3 - axis)
            return (profile * rows).sum(1) / profile.sum(1)

        # 5 pixels of jitter and what a rotation by 10 degrees about the patch's centre adds.
        assert (centre(after[:, 1]) - centre(before[:, 1])).abs().max() < 5 + 2.5


@pytest.mark.parametrize("scanner", [False, True])
def test_the_mask_moves_exactly_as_the_image(scanner: bool) -> None:
    """A bright L on a dark field, and the same L as the mask: rotation, shift and mirror must leave them congruent."""
    shape = torch.zeros(128, 128)
    shape[40:88, 44:60] = 1
    shape[72:88, 44:90] = 1
    before = torch.stack([0.1 + 0.8 * shape, shape]).expand(60, 2, 128, 128)
    after = augment(before, torch.Generator().manual_seed(3), scanner)
    bright, mask = after[:, 0] > 0.45, after[:, 1] > 0.5
    overlap = 2 * (bright & mask).sum(dim=(1, 2)) / (bright.sum(dim=(1, 2)) + mask.sum(dim=(1, 2)))
    assert overlap.min() > 0.95
    moved = (mask != before[:, 1].bool()).sum(dim=(1, 2))
    assert (moved > 0).float().mean() > 0.9  # the test would say nothing of patches that stay


def test_augmentation_is_the_generators_alone() -> None:
    first, again = (augment(patches(), torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(patches(), torch.Generator().manual_seed(8)))


def rates(config: TrainingConfig, steps: list[int], n_steps: int) -> list[float]:
    network = SequenceNetwork(BackboneArchitecture(width=0.0625))
    optimizer = convolution_optimizer(network, config)
    found = []
    for step in steps:
        set_rate(optimizer, config, config.learning_rate, step, n_steps)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_the_papers_rate_warms_up_80_steps_and_then_falls_by_5_percent_each_80() -> None:
    found = rates(TrainingConfig(schedule="paper"), [0, 39, 79, 80, 159, 160, 80 + 800], 5000)
    assert found == pytest.approx([1e-3 / 80, 5e-4, 1e-3, 1e-3, 1e-3, 0.95e-3, 1e-3 * 0.95**10])


def test_the_papers_optimizer_is_nesterov_with_penalised_convolutions() -> None:
    optimizer = convolution_optimizer(
        SequenceNetwork(BackboneArchitecture(width=0.0625)), TrainingConfig(schedule="paper")
    )
    assert {(g["momentum"], g["nesterov"]) for g in optimizer.param_groups} == {(0.95, True)}
    assert [g["weight_decay"] for g in optimizer.param_groups] == [5e-4, 0.0]


def test_one_cycle_peaks_at_three_tenths_and_ends_near_nothing() -> None:
    config = TrainingConfig(learning_rate=2e-3)
    found = rates(config, [0, 30, 100], 100)
    assert found == pytest.approx([2e-3 / 25, 2e-3, 2e-7])


def bags(n: int, dtype: type = np.uint8) -> dict[str, np.ndarray]:
    values = RNG(n).integers(0, 256, (n, 2, 128, 128)).astype(np.uint8)
    return {r: values if dtype is np.uint8 else (values / 255).astype(dtype) for r in ("T1w", "T2w", "CE-T1w")}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 1e-7), (np.float32, 1e-3)])
def test_a_store_gives_back_what_was_put_in(tmp_path: Path, dtype: type, tolerance: float) -> None:
    given = {"a": bags(2, dtype), "b": bags(3, dtype)}
    store = build_store(["a", "b"], given.__getitem__, tmp_path)
    rows = store.bag_rows("T2w", 1)
    assert rows.tolist() == [2, 3, 4]
    expected = given["b"]["T2w"][::-1].astype(np.float32) / (255 if dtype is np.uint8 else 1)
    np.testing.assert_allclose(store.slices("T2w", rows[::-1]), expected, atol=tolerance)
    assert store.bag_sizes("T1w", np.array([1, 0])) == [3, 2]


def test_a_whole_store_is_not_gathered_again(tmp_path: Path) -> None:
    build_store(["a"], lambda _: bags(2), tmp_path)

    def never(_: str) -> Any:
        raise AssertionError("read again")

    assert build_store(["a"], never, tmp_path).patient_ids == ("a",)
    with pytest.raises(AssertionError):
        build_store(["a", "b"], never, tmp_path)


def test_unusable_images_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"patient 7: expected the saved patches .*7\.npz, found no such file"):
        saved_patch_reader(tmp_path)("7")
    (tmp_path / "7.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"patient 7: expected a file of saved patches .*7\.npz, found another"):
        saved_patch_reader(tmp_path)("7")
    np.savez(tmp_path / "8.npz", t1w=bags(1)["T1w"])
    with pytest.raises(InputError, match=r"patient 8: expected patches of CE-T1w, found T1w"):
        build_store(["8"], saved_patch_reader(tmp_path), tmp_path / "store")
    empty = {**bags(1), "T2w": np.zeros((0, 2, 128, 128), np.uint8)}
    with pytest.raises(InputError, match=r"patient 9: expected T2w patches of shape \(n, 2, 128, 128\), n > 0"):
        build_store(["9"], lambda _: empty, tmp_path / "store")


def test_a_checkpoint_gives_the_whole_state_back(tmp_path: Path) -> None:
    rng = RNG(3)
    rng.random(10)
    state = {
        "tensors": {"a": torch.randn(2, 3), "n": torch.tensor(4)},
        "rng": rng.bit_generator.state,
        "list": [{"x": 1.5}, (1, None)],
        "numbered": {0: {"step": torch.tensor(2.0)}},
    }
    save_checkpoint(tmp_path / "c.safetensors", state)
    found = load_checkpoint(tmp_path / "c.safetensors")
    assert found is not None
    assert torch.equal(found["tensors"]["a"], state["tensors"]["a"])
    assert found["list"] == [{"x": 1.5}, (1, None)]
    assert list(found["numbered"]) == [0]
    again = RNG(0)
    again.bit_generator.state = found["rng"]
    assert again.random() == rng.random()


def test_no_checkpoint_is_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none.safetensors") is None
    (tmp_path / "c.safetensors").write_bytes(b"half a checkpoint")
    with pytest.raises(InputError, match="is not a checkpoint of a training"):
        load_checkpoint(tmp_path / "c.safetensors")
