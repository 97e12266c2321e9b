"""Whether a stage is one that the model answers for, across editions.

T3N1M0 of the 9th edition is contained in T3N1M0 of the 8th: the 9th moves nodes with advanced extranodal extension
from N1 to N3, and T is the same. T3N1M0 of the 7th is not: its N1 reaches down to the supraclavicular fossa, the 8th's
to the cricoid cartilage.

References
----------
See `config.indication.nasopharynx_staging`; the gate is that of Zhong et al., EBioMedicine 2021;70:103522.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config.indication.nasopharynx_staging import is_defined, main_category, other_group, stage_group
from config.indication.profile import StageGate
from config.messages.message import message, sentences
from node.cases.stage import StageValue

Eligible = Literal["yes", "no", "ask"]
NOT_BEFORE_TREATMENT = {
    "y": message("stage.times.y"), "r": message("stage.times.r"), "p": message("stage.times.p"),
    "a": message("stage.times.a"),
}  # fmt: skip


@dataclass(frozen=True)
class StageJudgement:
    """The answer about one stage.

    Attributes
    ----------
    eligible : {"yes", "no", "ask"}
        Whether the model is for this stage; "ask" where the record leaves it open.
    reason : str
        Sentences for people: what was found, and for "ask" what to enter.
    code : str
        Reason code of the contract; empty for "yes".
    is_open : bool
        Whether no recorded category speaks against the model, so that a site may report with the stage unverified.
    warnings : tuple of (code, sentence)
        For the report of an eligible stage.
    """

    eligible: Eligible
    reason: str
    code: str = ""
    is_open: bool = False
    warnings: tuple[tuple[str, str], ...] = ()


def judge_stage(stage: StageValue, gate: StageGate) -> StageJudgement:
    """Judge one stage.

    Parameters
    ----------
    stage : StageValue
        As `parse_stage` reads it.
    gate : StageGate
        The stage and edition that the model was fitted with.

    Returns
    -------
    StageJudgement
        "no" for another category whatever the edition, with one exception: an N3 of the 9th edition may be N3 by
        extranodal extension alone, which the 8th does not count.
    """
    needed = message("stage.needed", stage=gate.text, edition=gate.edition)
    times = [NOT_BEFORE_TREATMENT[letter] for letter in stage.prefix if letter in NOT_BEFORE_TREATMENT]
    if times:
        text = message("stage_not_used.times", prefix=stage.prefix, stage=stage.text, when=times[0], needed=needed)
        return StageJudgement(
            "no", text, "prior_treatment" if times[0] != NOT_BEFORE_TREATMENT["p"] else "stage_unknown"
        )
    other = _other_category(stage, gate, needed)
    if other is not None:
        return other
    question = _question(stage, gate, needed)
    if question is not None:
        return StageJudgement("ask", question, "stage_unknown", is_open=True)
    return _eligible(stage, gate)


def described(stage: StageValue) -> str:
    """Return the stage with its edition and group, for example ``T3N1M0 (AJCC 8, stage III)``.

    Parameters
    ----------
    stage : StageValue
        Any stage.
    """
    if stage.edition is None:
        if stage.edition_text:
            return message("stage.edition_unknown", stage=stage.text, edition=stage.edition_text)
        return message("stage.edition_not_stated", stage=stage.text)
    group = stage_group(stage.t, stage.n, stage.m, stage.edition)
    kind = f"stage.described{'_default' if stage.edition_assumed else ''}"
    if group:
        return message(f"{kind}_group", stage=stage.text, edition=stage.edition, group=group)
    return message(kind, stage=stage.text, edition=stage.edition)


def _parts(stage: StageValue, gate: StageGate) -> tuple[tuple[str, str | None, str], ...]:
    return ("T", stage.t, gate.t), ("N", stage.n, gate.n), ("M", stage.m, gate.m)


def _other_category(stage: StageValue, gate: StageGate, needed: str) -> StageJudgement | None:
    """Return the refusal of another category, or the question that goes with it."""
    differing = [
        letter for letter, part, fitted in _parts(stage, gate)
        if part is not None and main_category(part) != main_category(fitted)
    ]  # fmt: skip
    if not differing or (_is_n3_by_extension(stage, gate) and stage.ene_only and differing == ["N"]):
        return None
    text = message("stage.is_other", stage=described(stage), needed=needed)
    if stage.edition is None and "M" not in differing:
        # The letters mean other things in other systems, M1 does not.
        return StageJudgement("ask", message("stage_unknown.enter_edition", text=text), "stage_unknown")
    if differing == ["N"] and _is_n3_by_extension(stage, gate) and stage.ene != "no":
        question = message("stage_unknown.n3_by_extension", text=text, n=gate.n, edition=gate.edition)
        return StageJudgement("ask", question, "stage_unknown")
    # A tumour of the masticator space is T4 in the 7th edition, and may be T2 or T3 in the 8th.
    refusal = (
        message("stage_not_eligible.other", text=text)
        if stage.edition != "7"
        else message("stage_not_eligible.other_by_edition", text=text, edition=gate.edition)
    )
    return StageJudgement("no", refusal, "stage_not_eligible")


def _is_n3_by_extension(stage: StageValue, gate: StageGate) -> bool:
    return stage.edition == "9" and gate.edition == "8" and stage.n == "N3" and gate.n in ("N1", "N2")


def _question(stage: StageValue, gate: StageGate, needed: str) -> str | None:
    """Return what must be known beside categories that agree with the gate."""
    missing = [letter for letter, part, _ in _parts(stage, gate) if part is None]
    if len(missing) == 3:
        return message("stage_unknown.not_known", needed=needed)
    if missing:
        return message(
            "stage_unknown.parts_missing", stage=stage.text, missing=missing, needed=needed, wanted=gate.text
        )
    if stage.edition_text:
        return message(
            "stage_unknown.edition_not_known",
            stage=stage.text,
            stated=stage.edition_text,
            needed=needed,
            edition=gate.edition,
        )
    if stage.edition is None:
        return message("stage_unknown.without_edition", stage=stage.text, needed=needed, edition=gate.edition)
    undefined = [
        part for _, part, fitted in _parts(stage, gate)
        if part is not None and part != fitted and not is_defined(part, stage.edition)
    ]  # fmt: skip
    if undefined:
        return message(
            "stage_unknown.undefined_category",
            categories=undefined,
            edition=stage.edition,
            stage=stage.text,
            needed=needed,
        )
    group = stage_group(stage.t, stage.n, stage.m, stage.edition)
    if stage.group and group and not _is_group_or_its_part(group, stage.group):
        return message(
            "stage_unknown.group_differs", stage=stage.text, group=group, edition=stage.edition, stated=stage.group
        )
    return _question_of_the_edition(stage, gate, needed)


def _is_group_or_its_part(group: str, stated: str) -> bool:
    """Return whether a stated group is the group, or the group without its letter: IV for IVA, not II for III."""
    return stated in (group, group.rstrip("ABC"))


def _question_of_the_edition(stage: StageValue, gate: StageGate, needed: str) -> str | None:
    if stage.edition == gate.edition or (stage.edition, gate.edition) == ("9", "8"):
        return None
    if (stage.edition, gate.edition) == ("8", "9") and (stage.ene == "no" or gate.n not in ("N1", "N2")):
        return None
    return message(
        "stage_unknown.other_edition",
        stage=stage.text,
        edition=stage.edition,
        needed=needed,
        n=stage.n,
        wanted=gate.edition,
    )


def _eligible(stage: StageValue, gate: StageGate) -> StageJudgement:
    if stage.edition == gate.edition:
        reason = message("stage.as_needed", stage=described(stage))
    else:
        reason = message(
            "stage.contained_without_extension" if stage.ene_only else "stage.contained",
            stage=described(stage),
            fitted=gate.text,
            edition=gate.edition,
            group=stage_group(gate.t, gate.n, gate.m, gate.edition),
        )
    return StageJudgement("yes", sentences([reason, *_note(stage)]), warnings=_warnings(stage))


def _note(stage: StageValue) -> tuple[str, ...]:
    """Say which group the other edition has, for a stage of the 8th."""
    other = other_group(stage.t, stage.n, stage.m, stage.edition, stage.ene)
    if stage.edition != "8" or other is None:
        return ()
    groups = other[1]
    if len(groups) == 1:
        return (message("stage.in_9th", group=groups[0]),)
    return (message("stage.in_9th_open", group=groups[0], other=groups[1]),)


def _warnings(stage: StageValue) -> tuple[tuple[str, str], ...]:
    if stage.ene != "yes":
        return ()
    if stage.edition == "9" and not stage.ene_only:
        text = message("extranodal_extension.check", n=stage.n)
    else:
        text = message("extranodal_extension.not_counted")
    return (("extranodal_extension", text),)
