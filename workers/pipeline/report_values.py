"""From what was found to the TreatmentReport, and from there to the objects that are stored and sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from config.decision_policy import DecisionPolicy
from config.errors import IneligibleStudyError
from config.indication.vocabulary import EbvCategory, SeriesRole, TreatmentArm
from config.settings import Settings
from config.version import software_version
from dicom_sr.report.treatment_report import (
    ArmResult,
    ContourUsed,
    DfsEstimate,
    EbvDna,
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
from workers.volumes.prepared_study import PreparedStudy

SOP_CLASS_OF_CONTOUR = {"RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3", "SEG": "1.2.840.10008.5.1.4.1.1.66.4"}


def draft_report(
    request: ComputeRequest,
    material: PreparedStudy,
    analysis: Analysis,
    nomogram: Mapping[EbvCategory, NomogramResult],
    bundle: Bundle,
    decision: DecisionPolicy,
    created: datetime,
) -> TreatmentReport:
    """Everything that is known before the report gets its identity, revision and predecessor."""
    some = next(iter(nomogram.values()))
    return TreatmentReport(
        **_known_before(request, bundle, decision, created),
        series=tuple(_series_used(role, request, material, analysis) for role in material),
        contours=tuple(_contours_used(request, material)),
        scores=Scores(analysis.prognostic_score, analysis.predictive_score),
        scenarios=tuple(_scenario(category, result) for category, result in nomogram.items()),
        quality=tuple(
            Reason(code, f"{role.value}: {text}") for role, one in material.items() for code, text in one.findings
        ),
        warnings=(
            *(Reason(warning["code"], warning["text"]) for warning in request.warnings),
            *out_of_distribution_intensities(material),
            *analysis.out_of_distribution,
            *(_extrapolated(**found) for found in some.extrapolations()),
        ),
    )


def refusal_report(
    request: ComputeRequest, reasons: Sequence[Reason], bundle: Bundle, decision: DecisionPolicy, created: datetime
) -> TreatmentReport:
    """The same document for a study that cannot be scored: the reasons stand in place of numbers."""
    return TreatmentReport(
        **_known_before(request, bundle, decision, created),
        warnings=tuple(Reason(warning["code"], warning["text"]) for warning in request.warnings),
        refusals=tuple(reasons),
    )


def out_of_distribution_intensities(material: PreparedStudy) -> list[Reason]:
    """Sequences whose intensities lie outside what the training images spanned."""
    return [
        Reason(
            "out_of_distribution",
            f"{role.value}: the intensities differ from the training images by {one.landmark_distance:.2f} "
            f"(training: at most {one.distance_limit:.2f}); the scores may not hold.",
        )
        for role, one in material.items()
        if one.landmark_distance > one.distance_limit
    ]


def refuse_out_of_distribution(reasons: Sequence[Reason], settings: Settings) -> None:
    """Images unlike the training data are refused, or only warned of, as the site has decided."""
    if reasons and settings.eligibility.out_of_distribution == "refuse":
        raise IneligibleStudyError("out_of_distribution", " ".join(reason.text for reason in reasons))


def _known_before(
    request: ComputeRequest, bundle: Bundle, decision: DecisionPolicy, created: datetime
) -> dict[str, Any]:
    return {
        "patient_id": request.patient_id,
        "study_instance_uid": request.study_instance_uid,
        "report_identity": "",
        "revision": 0,
        "created": created,
        "software_version": software_version(),
        "model": model_identity(bundle, decision),
        "age_years": request.age_years,
        "age_source": request.age_source,
        "ebv_dna": EbvDna(
            category=EbvCategory(request.ebv["category"]),
            copies_per_ml=request.ebv.get("copies_per_ml"),
            as_given=request.ebv.get("as_given"),
            threshold_copies_per_ml=decision.ebv_threshold_copies_per_ml,
            provenance=_fact(request.ebv.get("provenance")),
        ),
        "stage": Stage(
            t=request.stage.get("t"),
            n=request.stage.get("n"),
            m=request.stage.get("m"),
            edition=request.stage.get("edition"),
            verified=bool(request.stage.get("verified")),
            provenance=_fact(request.stage.get("provenance")),
        ),
        "horizons_months": decision.horizons_months,
    }


def model_identity(bundle: Bundle, decision: DecisionPolicy) -> ModelIdentity:
    """Which model speaks, and by which rule it decides."""
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
    )


def _fact(provenance: Mapping[str, Any] | None) -> Fact | None:
    if not provenance:
        return None
    day = provenance.get("observed_on")
    return Fact(provenance["source"], date.fromisoformat(day) if day else None, provenance.get("set_by"))


def _series_used(role: SeriesRole, request: ComputeRequest, material: PreparedStudy, analysis: Analysis) -> SeriesUsed:
    one = material[role]
    uid, frame = one.slices[analysis.representative[role]]
    return SeriesUsed(
        role, one.series_instance_uid, one.sop_class_uid, one.description, one.n_slices, uid, frame,
        request.series[role.value].get("reason", ""),
    )  # fmt: skip


def _contours_used(request: ComputeRequest, material: PreparedStudy) -> list[ContourUsed]:
    """Each contour once, its volume measured on the series that it was drawn on where that is one of the three."""
    used: dict[tuple[str, int], ContourUsed] = {}
    drawn_first = sorted(material, key=lambda role: _carried_over(material, role))
    for role in drawn_first:
        chosen, one = request.contours[role.value], material[role]
        key = (chosen["sop_instance_uid"], int(chosen["roi_number"]))
        used.setdefault(
            key,
            ContourUsed(
                chosen["sop_instance_uid"], SOP_CLASS_OF_CONTOUR[chosen["kind"]], chosen["series_instance_uid"],
                chosen["study_instance_uid"], chosen["roi_name"], int(chosen["roi_number"]), volume_ml=one.volume_ml,
                n_slices=one.n_slices, reason=chosen.get("reason", ""),
            ),
        )  # fmt: skip
    return list(used.values())


def _carried_over(material: PreparedStudy, role: SeriesRole) -> bool:
    return any(code == "contour_resampled" for code, _ in material[role].findings)


def _scenario(category: EbvCategory, result: NomogramResult) -> Scenario:
    found = result.estimates_to_json()
    arms = {arm: _arm(arm, found) for arm in TreatmentArm}
    intervals = {int(month): ci for month, ci in found["difference_ci95"].items() if ci is not None}
    return Scenario(
        category,
        arms[TreatmentArm.ICT_CCRT],
        arms[TreatmentArm.CCRT],
        result.recommendation(),
        {month: (low, high) for month, (low, high) in intervals.items()},
    )


def _arm(arm: TreatmentArm, found: Mapping[str, Any]) -> ArmResult:
    points = {
        name: value[arm.value] if isinstance(value, Mapping) else value for name, value in found["points"].items()
    }
    dfs = {int(month): DfsEstimate(one["value"], tuple(one["ci95"])) for month, one in found["dfs"][arm.value].items()}
    return ArmResult(arm=arm, points=points, total_points=found["total_points"][arm.value], dfs=dfs)


def _extrapolated(input: str, value: float, training_range: Sequence[float]) -> Reason:
    low, high = training_range
    words = input.replace("_", " ")
    return Reason(
        "extrapolated",
        f"The {words} {value:g} lies outside the training cohort ({low:g} to {high:g}); the numbers are extrapolated.",
    )
