"""From the results of a computation to a TreatmentReport, before it has an identity, revision and predecessor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from config.decision_policy import DecisionPolicy
from config.entered_sources import source_of
from config.errors import IneligibleStudyError
from config.indication.vocabulary import Condition, ConditionState, EbvCategory, SeriesRole, TreatmentArm
from config.messages.message import message, sentences
from config.settings import Settings
from config.version import software_version
from dicom_sr.report.treatment_report import (
    NOT_DETECTED,
    ArmResult,
    ConditionOfUse,
    ContourUsed,
    DfsEstimate,
    EbvDna,
    ErrorOfScores,
    Fact,
    ModelIdentity,
    Reason,
    Scenario,
    Scores,
    SeriesUsed,
    Stage,
    TreatmentReport,
)
from node.cases.case_inputs import ComputeRequest
from workers.bundles.bundle import Bundle
from workers.nomogram.result import NomogramResult
from workers.pipeline.computation import Analysis
from workers.pipeline.prediction import answer_stability
from workers.plausibility.checks import implausibilities
from workers.volumes.prepared_study import PreparedStudy

NOT_CHECKED = "plausibility_not_checked"
NOTHING_COMPUTED = (ConditionState.NOT_CHECKED, message("report.nothing_computed"))
COX_MODEL_ONLY = message("report.interval_cox_only")
WITHIN_RANGE = message("report.within_range")
SOP_CLASS_OF_CONTOUR = {"RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3", "SEG": "1.2.840.10008.5.1.4.1.1.66.4"}


def draft_report(
    request: ComputeRequest,
    study: PreparedStudy,
    analysis: Analysis,
    nomogram: Mapping[EbvCategory, NomogramResult],
    bundle: Bundle,
    decision: DecisionPolicy,
    created: datetime,
    implausible: Sequence[Reason] = (),
) -> TreatmentReport:
    """Build the report of a scored study.

    Parameters
    ----------
    request : ComputeRequest
        Patient, stage, EBV DNA and the chosen series, each with its reason.
    study : PreparedStudy
        Volumes, slices and findings.
    analysis : Analysis
        Both scores and the representative slices.
    nomogram : mapping of EbvCategory to NomogramResult
        As `predict_survival` returns it: one scenario for each category.
    bundle : Bundle
        Named in the report with its digests.
    decision : DecisionPolicy
        Horizons and the rule of the recommendation.
    created : datetime
        Time of the report; the job's, so that repeating a step gives the same report.
    implausible : sequence of Reason
        What `implausible_reasons` returned, as warnings.

    Returns
    -------
    TreatmentReport
        Without identity and revision, which follow from the reports before it.
    """
    # The training ranges are the same for every category of EBV DNA.
    extrapolations = next(iter(nomogram.values())).extrapolations()
    unchecked = tuple(reason for reason in implausible if reason.code == NOT_CHECKED)
    outside = (
        *(reason for reason in implausible if reason.code != NOT_CHECKED),
        *out_of_distribution_intensities(study),
        *analysis.out_of_distribution,
        *(_extrapolated(**extrapolation) for extrapolation in extrapolations),
    )
    undecided = TreatmentReport(
        **_common_values(request, bundle, decision, created),
        series=tuple(_series_used(role, request, study, analysis) for role in study),
        contours=tuple(_contours_used(request, study)),
        scores=Scores(analysis.prognostic_score, analysis.predictive_score, _error_of(analysis)),
        quality=tuple(
            Reason(code, message("of_role", role=role, text=text))
            for role, series in study.items()
            for code, text in series.findings
        ),
        warnings=(
            *(Reason(warning["code"], warning["text"]) for warning in request.warnings),
            *unchecked,
            *outside,
        ),
        conditions=tuple(
            _conditions(
                request,
                decision,
                {
                    Condition.MODEL_RANGE: model_range_state(outside, unchecked),
                    Condition.INTERVAL: interval_state(analysis),
                },
            )
        ),
        stability=answer_stability(analysis, request, bundle, decision),
    )
    return replace(
        undecided, scenarios=tuple(_scenario(undecided, category, result) for category, result in nomogram.items())
    )


def refusal_report(
    request: ComputeRequest, reasons: Sequence[Reason], bundle: Bundle, decision: DecisionPolicy, created: datetime
) -> TreatmentReport:
    """Build the report of a study that cannot be scored: reasons instead of numbers.

    Parameters
    ----------
    request : ComputeRequest
        Patient and clinical facts.
    reasons : sequence of Reason
        Why it is refused, at least one.
    bundle, decision, created
        As of `draft_report`.

    Returns
    -------
    TreatmentReport
        Without identity and revision.
    """
    return TreatmentReport(
        **_common_values(request, bundle, decision, created),
        warnings=tuple(Reason(warning["code"], warning["text"]) for warning in request.warnings),
        refusals=tuple(reasons),
        conditions=tuple(
            _conditions(request, decision, dict.fromkeys((Condition.MODEL_RANGE, Condition.INTERVAL), NOTHING_COMPUTED))
        ),
    )


def _conditions(
    request: ComputeRequest, decision: DecisionPolicy, of_worker: Mapping[Condition, tuple[ConditionState, str]]
) -> Iterator[ConditionOfUse]:
    # Of the bundle that computes and not of the one that was active when the case was assessed: a mark of the model is
    # in every report of it, also where the request is of an earlier version.
    of_model = {each.code: (each.state, each.text) for each in decision.conditions}
    known = {**of_worker, **of_model}
    assessed = {Condition(one["code"]): (ConditionState(one["state"]), one["text"]) for one in request.conditions}
    for code in dict.fromkeys((*assessed, *of_model)):
        yield ConditionOfUse(code, *(known[code] if code in known else assessed[code]))


def _error_of(analysis: Analysis) -> ErrorOfScores | None:
    return None if analysis.score_error is None else ErrorOfScores(**analysis.score_error.to_json())


def interval_state(analysis: Analysis) -> tuple[ConditionState, str]:
    """Return the state of the condition ``interval``: what the 95 % intervals contain.

    Parameters
    ----------
    analysis : Analysis
        With the errors of the scores, where the bundle has more than one member.

    Returns
    -------
    pair of ConditionState and str
        State and sentence.
    """
    if analysis.score_error is None:
        return ConditionState.NOT_CHECKED, COX_MODEL_ONLY
    n = analysis.score_error.members
    return ConditionState.MET, message("report.interval_with_scores", n=n)


def model_range_state(outside: Sequence[Reason], unchecked: Sequence[Reason]) -> tuple[ConditionState, str]:
    """Return the state of the condition ``model_range`` and its grounds.

    Parameters
    ----------
    outside : sequence of Reason
        Everything of the study that is outside the training cohort's range.
    unchecked : sequence of Reason
        Checks that were not made. They are no reason against the condition, and the condition is not met by them.

    Returns
    -------
    pair of ConditionState and str
        State and sentence.
    """
    if outside:
        return ConditionState.NOT_MET, sentences(reason.text for reason in outside)
    if unchecked:
        return ConditionState.NOT_CHECKED, sentences(reason.text for reason in unchecked)
    return ConditionState.MET, WITHIN_RANGE


def out_of_distribution_intensities(study: PreparedStudy) -> list[Reason]:
    """Return a reason for each series whose intensities are out of distribution.

    Parameters
    ----------
    study : PreparedStudy
        With the distance of each series' landmarks and the bundle's limit.

    Returns
    -------
    list of Reason
        Code ``out_of_distribution``, the distance and the limit in the text; empty where all are similar.
    """
    return [
        Reason(
            "out_of_distribution",
            message(
                "out_of_distribution.intensities",
                role=role.value,
                distance=series.landmark_distance,
                limit=series.distance_limit,
            ),
        )
        for role, series in study.items()
        if series.landmark_distance > series.distance_limit
    ]


def refuse_out_of_distribution(reasons: Sequence[Reason], settings: Settings) -> None:
    """Refuse a study that is out of distribution, unless the site only warns of it.

    Parameters
    ----------
    reasons : sequence of Reason
        Of intensities or features; empty for a study like those of the training.
    settings : Settings
        ``eligibility.out_of_distribution``: refuse or warn.

    Raises
    ------
    IneligibleStudyError
        ``out_of_distribution`` with all reasons.
    """
    if reasons and settings.eligibility.out_of_distribution == "refuse":
        raise IneligibleStudyError("out_of_distribution", sentences(reason.text for reason in reasons))


def implausible_reasons(measures: Mapping[str, float], bundle: Bundle) -> tuple[list[Reason], list[Reason]]:
    """Return why a study cannot be what the model was made for, and what is only unusual.

    Parameters
    ----------
    measures : mapping of str to float
        From `study_measures`.
    bundle : Bundle
        Its limits of plausibility.

    Returns
    -------
    stops, questions : list of Reason
        The first refuse the study unless the site only warns of them; the second are warnings of the report, among
        them ``plausibility_not_checked`` where the bundle has no limits.
    """
    limits = bundle.plausibility
    if limits is None or not measures:
        text = message("plausibility_not_checked.no_limits", name=bundle.manifest.name)
        return [], [Reason(NOT_CHECKED, text)]
    found = implausibilities(measures, limits)
    reasons = [(one.stops, Reason(one.code, message("sentence", text=one.text))) for one in found]
    return [reason for stops, reason in reasons if stops], [reason for stops, reason in reasons if not stops]


def refuse_before_networks(study: PreparedStudy, stops: Sequence[Reason], settings: Settings) -> None:
    """Refuse a study by its images and contour, before any network runs, unless the site only warns.

    Parameters
    ----------
    study : PreparedStudy
        With the distances of its intensities.
    stops : sequence of Reason
        Of `implausible_reasons`.
    settings : Settings
        ``eligibility.out_of_distribution`` and ``eligibility.plausibility``: refuse or warn.

    Raises
    ------
    IneligibleStudyError
        The code of the first reason, intensities before the others, with the sentences of all.
    """
    policy = settings.eligibility
    intensities = out_of_distribution_intensities(study) if policy.out_of_distribution == "refuse" else []
    implausible = stops if (policy.plausibility or policy.out_of_distribution) == "refuse" else []
    if reasons := [*intensities, *implausible]:
        raise IneligibleStudyError(reasons[0].code, sentences(reason.text for reason in reasons))


def _common_values(
    request: ComputeRequest, bundle: Bundle, decision: DecisionPolicy, created: datetime
) -> dict[str, Any]:
    return {
        "patient_id": request.patient_id,
        "study_instance_uid": request.study_instance_uid,
        "report_identity": "",  # set by the step `report`, which knows the reports before this one
        "revision": 0,
        "created": created,
        "software_version": software_version(),
        "model": model_identity(bundle, decision),
        "age_years": request.age_years,
        "age_source": request.age_source,
        "ebv_dna": _ebv_dna(request.ebv, decision.ebv_threshold_copies_per_ml),
        "stage": Stage(
            t=request.stage.get("t"),
            n=request.stage.get("n"),
            m=request.stage.get("m"),
            edition=request.stage.get("edition"),
            extranodal_extension=request.stage.get("ene"),
            verified=bool(request.stage.get("verified")),
            provenance=_fact(request.stage.get("provenance")),
        ),
        "horizons_months": decision.horizons_months,
    }


def model_identity(bundle: Bundle, decision: DecisionPolicy) -> ModelIdentity:
    """Return the model's names, digests and intended use, and the rule of the recommendation, for the report."""
    return ModelIdentity(
        name=bundle.manifest.name,
        version=bundle.manifest.version,
        digest=bundle.digest,
        network_digest=bundle.network_digest,
        nomogram_digest=bundle.nomogram.digest,
        intended_use=bundle.manifest.intended_use,
        training_population=bundle.training_population,
        demonstration=bundle.manifest.demonstration,
        nomogram_citation=bundle.nomogram.citation,
        horizon_months=decision.horizon_months,
        threshold=decision.threshold,
        rule=decision.rule,
    )


