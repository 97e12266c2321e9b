"""What the program makes of a stage text; `cptdn clinical check-stage` prints it."""

from __future__ import annotations

from typing import Any

from config.errors import InputError
from config.indication.nasopharynx_staging import stage_group
from config.indication.profile import StageGate
from config.settings import Settings
from node.cases.stage import StageValue, parse_stage
from node.cases.stage_gate import judge_stage


def check_stage_text(
    text: str, gate: StageGate, settings: Settings, edition: str | None = None, ene: str | None = None
) -> dict[str, Any]:
    """Read one stage text and judge it.

    Parameters
    ----------
    text : str
        As written.
    gate : StageGate
        The stage of the active bundle.
    settings : Settings
        The site's default edition.
    edition, ene : str, optional
        As of `cptdn clinical set`.

    Returns
    -------
    dict
        ``text``, ``t``, ``n``, ``m``, ``prefix``, ``edition``, ``ene``, ``group``, ``eligible`` (yes, no or ask) and
        ``reason``. A text that cannot be read is a question.
    """
    reason, stage = "", StageValue()
    try:
        stage = parse_stage(text, edition, default_edition=settings.clinical.stage_edition_default, ene=ene)
        judgement = judge_stage(stage, gate)
        eligible, reason = judgement.eligible, judgement.reason
        reason = " ".join((reason, *(sentence for _, sentence in judgement.warnings)))
    except InputError as error:
        eligible, reason = "ask", f"{str(error)[:1].upper()}{str(error)[1:]}."
    return {
        "text": text,
        "t": stage.t,
        "n": stage.n,
        "m": stage.m,
        "prefix": stage.prefix,
        "edition": stage.edition,
        "ene": stage.ene,
        "group": stage_group(stage.t, stage.n, stage.m, stage.edition),
        "eligible": eligible,
        "reason": reason,
    }
