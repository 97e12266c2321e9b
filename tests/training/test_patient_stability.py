"""Abstention and wrong answers with stability, counted by hand on six patients."""

from __future__ import annotations

import numpy as np
import pytest

from workers.stability.held_answers import HeldAnswers
from workers.stability.variants import VariantKind
from workers.training import patient_stability
from workers.training.patient_stability import share_held, stability_figures


def counts(of_members: int, of_contours: int) -> tuple[HeldAnswers, ...]:
    """Of 5 members and 5 contours each."""
    return HeldAnswers(VariantKind.MEMBERS, of_members, 5), HeldAnswers(VariantKind.CONTOUR, of_contours, 5)


# By column: firm, wrong, wrong by more than 5 points, certainty, counts. At 0.9 nine of ten are enough.
SIX = (
    (True, False, False, 3.0, counts(5, 5)),
    (True, True, True, 2.0, counts(4, 5)),
    (True, True, False, 1.5, counts(4, 4)),  # not stable
    (False, False, False, 0.5, counts(5, 5)),
    (False, True, True, 0.4, counts(0, 1)),
    (False, True, False, 0.1, counts(5, 4)),
)


def figures(monkeypatch: pytest.MonkeyPatch, sample: int) -> dict[str, object]:
    monkeypatch.setattr(patient_stability, "SAMPLE", sample)
    firm, wrong, grossly = (np.array([row[column] for row in SIX], dtype=np.bool_) for column in range(3))
    known = {number: row[4] for number, row in enumerate(SIX) if row[0] or number < sample}
    return stability_figures(known, firm, wrong, grossly, np.array([row[3] for row in SIX]), 0.9)


def test_six_patients_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures(monkeypatch, 6)
    assert (found["n"], found["minimum_share"]) == (6, 0.9)
    # Given are the first two; the third is firm and not stable.
    assert (found["abstention"], found["unstable_of_firm"]) == (0.6667, 0.3333)
    assert (found["wrong_of_firm"], found["grossly_wrong_of_firm"]) == (0.5, 0.5)
    every = found["every"]
    assert isinstance(every, dict)
    # Stable are patients 1, 2, 4 and 6: two of them wrong; 3 and 5 are both wrong.
    assert (every["n"], every["stable"]) == (6, 0.6667)
    assert (every["wrong_of_stable"], every["wrong_of_unstable"]) == (0.5, 1.0)
    # (5 + 4 + 4 + 5 + 0 + 5) / 30 and (5 + 5 + 4 + 5 + 1 + 4) / 30.
    assert every["held"] == {"members": 0.7667, "contour": 0.8}
    # The stable ones first (1, 2, 4, 6), then 3 and 5: 0/1, 1/2, 1/3, 2/4, 3/5, 4/6 wrong.
    curve = every["wrong_by_share_answered"]
    assert [curve[share] for share in ("0.1", "0.3", "0.5", "0.6", "0.8", "1.0")] == [0, 0.5, 0.3333, 0.5, 0.6, 0.6667]
    # By certainty alone (1, 2, 3, 4, 5, 6): 0/1, 1/2, 2/3, 2/4, 3/5, 4/6.
    without = every["wrong_by_share_answered_without"]
    assert [without[share] for share in ("0.1", "0.3", "0.5", "0.6", "0.8", "1.0")] == [
        0, 0.5, 0.6667, 0.5, 0.6, 0.6667,
    ]  # fmt: skip


def test_beyond_the_sample_firm_answers_alone_are_recomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, of_sample = figures(monkeypatch, 6), figures(monkeypatch, 2)
    assert {name: value for name, value in whole.items() if name != "every"} == {
        name: value for name, value in of_sample.items() if name != "every"
    }
    assert of_sample["every"]["n"] == 2  # type: ignore[index]


def test_the_share_counts_recomputations_and_not_kinds() -> None:
    parts = HeldAnswers(VariantKind.MEMBERS, 5, 5), HeldAnswers(VariantKind.SLICES, 0, 15)
    assert share_held(parts) == 0.25
