"""The rule by which this site recommends: the active bundle's facts, the site's choices, and no contradiction.

A model answers for the stage, the biomarker threshold and the horizons that it was fitted with; its manifest names
them. A setting may repeat them, never change them. The site chooses which of the horizons decides, and by how much one
arm has to be better.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from config.bundle_conditions import ModelCondition, model_conditions
from config.bundle_manifest import MANIFEST, BundleManifest, bundle_folder, read_manifest
from config.errors import SettingsError
from config.indication.profile import Indication, StageGate
from config.indication.vocabulary import AnswerRule
from config.settings import Settings
from config.trial_evidence import trial_evidence

CACHED_MANIFESTS = 16


@dataclass(frozen=True)
class DecisionPolicy:
    """What one bundle decides at this site.

    Attributes
    ----------
    indication : Indication
        What the bundle was fitted with.
    horizon_months : int
        The horizon of the recommendation, one of ``indication.horizons_months``.
    threshold : float
        A difference of two probabilities in [-1, 1]: ICT+CCRT is better where it gains more than this.
    rule : AnswerRule
        Whether the interval of the difference decides, or the bare difference; see `config.answer`.
    stability : bool
        Whether the answer is recomputed with slightly other inputs.
    stability_share : float
        In [0, 1]: an answer that holds in a smaller share of the recomputations is "no reliable difference".
    conditions : tuple of ModelCondition
        The conditions of use that the bundle itself decides; empty for an indication without a bundle.
    """

    indication: Indication
    horizon_months: int
    threshold: float
    rule: AnswerRule = AnswerRule.INTERVAL
    stability: bool = True
    stability_share: float = 0.9
    conditions: tuple[ModelCondition, ...] = field(default=(), compare=False)  # say something, decide nothing

    @classmethod
    def of(cls, indication: Indication) -> DecisionPolicy:
        """Return the rule that a model's indication names, where no site has chosen anything.

        Parameters
        ----------
        indication : Indication
            What the model was fitted with.

        Returns
        -------
        DecisionPolicy
            For training and validation, where settings of a site must not count.
        """
        return cls(indication, indication.decision.horizon_months, indication.decision.threshold)

    @property
    def horizons_months(self) -> tuple[int, ...]:
        """The horizons of every report in months, ascending."""
        return self.indication.horizons_months

    @property
    def stage(self) -> StageGate:
        """The clinical stage that the model answers for."""
        return self.indication.stage

    @property
    def ebv_threshold_copies_per_ml(self) -> float:
        """EBV DNA above this many copies per mL of plasma is the higher category."""
        return self.indication.biomarker.threshold

    @property
    def ebv_threshold_inclusive(self) -> bool:
        """Whether a value equal to the threshold is in the higher category."""
        return self.indication.biomarker.threshold_inclusive

    def to_json(self) -> dict[str, Any]:
        """Return the rule as a request for computation records it; its form is part of the request's digest.

        Returns
        -------
        dict
            Horizon in months, threshold as a difference of two probabilities, EBV DNA threshold in copies/mL, the rule
            of the answer and what is asked of its stability.
        """
        return {
            "horizon_months": self.horizon_months,
            "threshold": self.threshold,
            "ebv_threshold_copies_per_ml": self.ebv_threshold_copies_per_ml,
            "ebv_threshold_inclusive": self.ebv_threshold_inclusive,
            "rule": self.rule.value,
            "stability": self.stability,
            "stability_share": self.stability_share,
        }


def active_policy(settings: Settings) -> DecisionPolicy:
    """Return the rule of the configured bundle.

    Raises
    ------
    SettingsError
        A setting contradicts the bundle; the sentence names both values.
    ModelBundleError
        The bundle or its manifest cannot be read.
    """
    return policy_for_bundle(settings, settings.model.bundle)


def policy_for_bundle(settings: Settings, name_or_path: str | Path) -> DecisionPolicy:
    """Return the rule of any bundle under the settings of this site.

    Parameters
    ----------
    settings : Settings
        ``[decision]`` and ``[eligibility]`` are read.
    name_or_path : str or Path
        A name below config/bundles, or a folder.

    Raises
    ------
    SettingsError
        A setting contradicts the bundle; the sentence names both values.
    ModelBundleError
        The bundle or its manifest cannot be read.
    """
    path = bundle_folder(name_or_path) / MANIFEST
    try:
        status = path.stat()
    # Not cached: a bundle that is put in place later counts at once.
    except OSError:
        manifest = read_manifest(name_or_path)  # raises with the names of the known bundles
    else:
        manifest = _manifest_in(path, status.st_mtime_ns, status.st_size)
    return policy_for_manifest(settings, manifest, f"the bundle {str(name_or_path)!r}")


def policy_for_manifest(settings: Settings, manifest: BundleManifest, model: str = "") -> DecisionPolicy:
    """Return the rule of a bundle whose manifest was read, with the conditions of use that the bundle decides.

    Parameters
    ----------
    settings : Settings
        ``[decision]``, ``[eligibility]`` and ``[model] trial_evidence`` are read.
    manifest : BundleManifest
        The bundle.
    model : str
        How an error message calls it; by default by its name.

    Raises
    ------
    SettingsError
        A setting contradicts the bundle, or the table of trials cannot be read.
    """
    policy = policy_of(settings, manifest.indication, model or f"the bundle {manifest.name!r}")
    evidence = trial_evidence(settings.model.trial_evidence)
    return replace(policy, conditions=model_conditions(manifest.content, evidence))


@lru_cache(CACHED_MANIFESTS)
def _manifest_in(path: Path, mtime_ns: int, size: int) -> BundleManifest:
    # Every assessment of a case asks; the time and size of the file are part of the key, so that a bundle that is
    # packed again under a running node counts at once.
    return read_manifest(path.parent)


def policy_of(settings: Settings, indication: Indication, model: str) -> DecisionPolicy:
    """Return the rule of a model that was fitted with ``indication``; what the site does not set is the model's.

    Parameters
    ----------
    settings : Settings
        ``[decision]`` and ``[eligibility]`` are read.
    indication : Indication
        What the model was fitted with.
    model : str
        How an error message calls the model.

    Raises
    ------
    SettingsError
        A setting contradicts the model; the sentence names both values.
    """
    decision, eligibility = settings.decision, settings.eligibility
    biomarker, stage = indication.biomarker, indication.stage
    facts: tuple[tuple[str, Any, Any, str], ...] = (
        ("decision.ebv_threshold_copies_per_ml", decision.ebv_threshold_copies_per_ml, biomarker.threshold, "g"),
        ("decision.ebv_threshold_inclusive", decision.ebv_threshold_inclusive, biomarker.threshold_inclusive, ""),
        ("eligibility.stage", _plain_stage(eligibility.stage), _plain_stage(stage.text), ""),
        ("eligibility.stage_edition", eligibility.stage_edition, stage.edition, ""),
    )
    for key, chosen, fitted, form in facts:
        # An error and not a precedence: with either value the recommendation would be another one than the model's or
        # than the site's.
        if chosen is not None and chosen != fitted:
            raise SettingsError(
                f"[{key}] is {_toml(chosen, form)}, but {model} was fitted with {_toml(fitted, form)}: "
                "remove the setting, or activate a bundle that was fitted with it"
            )
    horizon = indication.decision.horizon_months if decision.horizon_months is None else decision.horizon_months
    if horizon not in indication.horizons_months:
        raise SettingsError(
            f"[decision.horizon_months] is {horizon}, but {model} reports survival at "
            f"{' and '.join(map(str, indication.horizons_months))} months: choose one of these, or remove the setting"
        )
    threshold = indication.decision.threshold if decision.threshold is None else decision.threshold
    rule = AnswerRule(decision.rule)
    return DecisionPolicy(indication, horizon, threshold, rule, decision.stability, decision.stability_share)


def _plain_stage(text: str | None) -> str | None:
    """Return a stage without separators and clinical prefix: ``cT3 N1, M0`` is ``T3N1M0``."""
    return None if text is None else re.sub(r"[\s,;/_-]", "", text).upper().removeprefix("C")


def _toml(value: Any, form: str) -> str:
    return str(value).lower() if isinstance(value, bool) else format(value, form)