def _ebv_dna(ebv: Mapping[str, Any], threshold_copies_per_ml: float) -> EbvDna:
    # A request of an earlier version has a comparator without its number: the laboratory's words say it then.
    bound = ebv.get("bound_copies_per_ml")
    comparator = ebv.get("comparator") if bound is not None else None
    return EbvDna(
        category=EbvCategory(ebv["category"]),
        copies_per_ml=ebv.get("copies_per_ml"),
        as_given=ebv.get("as_given"),
        threshold_copies_per_ml=threshold_copies_per_ml,
        provenance=_fact(ebv.get("provenance")),
        comparator=comparator,
        bound_copies_per_ml=None if comparator == NOT_DETECTED else bound,
    )


def _fact(provenance: Mapping[str, Any] | None) -> Fact | None:
    if not provenance:
        return None
    day = provenance.get("observed_on")
    return Fact(source_of(provenance["source"]), date.fromisoformat(day) if day else None, provenance.get("set_by"))


def _series_used(role: SeriesRole, request: ComputeRequest, study: PreparedStudy, analysis: Analysis) -> SeriesUsed:
    series = study[role]
    # The row counts the tumour's slices, not those of the series: `slices` is in the order of the patches.
    uid, frame = series.slices[analysis.representative[role]]
    used = request.series[role.value]
    # An acquisition may be stored in two series: the reference needs that of the slice itself.
    series_uid = used.get("other_series", {}).get(uid, used["series_instance_uid"])
    return SeriesUsed(
        role, series_uid, series.sop_class_uid, series.description, series.n_slices, uid, frame,
        used.get("reason", ""),
    )  # fmt: skip


