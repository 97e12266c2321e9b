"""How often an answer is withheld, and how often one that is given is wrong: for patients whose truth is known.

The answer is that of `config.answer.decide` by the rule of the interval: firm where the 95 % interval of the difference
excludes the threshold, else "no reliable difference". The risk-coverage curve tells what another limit would give: the
patients are ordered by how far the threshold is from their difference, measured in half-widths of their interval on
that side, and for each share of them, the surest first, it names the share whose true difference is on the other side.

Reference: El-Yaniv and Wiener, J Mach Learn Res 2010;11:1605 (risk-coverage curve).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from config.answer import decide
from config.arrays import BoolArray, FloatArray
from config.indication.conventions import displayed_difference
from config.indication.vocabulary import AnswerRule, TreatmentArm
from workers.nomogram.result import NomogramResult

CURVE_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
GROSSLY_WRONG = 0.05  # the true difference is beyond the threshold by more than this
WRONG_GOAL = 0.02  # of the firm answers
ABSTENTION_GOAL = 0.30
DIGITS = 4


def answers_against_truth(
    difference: FloatArray, low: FloatArray, high: FloatArray, true: FloatArray, threshold: float
) -> dict[str, Any]:
    """Return abstention, wrong answers among the firm ones, and the risk-coverage curve.

    Parameters
    ----------
    difference, low, high : array, shape (n,)
        Predicted difference of both arms, as it is displayed, and its 95 % interval, as fractions.
    true : array, shape (n,)
        True difference.
    threshold : float
        ICT+CCRT is the answer above it.

    Returns
    -------
    dict
        ``abstention``: share whose interval includes the threshold; ``firm``: the rest; ``wrong_of_firm``: share of
        these whose true difference is on the other side, None without one; ``grossly_wrong_of_firm``: the same by more
        than 5 percentage points; ``answered_at_2_percent_wrong``: the largest share that could be answered, the surest
        first, with at most 2 % wrong; ``wrong_by_share_answered``: the risk-coverage curve.
    """
    firm = firm_answers(difference, low, high, threshold)
    wrong, grossly = wrong_answers(difference, true, threshold)
    curve = wrong_by_rank(certainty(difference, low, high, threshold), wrong)
    n = len(wrong)
    acceptable = np.flatnonzero(curve <= WRONG_GOAL)
    return {
        "abstention": round(float(np.mean(~firm)), DIGITS),
        "firm": round(float(np.mean(firm)), DIGITS),
        "wrong_of_firm": share_of(wrong[firm]),
        "grossly_wrong_of_firm": share_of(grossly[firm]),
        "answered_at_2_percent_wrong": round((int(acceptable[-1]) + 1) / n, DIGITS) if len(acceptable) else 0.0,
        "wrong_by_share_answered": curve_by_share(curve),
    }


def displayed_answers(result: NomogramResult) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the difference of both arms at the first horizon as it is displayed, and its interval, shape (n,) each."""
    ict, ccrt = (result.arms[arm].dfs[:, 0].tolist() for arm in (TreatmentArm.ICT_CCRT, TreatmentArm.CCRT))
    difference = np.array([displayed_difference(one, other) for one, other in zip(ict, ccrt, strict=True)])
    return difference, result.difference_low[:, 0], result.difference_high[:, 0]


def firm_answers(difference: FloatArray, low: FloatArray, high: FloatArray, threshold: float) -> BoolArray:
    """Return where the rule of the interval gives one of the regimens, shape (n,); arguments as above."""
    rows = zip(difference.tolist(), low.tolist(), high.tolist(), strict=True)
    decisions = (decide(gain, (lowest, highest), threshold, AnswerRule.INTERVAL) for gain, lowest, highest in rows)
    return np.array([decision.answer.arm is not None for decision in decisions], dtype=np.bool_)


def wrong_answers(difference: FloatArray, true: FloatArray, threshold: float) -> tuple[BoolArray, BoolArray]:
    """Return where the truth is on the other side of the threshold, and where by over 5 points, shape (n,) each."""
    wrong = (difference > threshold) != (true > threshold)
    return wrong, wrong & (np.abs(true - threshold) > GROSSLY_WRONG)


def certainty(difference: FloatArray, low: FloatArray, high: FloatArray, threshold: float) -> FloatArray:
    """Return the distance from the difference to the threshold in half-widths of the interval on that side.

    Parameters
    ----------
    difference, low, high : array, shape (n,)
        With ``low <= difference <= high``.
    threshold : float
        On the same scale.

    Returns
    -------
    array, shape (n,)
        Above 1 exactly where the interval excludes the threshold; infinite for an interval without width.
    """
    above = difference > threshold
    reach = np.where(above, difference - low, high - difference)
    distance = np.abs(difference - threshold)
    return np.divide(distance, reach, out=np.full_like(distance, np.inf), where=reach > 0)


def wrong_by_rank(certain: FloatArray, wrong: BoolArray) -> FloatArray:
    """Return the share of wrong answers among the k surest, for k = 1 to n.

    Parameters
    ----------
    certain : array, shape (n,)
        A larger value is a surer answer; of equally sure ones the first comes first.
    wrong : bool array, shape (n,)
        By patient.

    Returns
    -------
    array, shape (n,)
        Element k - 1 is of the k surest.
    """
    order = np.argsort(-certain, kind="stable")
    return np.asarray(np.cumsum(wrong[order]) / np.arange(1, len(order) + 1))


def curve_by_share(curve: FloatArray) -> dict[str, float]:
    """Return the risk-coverage curve at the shares of `CURVE_SHARES`; `curve` is what `wrong_by_rank` returns."""
    # Rounded up: a share of few patients answers at least one.
    return {
        f"{share:.1f}": round(float(curve[int(np.ceil(round(share * len(curve), 6))) - 1]), DIGITS)
        for share in CURVE_SHARES
    }


def share_of(flags: BoolArray) -> float | None:
    """Return the share of the true ones to four decimals; None of an empty array."""
    return round(float(flags.mean()), DIGITS) if len(flags) else None
