"""In how many variants the answer holds: counted by hand with the published nomogram."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from config.indication.conventions import displayed_difference
from config.indication.vocabulary import TreatmentArm
from config.settings import BUNDLES
from workers.nomogram.nomogram_file import load_nomogram
from workers.scores.scoring import Scores
from workers.stability.held_answers import HeldAnswers, held_answers
from workers.stability.variants import VariantKind, VariantScores
from workers.survival.covariates import PatientCovariates

NOMOGRAM = load_nomogram(BUNDLES / "demonstration" / "nomogram.json")
M, C, S = VariantKind.MEMBERS, VariantKind.CONTOUR, VariantKind.SLICES
KINDS = (M, C, C, S, S)


def patient(predictive: float) -> PatientCovariates:
    return PatientCovariates(40.0, 1.0, 0.0, predictive)


def variants(predictive: list[list[float]], kinds: tuple[VariantKind, ...] = KINDS) -> VariantScores:
    table = np.array(predictive)
    return VariantScores(kinds, Scores(np.zeros_like(table), table))


def test_two_members_by_hand() -> None:
    # At threshold 0 the published nomogram favours ICT+CCRT below a Predictive-score of -0.112 (workers/nomogram), for
    # the report (-0.4) and for seven of these ten.
    table = variants([[-0.5, -0.3, -0.2, 0.0, -0.4], [-0.4, -0.05, -0.6, 0.3, -0.15]])
    assert held_answers(table, patient(-0.4), [True], NOMOGRAM, 60.0, 0.0) == (
        HeldAnswers(M, 2, 2), HeldAnswers(C, 3, 4), HeldAnswers(S, 2, 4),
    )  # fmt: skip
    # A report on the other side counts the other three.
    assert sum(part.held for part in held_answers(table, patient(0.2), [True], NOMOGRAM, 60.0, 0.0)) == 3


def test_at_threshold_0_the_category_of_ebv_dna_changes_nothing() -> None:
    table = variants([[-0.5, -0.3, -0.2, 0.0, -0.4]])
    for categories in ([False], [True], [False, True]):
        assert sum(part.held for part in held_answers(table, patient(-0.4), categories, NOMOGRAM, 60.0, 0.0)) == 4


def test_with_unknown_ebv_dna_a_variant_holds_where_it_holds_in_both_categories() -> None:
    # A gain grows with the risk: between the two limits of 10 points one category gains enough and the other does not.
    scores, threshold = np.linspace(-0.9, 0.3, 25).round(3), 0.10
    by_hand = {
        above: NOMOGRAM.dfs_by_arm(PatientCovariates(np.full(25, 40.0), np.full(25, above), np.zeros(25), scores), [60])
        for above in (0.0, 1.0)
    }
    gains = {
        above: np.array([
            displayed_difference(ict, ccrt)
            for ict, ccrt in zip(
                dfs[TreatmentArm.ICT_CCRT].ravel().tolist(), dfs[TreatmentArm.CCRT].ravel().tolist(), strict=True
            )
        ])
        for above, dfs in by_hand.items()
    }  # fmt: skip
    low, high = gains[0.0] > threshold, gains[1.0] > threshold
    assert (low != high).any()
    table = variants([scores.tolist()], (C,) * 25)
    (found,) = held_answers(table, patient(-0.9), [False, True], NOMOGRAM, 60.0, threshold)
    assert (found.held, found.of) == (int((low & high).sum()), 25)


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.floats(-1, 1), min_size=5, max_size=5), min_size=1, max_size=4),
    st.floats(-1, 1),
    st.floats(-0.2, 0.2),
    st.booleans(),
)
def test_what_holds_for_one_answer_does_not_hold_for_the_other(
    table: list[list[float]], own: float, threshold: float, above: bool
) -> None:
    every = variants([[*row, own] for row in table], (*KINDS, S))
    parts = held_answers(every, patient(round(own, 4)), [above], NOMOGRAM, 60.0, threshold)
    assert all(0 <= part.held <= part.of for part in parts)
    assert sum(part.of for part in parts) == 6 * len(table)
    # The report's own scores among the variants always hold.
    assert parts[-1].held >= len(table)


def test_every_kind_is_counted_once_in_the_order_of_the_variants() -> None:
    parts = held_answers(variants([[-0.4] * 5]), patient(-0.4), [True], NOMOGRAM, 60.0, 0.0)
    assert [(part.kind, part.of) for part in parts] == [(M, 1), (C, 2), (S, 2)]
    assert sum(part.held for part in parts) == 5
