"""Scores of the same study with slightly other inputs: contour moved, one slice fewer, single members.

    members   the contour as it was drawn, each member of the ensemble alone
    contour   the contour 2 mm outwards and 2 mm inwards, each member alone
    slices    in every series one slice fewer: without the one that represents the study, whose place a neighbour takes;
              without the first; without the last. Each member alone

The moved contours of a sequence go through the network together, those of several studies too. Fewer slices cost no
pass of it: the features of all slices were computed when the representative one was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from config.arrays import Float32Array
from workers.features.extraction import DeepFeatures, extract_many, features_without, resolve_device
from workers.features.se_resnet import SequenceNetwork
from workers.scores.multitask_network import MultitaskNetwork
from workers.scores.scoring import Scores, score_many
from workers.stability.moved_contour import with_moved_contour

MOVED_MM = (2.0, -2.0)
"""Outwards and inwards: about the distance between the contours of two readers of a nasopharyngeal tumour."""


class VariantKind(StrEnum):
    """What differs from the report's computation."""

    MEMBERS = "members"
    CONTOUR = "contour"
    SLICES = "slices"


class Member(Protocol):
    """One member of the ensemble: `bundles.member.BundleMember`."""

    def patches_on_own_scale(self, role: str, patches: Float32Array) -> Float32Array:
        """Patches with this member's grey values."""

    def sequence_network(self, role: str) -> SequenceNetwork:
        """SE-ResNet of one sequence."""

    def score_network(self) -> MultitaskNetwork:
        """Multi-task network."""


@dataclass(frozen=True)
class VariantScores:
    """Scores of v variants of one study by K members.

    Attributes
    ----------
    kinds : tuple of VariantKind, length v
        What differs in each variant.
    scores : Scores
        Shape (K, v) each; in row k what member k alone says.
    """

    kinds: tuple[VariantKind, ...]
    scores: Scores


@dataclass(frozen=True)
class DrawnStudy:
    """One study with its contour as it was drawn, and what the networks make of it.

    Attributes
    ----------
    patches : mapping of str to float32, shape (n, 2, 128, 128)
        Of each sequence, on the bundle's grey scale.
    deep : sequence of mapping of str to DeepFeatures
        Of each member by sequence: what was computed for the report.
    """

    patches: Mapping[str, Float32Array]
    deep: Sequence[Mapping[str, DeepFeatures]]

    @property
    def has_several_slices(self) -> bool:
        """Whether a sequence has a second slice; else none can be left out, and the variant would be the report."""
        return any(len(bag) > 1 for bag in self.patches.values())

    @property
    def kinds(self) -> tuple[VariantKind, ...]:
        """What differs in each variant."""
        fewer = (VariantKind.SLICES,) * 3 if self.has_several_slices else ()
        return (VariantKind.MEMBERS, *(VariantKind.CONTOUR for _ in MOVED_MM), *fewer)


def variant_scores(
    studies: Sequence[DrawnStudy], members: Sequence[Member], spacing_mm: float, device: str
) -> list[VariantScores]:
    """Score the variants of studies by every member, batched across studies.

    Parameters
    ----------
    studies : sequence of DrawnStudy, not empty
        All with the sequences of the first.
    members : sequence of Member
        In the order of each study's `deep`.
    spacing_mm : float
        Pixel spacing of the patches.
    device : str
        As in the settings.

    Returns
    -------
    list of VariantScores
        In the order of the studies; the numbers that each variant has alone, up to a last bit of float32.
    """
    where = str(resolve_device(device))
    moved = {
        role: [
            with_moved_contour(study.patches[role], distance_mm, spacing_mm)
            for study in studies
            for distance_mm in MOVED_MM
        ]
        for role in studies[0].patches
    }
    by_member = []
    for number, member in enumerate(members):
        rows = {}
        for role, bags in moved.items():
            network = member.sequence_network(role)
            contours = extract_many([member.patches_on_own_scale(role, bag) for bag in bags], network, where)
            pairs = zip(*(iter(contours),) * len(MOVED_MM), strict=True)
            rows[role] = np.stack([
                features
                for study, of_study in zip(studies, pairs, strict=True)
                for features in _features(study, study.deep[number][role], of_study, network)
            ])  # fmt: skip
        by_member.append(score_many(rows, member.score_network(), where))
    prognostic, predictive = (
        np.array(values)
        for values in ([each.prognostic for each in by_member], [each.predictive for each in by_member])
    )
    ends = np.cumsum([len(study.kinds) for study in studies])[:-1]
    found = zip(studies, np.split(prognostic, ends, axis=1), np.split(predictive, ends, axis=1), strict=True)
    # The only member, on the contour as it was drawn, is the report itself.
    first = 0 if len(members) > 1 else 1
    return [VariantScores(study.kinds[first:], Scores(p[:, first:], q[:, first:])) for study, p, q in found]


def _features(
    study: DrawnStudy, own: DeepFeatures, contours: Sequence[DeepFeatures], network: SequenceNetwork
) -> list[Float32Array]:
    """Return the features of one sequence in each variant, in the order of `DrawnStudy.kinds`."""
    left_out = (own.representative_index, 0, len(own.slice_features) - 1) if study.has_several_slices else ()
    return [
        own.features,
        *(deep.features for deep in contours),
        *(features_without(own, row, network) for row in left_out),
    ]
