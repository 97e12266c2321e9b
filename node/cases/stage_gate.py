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
from node.cases.stage import StageValue

Eligible = Literal["yes", "no", "ask"]
NOT_BEFORE_TREATMENT = {
    "y": "after treatment had begun", "r": "for a recurrence", "p": "by an operation (pathological)",
    "a": "by an autopsy",
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
    needed = f"the model is for {gate.text} (AJCC {gate.edition})"
    times = [NOT_BEFORE_TREATMENT[letter] for letter in stage.prefix if letter in NOT_BEFORE_TREATMENT]
    if times:
        text = f"The stage {stage.prefix}{stage.text} was made {times[0]} and is not used; {needed} before treatment."
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
        edition = f"edition {stage.edition_text!r}, which is not known" if stage.edition_text else "edition not stated"
        return f"{stage.text} ({edition})"
    group = stage_group(stage.t, stage.n, stage.m, stage.edition)
    default = ", the site's default because none is named" if stage.edition_assumed else ""
    return f"{stage.text} (AJCC {stage.edition}{default}{f', stage {group}' if group else ''})"


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
    text = f"The stage is {described(stage)}; {needed}"
    if stage.edition is None and "M" not in differing:
        # The letters mean other things in other systems, M1 does not.
        return StageJudgement("ask", f"{text}: enter the stage with its edition.", "stage_unknown")
    if differing == ["N"] and _is_n3_by_extension(stage, gate) and stage.ene != "no":
        question = (
            f"{text}. Is it N3 only by extranodal extension, and {gate.n} without it? Answer with --ene yes or no "
            "(bilateral neck nodes, nodes above 6 cm or below the cricoid cartilage: no), or enter the stage of the "
            f"{gate.edition}th edition."
        )
        return StageJudgement("ask", question, "stage_unknown")
    # A tumour of the masticator space is T4 in the 7th edition, and may be T2 or T3 in the 8th.
    hint = "" if stage.edition != "7" else f" Where AJCC {gate.edition} gives another category, enter that stage."
    return StageJudgement("no", f"{text}.{hint}", "stage_not_eligible")


def _is_n3_by_extension(stage: StageValue, gate: StageGate) -> bool:
    return stage.edition == "9" and gate.edition == "8" and stage.n == "N3" and gate.n in ("N1", "N2")


def _question(stage: StageValue, gate: StageGate, needed: str) -> str | None:
    """Return what must be known beside categories that agree with the gate."""
    missing = [letter for letter, part, _ in _parts(stage, gate) if part is None]
    if len(missing) == 3:
        return f"The stage is not known; {needed}."
    if missing:
        return (
            f"The stage {stage.text} does not state {' and '.join(missing)}; {needed}: enter T, N and M, for example "
            f"{gate.text}."
        )
    if stage.edition_text:
        return (
            f"The stage {stage.text} is of edition {stage.edition_text!r}, which is not known; {needed}: enter the "
            f"stage of the {gate.edition}th or 9th edition with its number."
        )
    if stage.edition is None:
        return f"The stage {stage.text} is without an edition; {needed}: enter it with --ajcc {gate.edition}."
    undefined = [
        part for _, part, fitted in _parts(stage, gate)
        if part is not None and part != fitted and not is_defined(part, stage.edition)
    ]  # fmt: skip
    if undefined:
        return (
            f"The category {' and '.join(undefined)} is none of AJCC {stage.edition} for the nasopharynx, so the stage "
            f"{stage.text} may be of another system; {needed}: enter the stage of that edition."
        )
    group = stage_group(stage.t, stage.n, stage.m, stage.edition)
    if stage.group and group and not _is_group_or_its_part(group, stage.group):
        return (
            f"The stage {stage.text} is stage {group} in AJCC {stage.edition}, but stage {stage.group} is recorded "
            "with it; enter the stage again with the right edition."
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
    return (
        f"The stage {stage.text} is of edition {stage.edition}; {needed}: nodes that are {stage.n} there may be N3 in "
        f"edition {gate.edition}. Enter the stage of edition {gate.edition}."
    )


def _eligible(stage: StageValue, gate: StageGate) -> StageJudgement:
    if stage.edition == gate.edition:
        reason = f"The stage is {described(stage)}, as the model needs."
    else:
        group = stage_group(gate.t, gate.n, gate.m, gate.edition)
        because = " without the extranodal extension" if stage.ene_only else ""
        reason = (
            f"The stage {described(stage)} is contained in {gate.text} of AJCC {gate.edition} (stage {group})"
            f"{because}, for which the model is."
        )
    return StageJudgement("yes", f"{reason}{_note(stage)}", warnings=_warnings(stage))


def _note(stage: StageValue) -> str:
    """Say which group the other edition has, for a stage of the 8th."""
    other = other_group(stage.t, stage.n, stage.m, stage.edition, stage.ene)
    if stage.edition != "8" or other is None:
        return ""
    groups = other[1]
    if len(groups) == 1:
        return f" In the 9th it is stage {groups[0]}."
    return (
        f" In the 9th it is stage {groups[0]}, or N3 and stage {groups[1]} with advanced extranodal extension, "
        "which is not recorded."
    )


def _warnings(stage: StageValue) -> tuple[tuple[str, str], ...]:
    if stage.ene != "yes":
        return ()
    if stage.edition == "9" and not stage.ene_only:
        text = f"Extranodal extension is recorded with {stage.n} of AJCC 9, where an advanced one is N3: check it."
    else:
        text = (
            "Extranodal extension is recorded: where it is advanced, it is N3 and stage III in the 9th edition. "
            "The edition of the model does not count it, so the numbers may be too favourable for this patient."
        )
    return (("extranodal_extension", text),)
