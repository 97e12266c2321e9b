"""Scores of the same study with slightly other inputs: contour moved, one slice fewer, single members.

    members   the contour as it was drawn, each member of the ensemble alone
    contour   the contour 2 mm outwards and 2 mm inwards, each member alone
    slices    in every series one slice fewer: without the one that represents the study, whose place a neighbour takes;
              without the first; without the last. Each member alone

The moved contours of a sequence go through the network together. Fewer slices cost no pass of it: the features of all
slices were computed when the representative one was chosen.
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


def variant_scores(
    patches: Mapping[str, Float32Array],
    as_drawn: Sequence[Mapping[str, DeepFeatures]],
    members: Sequence[Member],
    spacing_mm: float,
    device: str,
) -> VariantScores:
    """Score the variants of one study by every member.

    Parameters
    ----------
    patches : mapping of str to float32, shape (n, 2, 128, 128)
        Of each sequence, on the bundle's grey scale.
    as_drawn : sequence of mapping of str to DeepFeatures
        Of each member by sequence: what was computed for the report.
    members : sequence of Member
        In the same order.
    spacing_mm : float
        Pixel spacing of the patches.
    device : str
        As in the settings.

    Returns
    -------
    VariantScores
        The numbers that each variant has alone, up to a last bit of float32.
    """
    where = str(resolve_device(device))
    moved = {
        role: [with_moved_contour(bag, distance_mm, spacing_mm) for distance_mm in MOVED_MM]
        for role, bag in patches.items()
    }
    # With one slice in each series none can be left out, and the variant would be the report itself.
    several = any(len(bag) > 1 for bag in patches.values())
    kinds = (
        VariantKind.MEMBERS,
        *(VariantKind.CONTOUR for _ in MOVED_MM),
        *((VariantKind.SLICES,) * 3 if several else ()),
    )
    by_member = []
    for member, own in zip(members, as_drawn, strict=True):
        rows = {}
        for role, bags in moved.items():
            network = member.sequence_network(role)
            contours = extract_many([member.patches_on_own_scale(role, bag) for bag in bags], network, where)
            fewer = [features_without(own[role], row, network) for row in _left_out(own[role])] if several else ()
            rows[role] = np.stack([own[role].features, *(deep.features for deep in contours), *fewer])
        by_member.append(score_many(rows, member.score_network(), where))
    scores = Scores(
        np.array([each.prognostic for each in by_member]), np.array([each.predictive for each in by_member])
    )
    if len(members) > 1:
        return VariantScores(kinds, scores)
    # The only member, on the contour as it was drawn, is the report itself.
    return VariantScores(kinds[1:], Scores(scores.prognostic[:, 1:], scores.predictive[:, 1:]))


def _left_out(deep: DeepFeatures) -> tuple[int, int, int]:
    return deep.representative_index, 0, len(deep.slice_features) - 1
