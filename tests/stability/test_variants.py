"""Variants of one study: the same numbers as each alone, and the ensemble's own among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from config.arrays import Float32Array
from config.indication.vocabulary import SeriesRole
from workers.features.extraction import DeepFeatures, extract, extract_many, features_without
from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork
from workers.scores.ensemble import score_by_ensemble
from workers.scores.multitask_network import MultitaskNetwork, ScoresArchitecture
from workers.scores.scoring import score
from workers.stability.moved_contour import with_moved_contour
from workers.stability.variants import DrawnStudy, VariantKind, VariantScores, variant_scores

ROLES = tuple(role.value for role in SeriesRole)
SPACING_MM = 0.8


@dataclass(frozen=True)
class RandomMember:
    """Random weights, and a grey scale of its own."""

    networks: dict[str, SequenceNetwork]
    scores: MultitaskNetwork
    gain: float

    def patches_on_own_scale(self, role: str, patches: Float32Array) -> Float32Array:
        own = patches.copy()
        own[:, 0] *= np.float32(self.gain)
        return own

    def sequence_network(self, role: str) -> SequenceNetwork:
        return self.networks[role]

    def score_network(self) -> MultitaskNetwork:
        return self.scores


def random_member(seed: int, pooling: str = "maximum") -> RandomMember:
    torch.manual_seed(seed)
    architecture = BackboneArchitecture(width=0.0625, pooling=pooling)  # type: ignore[arg-type]
    networks = {role: SequenceNetwork(architecture) for role in ROLES}
    return RandomMember(networks, MultitaskNetwork(ScoresArchitecture(n_features=32, width=0.02)), 1 - seed / 10)


@pytest.fixture(scope="module")
def patches() -> dict[str, Float32Array]:
    rng = np.random.default_rng(3)
    bags = {role: rng.random((n, 2, 128, 128), dtype=np.float32) for role, n in zip(ROLES, (4, 3, 2), strict=True)}
    for bag in bags.values():
        bag[:, 1] = 0
        for z, patch in enumerate(bag):
            patch[1, 50 : 62 + 3 * z, 52 : 70 + 2 * z] = 1
    return bags


def deep_features(patches: dict[str, Float32Array], member: RandomMember) -> dict[str, DeepFeatures]:
    return {
        role: extract_many([member.patches_on_own_scale(role, bag)], member.sequence_network(role))[0]
        for role, bag in patches.items()
    }


def drawn(patches: dict[str, Float32Array], members: list[RandomMember]) -> DrawnStudy:
    return DrawnStudy(patches, [deep_features(patches, member) for member in members])


def scored(patches: dict[str, Float32Array], members: list[RandomMember]) -> VariantScores:
    [found] = variant_scores([drawn(patches, members)], members, SPACING_MM, "cpu")
    return found


def test_each_variant_has_the_numbers_that_it_has_alone(patches: dict[str, Float32Array]) -> None:
    members = [random_member(1), random_member(2)]
    found = scored(patches, members)
    assert [kind.value for kind in found.kinds] == ["members", "contour", "contour", "slices", "slices", "slices"]
    for row, member in enumerate(members):
        for column, moved_mm in ((1, 2.0), (2, -2.0)):
            features = {}
            for role, bag in patches.items():
                moved = with_moved_contour(bag, moved_mm, SPACING_MM)
                features[role] = extract(member.patches_on_own_scale(role, moved), member.sequence_network(role))[0]
            alone = score(features, member.score_network())
            together = (found.scores.prognostic[row, column], found.scores.predictive[row, column])
            assert together == pytest.approx(alone, abs=1e-7)  # a bit of float32 at widths such as this one


def test_the_mean_of_the_members_is_the_score_of_the_report(patches: dict[str, Float32Array]) -> None:
    members = [random_member(seed) for seed in (1, 2, 3)]
    found = scored(patches, members)
    rows = [{role: deep.features[None] for role, deep in deep_features(patches, member).items()} for member in members]
    mean = score_by_ensemble(rows, [member.score_network() for member in members]).mean
    assert found.scores.prognostic[:, 0].mean() == pytest.approx(mean.prognostic[0], abs=1e-12)
    assert found.scores.predictive[:, 0].mean() == pytest.approx(mean.predictive[0], abs=1e-12)


def test_the_only_member_on_the_contour_as_drawn_is_no_variant(patches: dict[str, Float32Array]) -> None:
    alone, both = scored(patches, [random_member(1)]), scored(patches, [random_member(1), random_member(2)])
    assert VariantKind.MEMBERS not in alone.kinds
    np.testing.assert_array_equal(alone.scores.predictive[0], both.scores.predictive[0, 1:])


def test_of_one_slice_none_is_left_out(patches: dict[str, Float32Array]) -> None:
    single = {role: bag[:1] for role, bag in patches.items()}
    assert set(scored(single, [random_member(1)]).kinds) == {VariantKind.CONTOUR}


def test_one_slice_fewer_is_the_study_without_that_slice(patches: dict[str, Float32Array]) -> None:
    member = random_member(1)
    found, deep = scored(patches, [member]), deep_features(patches, member)
    for column, rows in (
        (2, {role: deep[role].representative_index for role in ROLES}),
        (3, dict.fromkeys(ROLES, 0)),
        (4, {role: len(patches[role]) - 1 for role in ROLES}),
    ):
        fewer = {role: np.delete(bag, rows[role], axis=0) for role, bag in patches.items()}
        alone = {role: deep.features for role, deep in deep_features(fewer, member).items()}
        together = (found.scores.prognostic[0, column], found.scores.predictive[0, column])
        assert together == pytest.approx(score(alone, member.score_network()), abs=1e-7)


def test_a_study_has_the_numbers_among_others_that_it_has_alone(patches: dict[str, Float32Array]) -> None:
    members = [random_member(1), random_member(2)]
    studies = [
        patches,
        {role: bag[:1] for role, bag in patches.items()},
        {role: bag[1:] for role, bag in patches.items()},
    ]
    together = variant_scores([drawn(study, members) for study in studies], members, SPACING_MM, "cpu")
    assert [len(found.kinds) for found in together] == [6, 3, 6]
    for study, found in zip(studies, together, strict=True):
        alone = scored(study, members)
        assert found.kinds == alone.kinds
        np.testing.assert_allclose(found.scores.prognostic, alone.scores.prognostic, atol=1e-7)
        np.testing.assert_allclose(found.scores.predictive, alone.scores.predictive, atol=1e-7)


@pytest.mark.parametrize(("row", "expected"), [(2, 0), (0, 2), (1, 2), (3, 2)])
def test_the_slice_with_the_next_highest_risk_takes_the_place(row: int, expected: int) -> None:
    every = np.repeat(np.arange(4, dtype=np.float32)[:, None], 2, axis=1)  # slice z has the features (z, z)
    deep = DeepFeatures(every[2], 2, np.array([0.3, 0.1, 0.5, 0.2], dtype=np.float32), every)
    assert features_without(deep, row, random_member(1).sequence_network(ROLES[0])).tolist() == [expected, expected]


def test_with_attention_the_others_are_pooled(patches: dict[str, Float32Array]) -> None:
    network, bag = random_member(4, "attention").sequence_network(ROLES[0]), patches[ROLES[0]]
    deep = extract_many([bag], network)[0]
    for row in (0, 1):
        expected = extract(np.delete(bag, row, axis=0), network)[0]
        np.testing.assert_allclose(features_without(deep, row, network), expected, atol=1e-6)
    assert not np.allclose(features_without(deep, 0, network), deep.features)
