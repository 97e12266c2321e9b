"""The stage of a patient for one MR: which of the recorded ones counts, and what follows from it.

Used is the newest clinical stage before treatment, by the day of the staging and not of its arrival. Stages after
treatment (y), of a recurrence (r), of an operation (p) or an autopsy (a) are named and not used: a restaging says
nothing about the patient before treatment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from config.indication.profile import StageGate
from config.messages.message import message
from node.cases.clinical_facts import ClinicalFacts, StageFact
from node.cases.stage import StageValue
from node.cases.stage_gate import NOT_BEFORE_TREATMENT, StageJudgement, described, judge_stage


@dataclass(frozen=True)
class StageAnswer:
    """The answer about the stage of one patient.

    Attributes
    ----------
    judgement : StageJudgement
        Of the stage that counts; of an unknown one where none does.
    fact : StageFact or None
        The stage that counts.
    unused : tuple of str
        A sentence for each stage that was not used.
    treated_before : str
        A sentence where a stage of a day before the MR says that treatment had begun; else empty.
    left_out : tuple of (StageFact, str)
        The stages that were not used, each with half a sentence.
    """

    judgement: StageJudgement
    fact: StageFact | None
    unused: tuple[str, ...]
    treated_before: str = ""
    left_out: tuple[tuple[StageFact, str], ...] = ()

    @property
    def text(self) -> str:
        """The reason, and the stages that were not used."""
        return " ".join((self.judgement.reason, *self.unused))

    def to_json(self) -> dict[str, Any]:
        """Return the stage as a request for computation records it; its form is part of the request's digest.

        Returns
        -------
        dict
            Categories, edition, whether the stage is verified, provenance; extranodal extension where it is recorded.
        """
        stage = self.fact.stage if self.fact else StageValue()
        extension = {} if stage.ene is None else {"ene": stage.ene}
        return {
            "t": stage.t,
            "n": stage.n,
            "m": stage.m,
            "edition": stage.edition,
            **extension,
            "verified": self.judgement.eligible != "ask",
            "provenance": self.fact.provenance.to_json() if self.fact else None,
        }


def answer_stage(facts: ClinicalFacts, gate: StageGate, study_day: date | None, days_after_mr: int = 14) -> StageAnswer:
    """Choose the stage that counts for one MR, and judge it.

    Parameters
    ----------
    facts : ClinicalFacts
        Its stages, and the start of treatment where it is known.
    gate : StageGate
        The stage that the model was fitted with.
    study_day : date or None
        Day of the MR.
    days_after_mr : int
        The longest allowed time between MR and treatment: where the start of treatment is not known, a later stage is
        after it in every patient whom the model is for.

    Returns
    -------
    StageAnswer
        Equal facts give an equal answer in whatever order they arrived.
    """
    start = facts.treatment_start.day if facts.treatment_start else None
    recorded: Sequence[StageFact] = facts.stages or ((facts.stage,) if facts.stage else ())
    last = study_day + timedelta(days=days_after_mr) if study_day is not None else None
    reasons = [(fact, _reason_against(fact, start, study_day, last)) for fact in recorded]
    usable = [fact for fact, reason in reasons if reason is None]
    unused = tuple(
        message("stage_not_used.reason", prefix=fact.stage.prefix, stage=described(fact.stage), day=_day(fact),
                reason=reason)
        for fact, reason in reasons if reason is not None
    )  # fmt: skip
    fact = usable[-1] if usable else None
    judgement = judge_stage(fact.stage if fact else StageValue(), gate)
    treated = [
        message("prior_treatment.stage", prefix=other.stage.prefix, stage=other.stage.text, day=_day(other))
        for other in recorded if fact is None and _says_treated_before(other, study_day)
    ]  # fmt: skip
    left_out = tuple(
        (fact, message("stage_not_used.it", reason=reason)) for fact, reason in reasons if reason is not None
    )
    return StageAnswer(judgement, fact, unused, treated[0] if treated else "", left_out)


def _reason_against(fact: StageFact, start: date | None, study_day: date | None, last: date | None) -> str | None:
    for letter in fact.stage.prefix:
        if letter in NOT_BEFORE_TREATMENT:
            return message("stage_not_used.made_at", when=NOT_BEFORE_TREATMENT[letter])
    day = fact.provenance.observed_on
    if day is None:
        return None
    if start is not None and day > start:
        return message("stage_not_used.after_treatment", start=start)
    if start is None and study_day is not None and last is not None and day > last:
        return message("stage_not_used.after_mr", days=(last - study_day).days, study_day=study_day)
    return None


def _says_treated_before(fact: StageFact, study_day: date | None) -> bool:
    day = fact.provenance.observed_on
    return bool({"y", "r"} & set(fact.stage.prefix)) and day is not None and study_day is not None and day <= study_day


def _day(fact: StageFact) -> str:
    day = fact.provenance.observed_on
    return message("part.of_day", day=day) if day else ""
