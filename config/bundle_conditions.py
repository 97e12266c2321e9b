"""The conditions of use that follow from the bundle alone: its admission, and its agreement with randomised trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.bundle_admission import judge_bundle
from config.indication.vocabulary import Condition, ConditionState
from config.trial_evidence import TrialEvidence, compare_with_trials


@dataclass(frozen=True)
class ModelCondition:
    """State and grounds of one condition, the same for every study that the bundle computes."""

    code: Condition
    state: ConditionState
    text: str


def model_conditions(content: Mapping[str, Any], evidence: TrialEvidence) -> tuple[ModelCondition, ...]:
    """Return the conditions of use that a bundle decides.

    Parameters
    ----------
    content : mapping
        Its manifest.
    evidence : TrialEvidence
        The site's table of trials.

    Returns
    -------
    tuple of ModelCondition
        ``model_admission``, then ``trial_evidence``; each with all its findings in the text.
    """
    admission, verdict = judge_bundle(content), compare_with_trials(content, evidence)
    state = ConditionState.MET if admission.state == "admitted" else ConditionState.NOT_MET
    return (
        ModelCondition(Condition.MODEL_ADMISSION, state, admission.text),
        ModelCondition(Condition.TRIAL_EVIDENCE, verdict.state, verdict.text),
    )