def _contours_used(request: ComputeRequest, study: PreparedStudy) -> list[ContourUsed]:
    """Return each contour once, with the volume on the series that it was drawn on, where that is one of the three."""
    used: dict[tuple[str, int], ContourUsed] = {}
    # False sorts before True: the series that the contour was drawn on come first, and `setdefault` keeps their volume.
    drawn_first = sorted(study, key=lambda role: not study[role].drawn_here)
    for role in drawn_first:
        chosen, series = request.contours[role.value], study[role]
        key = (chosen["sop_instance_uid"], int(chosen["roi_number"]))
        used.setdefault(
            key,
            ContourUsed(
                chosen["sop_instance_uid"], SOP_CLASS_OF_CONTOUR[chosen["kind"]], chosen["series_instance_uid"],
                chosen["study_instance_uid"], chosen["roi_name"], int(chosen["roi_number"]), volume_ml=series.volume_ml,
                n_slices=series.n_slices, reason=chosen.get("reason", ""),
            ),
        )  # fmt: skip
    return list(used.values())


def _scenario(report: TreatmentReport, category: EbvCategory, result: NomogramResult) -> Scenario:
    """Decide one category: after warnings and conditions are known, since they can invalidate the result."""
    # By way of the JSON form: the report has the numbers that `cptdn nomogram score --json` prints.
    estimates = result.estimates_to_json()
    arms = {arm: _arm(arm, estimates) for arm in TreatmentArm}
    intervals = {int(month): ci for month, ci in estimates["difference_ci95"].items() if ci is not None}
    return Scenario.decided(
        category,
        arms[TreatmentArm.ICT_CCRT],
        arms[TreatmentArm.CCRT],
        {month: (low, high) for month, (low, high) in intervals.items()},
        report.model,
        is_valid=report.is_valid,
        stability=report.stability,
    )


def _arm(arm: TreatmentArm, estimates: Mapping[str, Any]) -> ArmResult:
    points = {
        name: value[arm.value] if isinstance(value, Mapping) else value for name, value in estimates["points"].items()
    }
    dfs = {
        # Every horizon of a bundle has its variance terms (`require_horizons`), so the interval is never None here.
        int(month): DfsEstimate(estimate["value"], tuple(estimate["ci95"]))
        for month, estimate in estimates["dfs"][arm.value].items()
    }
    return ArmResult(arm=arm, points=points, total_points=estimates["total_points"][arm.value], dfs=dfs)


def _extrapolated(input: str, value: float, training_range: Sequence[float]) -> Reason:
    low, high = training_range
    return Reason(
        "extrapolated",
        message("extrapolated.input", input=message(f"input.{input}"), value=value, low=low, high=high),
    )
