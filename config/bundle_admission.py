"""Admission of a model bundle: which figures of its manifest refuse it, and which mark it in every output.

Pure rules over the manifest's JSON, applied at every load; a verdict that is stored in the manifest is for readers and
is never believed. A refused bundle is kept for inspection and computes nothing for patients; a marked one carries its
marks into every report as the condition of use ``model_admission``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp, isfinite
from typing import Any, Literal

from config.bundle_origin import counted_origin, demonstration_signs
from config.errors import ModelBundleError
from config.indication.conventions import Z_95
from config.messages.message import message, sentences
from config.unseen_figures import (
    ARMS,
    OUT_OF_FOLD,
    UnseenFigures,
    group_words,
    interval_of,
    mapping_of,
    number_of,
    unseen_figures,
)

Severity = Literal["refused", "marked"]

# Below 5 events per parameter, coverage and bias of Cox coefficients become unreliable (Vittinghoff and McCulloch, Am J
# Epidemiol 2007;165:710); 10 is the customary minimum (Peduzzi et al., J Clin Epidemiol 1995;48:1503). Riley et al.
# (Stat Med 2019;38:1276) show that a prediction model as a rule needs more than either.
FEWEST_EVENTS_PER_PARAMETER = 5.0
CUSTOMARY_EVENTS_PER_PARAMETER = 10.0
# The treatment and its interaction are estimated within the arms: one parameter at the customary minimum.
FEWEST_EVENTS_IN_ARM = 10
# A slope below 1 means predictions that are too extreme (Van Calster et al., BMC Med 2019;17:230). The ends are chosen:
# at 0.7 the logarithms of the hazards are overstated by 43 %, at 1.4 understated by 29 %.
SLOPE_FROM, SLOPE_TO = 0.7, 1.4
NO_DISCRIMINATION = 0.5  # C-index of a coin
# Chosen: a hazard ratio that may be 1000 times smaller or larger than estimated says nothing about a patient.
WIDEST_HAZARD_RATIO = 1e6
LONGEST_LOG_SPAN = 690.0
PARAMETERS = 6  # of the CPTDN, for manifests of earlier versions, which do not count them

COX_MODEL = "cox_model"  # key of the manifest: {"parameters", "n", "events", "widest_hazard_ratio"}
ADMISSION = "admission"  # key of the manifest: the verdict when it was packed


@dataclass(frozen=True)
class AdmissionFinding:
    """One rule that a bundle does not meet.

    Attributes
    ----------
    code : str
        Of the rule.
    severity : {"refused", "marked"}
        Whether the bundle may compute at all, or has to say this in every output.
    text : str
        What was expected, what was found, what to do.
    """

    code: str
    severity: Severity
    text: str

    def to_json(self) -> dict[str, str]:
        """Return code and text, as in the manifest."""
        return {"code": self.code, "text": self.text}


@dataclass(frozen=True)
class Admission:
    """Verdict over one bundle: its findings, and one sentence of the figures that were judged."""

    findings: tuple[AdmissionFinding, ...]
    basis: str

    @property
    def refused(self) -> tuple[AdmissionFinding, ...]:
        """What forbids the bundle to compute."""
        return tuple(finding for finding in self.findings if finding.severity == "refused")

    @property
    def marked(self) -> tuple[AdmissionFinding, ...]:
        """What every output has to say."""
        return tuple(finding for finding in self.findings if finding.severity == "marked")

    @property
    def state(self) -> Literal["admitted", "marked", "refused"]:
        """The verdict in one word."""
        return "refused" if self.refused else "marked" if self.marked else "admitted"

    @property
    def text(self) -> str:
        """The findings in sentences, refusals first; the basis where there are none."""
        return sentences(finding.text for finding in (*self.refused, *self.marked)) or self.basis

    def to_json(self) -> dict[str, list[dict[str, str]]]:
        """Return ``{"refused": [...], "marked": [...]}`` with code and text of each finding."""
        return {
            "refused": [finding.to_json() for finding in self.refused],
            "marked": [finding.to_json() for finding in self.marked],
        }


def judge_bundle(content: Mapping[str, Any]) -> Admission:
    """Judge a bundle by the figures of its manifest.

    Parameters
    ----------
    content : mapping
        The manifest as JSON values, of this version or an earlier one; what is missing or no number counts as not
        stated.

    Returns
    -------
    Admission
        Equal content gives an equal verdict.

    References
    ----------
    See the constants of this module.
    """
    unseen = unseen_figures(content)
    findings = [
        *_origin_findings(content),
        *_event_findings(content),
        *_unseen_findings(content, unseen),
        *_degenerate_findings(content),
    ]
    return Admission(tuple(findings), _basis(content, unseen))


def require_admitted(content: Mapping[str, Any], name: str) -> None:
    """Refuse to compute with a bundle that is not admitted.

    Raises
    ------
    ModelBundleError
        With the sentence of every refusal.
    """
    if refused := judge_bundle(content).refused:
        raise ModelBundleError(refusal_text(name, refused))


def refusal_text(name: str, refused: tuple[AdmissionFinding, ...]) -> str:
    """Return the sentence that says that a bundle computes nothing, with the reasons."""
    return message("model_not_permitted.refused", name=name, findings=(finding.text for finding in refused))


def events_per_parameter_finding(n_events: float, n_parameters: int) -> AdmissionFinding | None:
    """Judge the size of a Cox model.

    Parameters
    ----------
    n_events : float
        Observed events of its fit.
    n_parameters : int
        Its terms, at least 1.

    Returns
    -------
    AdmissionFinding or None
        None where there are at least `CUSTOMARY_EVENTS_PER_PARAMETER`.
    """
    per_parameter = n_events / n_parameters
    if per_parameter >= CUSTOMARY_EVENTS_PER_PARAMETER:
        return None
    refused = per_parameter < FEWEST_EVENTS_PER_PARAMETER
    least = FEWEST_EVENTS_PER_PARAMETER if refused else CUSTOMARY_EVENTS_PER_PARAMETER
    text = message(
        "events_per_parameter.refused" if refused else "events_per_parameter.marked",
        least=least,
        least_in_all=least * n_parameters,
        n_parameters=n_parameters,
        found=per_parameter,
        n_events=n_events,
    )
    return AdmissionFinding("events_per_parameter", "refused" if refused else "marked", text)


def _origin_findings(content: Mapping[str, Any]) -> Iterator[AdmissionFinding]:
    if counted_origin(content) is None and not demonstration_signs(content):
        yield AdmissionFinding(
            "origin_not_stated",
            "refused",
            message("origin_not_stated.none"),
        )


def _event_findings(content: Mapping[str, Any]) -> Iterator[AdmissionFinding]:
    cox = mapping_of(content.get(COX_MODEL))
    n_parameters = int(number_of(cox.get("parameters")) or PARAMETERS)
    n_events = number_of(cox.get("events"))
    if n_events is None:  # earlier versions counted the events of the networks' training alone
        n_events = number_of(mapping_of(content.get("training_data")).get("n_dfs_events"))
    if n_events is None or n_parameters < 1:
        text = message("events_per_parameter.none")
        yield AdmissionFinding("events_per_parameter", "refused", text)
    elif finding := events_per_parameter_finding(n_events, n_parameters):
        yield finding


def _unseen_findings(content: Mapping[str, Any], unseen: list[UnseenFigures]) -> Iterator[AdmissionFinding]:
    decisive = [figures for figures in unseen if figures.decides]
    if not any(figures.c_index is not None for figures in decisive):
        yield AdmissionFinding(
            "no_unseen_figures",
            "refused",
            message("no_unseen_figures.none"),
        )
    else:
        yield from _missing_figures(content, decisive)
    for figures in unseen:
        yield from _discrimination(figures)
        yield from _events_in_arms(figures)
        if figures.slope is not None and not SLOPE_FROM <= figures.slope <= SLOPE_TO:
            text = message(
                "calibration_slope.too_extreme" if figures.slope < 1 else "calibration_slope.too_moderate",
                least=SLOPE_FROM,
                greatest=SLOPE_TO,
                group=figures.words,
                found=figures.slope,
            )
            yield AdmissionFinding("calibration_slope", "marked", text)


def _missing_figures(content: Mapping[str, Any], decisive: list[UnseenFigures]) -> Iterator[AdmissionFinding]:
    missing = []
    if all(figures.slope is None for figures in decisive):
        missing.append(message("model.calibration_slope"))
    if not any(len(figures.events_by_arm) == len(ARMS) for figures in decisive):
        missing.append(message("model.events_of_each_arm"))
    if missing:
        severity: Severity = "marked" if demonstration_signs(content) else "refused"
        text = message("unseen_figures_incomplete.missing", missing=missing)
        yield AdmissionFinding("unseen_figures_incomplete", severity, text)


def _discrimination(figures: UnseenFigures) -> Iterator[AdmissionFinding]:
    severity: Severity = "refused" if figures.decides else "marked"
    if figures.c_index is None:
        return
    if figures.ci95 is None or not figures.ci95[0] <= figures.c_index <= figures.ci95[1]:
        text = message(
            "degenerate_interval.impossible" if figures.has_interval else "degenerate_interval.none",
            c_index=figures.c_index,
            group=figures.words,
        )
        yield AdmissionFinding("degenerate_interval", severity, text)
    elif figures.ci95[0] <= NO_DISCRIMINATION:
        yield AdmissionFinding(
            "no_discrimination",
            severity,
            message("no_discrimination.c_index", limit=NO_DISCRIMINATION, group=figures.words, found=figures.c_text),
        )


def _events_in_arms(figures: UnseenFigures) -> Iterator[AdmissionFinding]:
    few = {arm: n for arm, n in figures.events_by_arm.items() if n < FEWEST_EVENTS_IN_ARM}
    if few and figures.title == OUT_OF_FOLD:
        n_events = [message("model.events_under", n=n, arm=arm) for arm, n in few.items()]
        text = message("events_in_arm.few", least=FEWEST_EVENTS_IN_ARM, found=n_events)
        yield AdmissionFinding("events_in_arm", "refused", text)


def _degenerate_findings(content: Mapping[str, Any]) -> Iterator[AdmissionFinding]:
    widest = mapping_of(content.get(COX_MODEL)).get("widest_hazard_ratio")
    if widest is not None and not 1 < (number_of(widest) or 0) <= WIDEST_HAZARD_RATIO:
        text = message("degenerate_interval.hazard_ratio", limit=WIDEST_HAZARD_RATIO, found=widest)
        yield AdmissionFinding("degenerate_interval", "refused", text)
    for title, effect in mapping_of(content.get("effect")).items():
        interval = mapping_of(effect).get("ci95")
        bounds = interval_of(interval)
        if interval is not None and (bounds is None or bounds[0] < -1 or bounds[1] > 1):
            text = message("degenerate_interval.effect", group=group_words(title), found=interval)
            yield AdmissionFinding("degenerate_interval", "refused", text)
    distributions = mapping_of(content.get("training_distributions"))
    for score in ("prognostic_score", "predictive_score"):
        quantiles = mapping_of(distributions.get(score)).get("quantiles")
        if isinstance(quantiles, list) and quantiles and min(quantiles) == max(quantiles):
            text = message("constant_scores.constant", score=message(f"model.{score}"), found=quantiles[0])
            yield AdmissionFinding("constant_scores", "refused", text)


def _basis(content: Mapping[str, Any], unseen: list[UnseenFigures]) -> str:
    parts = []
    for figures in unseen:
        if figures.decides and figures.c_index is not None:
            known = {"group": figures.words, "c_index": figures.c_text}
            parts.append(
                message("model.discrimination", **known)
                if figures.slope is None
                else message("model.discrimination_and_slope", **known, slope=figures.slope)
            )
    cox = mapping_of(content.get(COX_MODEL))
    n_events = number_of(cox.get("events")) or number_of(mapping_of(content.get("training_data")).get("n_dfs_events"))
    if n_events is not None:
        per_parameter = n_events / int(number_of(cox.get("parameters")) or PARAMETERS)
        parts.append(message("model.events_per_parameter", n=per_parameter))
    return message("model.on_unseen_patients", parts=parts) if parts else message("model.no_figures")


def widest_hazard_ratio(standard_errors: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> float:
    """Return the largest factor that the 95 % interval of a hazard ratio spans, over the observed range of its term.

    Parameters
    ----------
    standard_errors : mapping of str to float
        Of the log hazard ratio of each term.
    ranges : mapping of str to pair of float
        Observed range of each term; a term without one is a category, 0 to 1.

    Returns
    -------
    float
        At least 1; exp(`LONGEST_LOG_SPAN`) where an error is not finite or not positive.
    """
    spans = []
    for term, error in standard_errors.items():
        low, high = ranges.get(term, (0.0, 1.0))
        spans.append(2 * Z_95 * error * (high - low) if isfinite(error) and error > 0 else float("inf"))
    # JSON has no infinity; exp overflows beyond 709, and nothing that is admitted comes near either.
    return exp(min(max(spans, default=float("inf")), LONGEST_LOG_SPAN))
