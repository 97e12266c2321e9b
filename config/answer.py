"""The one place where an answer is decided: ICT+CCRT, CCRT, or no reliable difference, from displayed numbers.

Report, command line, pages and batch call `decide`; none of them compares a difference with a threshold by itself, so
that the word never contradicts the numbers beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.indication.conventions import THRESHOLD_DECIMALS, round_dfs, round_to
from config.indication.vocabulary import Answer, AnswerGround, AnswerRule


@dataclass(frozen=True)
class Decision:
    """An answer and its ground."""

    answer: Answer
    ground: AnswerGround


def decide(
    difference: float,
    ci95: tuple[float, float] | None,
    threshold: float,
    rule: AnswerRule,
    *,
    is_valid: bool = True,
    is_stable: bool = True,
) -> Decision:
    """Decide between both regimens at the horizon of the decision.

    Parameters
    ----------
    difference : float
        DFS under ICT+CCRT minus DFS under CCRT as it is displayed (`conventions.displayed_difference`), a fraction.
    ci95 : pair of float or None
        Ends of its 95 % interval as fractions; they count rounded, as they are displayed. None: there is none.
    threshold : float
        ICT+CCRT is better by the site's standard where it gains more than this fraction.
    rule : AnswerRule
        Whether interval or bare difference decides.
    is_valid : bool
        Nothing invalidates the result for this patient (`severities`).
    is_stable : bool
        The answer holds in the share of recomputations that the site asks for; true where none were made.

    Returns
    -------
    Decision
        With ``rule="interval"`` never a regimen whose interval includes the threshold, either end counted as included.
    """
    gain, limit = round_dfs(difference), round_to(threshold, THRESHOLD_DECIMALS)
    if not is_valid:
        return Decision(Answer.NO_RELIABLE_DIFFERENCE, AnswerGround.NOT_VALID)
    if rule is AnswerRule.INTERVAL:
        if ci95 is None:
            return Decision(Answer.NO_RELIABLE_DIFFERENCE, AnswerGround.NO_INTERVAL)
        # With the difference itself: rounded rates may differ by a tenth more or less than the interval around the
        # exact difference allows, and a regimen needs all three displayed numbers on its side.
        shown = (gain, *map(round_dfs, ci95))
        if min(shown) <= limit <= max(shown):
            return Decision(Answer.NO_RELIABLE_DIFFERENCE, AnswerGround.INTERVAL_INCLUDES_THRESHOLD)
    if not is_stable:
        return Decision(Answer.NO_RELIABLE_DIFFERENCE, AnswerGround.NOT_STABLE)
    firm = AnswerGround.POINT_DIFFERENCE if rule is AnswerRule.POINT else AnswerGround.INTERVAL_EXCLUDES_THRESHOLD
    return Decision(Answer.ICT_CCRT if gain > limit else Answer.CCRT, firm)
