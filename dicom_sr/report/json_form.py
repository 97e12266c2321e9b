"""The report as JSON: `dump` and `load` keep every field (for the ledger), `to_json` is for other programs."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from config.indication.vocabulary import ReportStatus, Severity, TreatmentArm
from config.messages import stored as messages
from dicom_sr.report.errors import UnreadableReportError
from dicom_sr.report.plain_text import answer_lines
from dicom_sr.report.treatment_report import ArmResult, Reason, Scenario, Stability, Stage, TreatmentReport
from dicom_sr.report.wording import WORDINGS


def dump(report: TreatmentReport) -> dict[str, Any]:
    """Convert every field to JSON values.

    Parameters
    ----------
    report : TreatmentReport
        Any report.

    Returns
    -------
    dict
        Nested dictionaries, lists, strings, numbers; `load` returns an equal report from it.
    """
    return typing.cast(dict[str, Any], messages.to_json(_plain(report)))


def load(document: Mapping[str, Any]) -> TreatmentReport:
    """Read a report from the form that `dump` writes.

    Parameters
    ----------
    document : mapping
        What `dump` returned, also after a round trip through JSON text.

    Returns
    -------
    TreatmentReport
        Equal to the report that was dumped; unknown keys are ignored.

    Raises
    ------
    UnreadableReportError
        A field is missing or has another type.
    """
    try:
        return typing.cast(TreatmentReport, _typed(TreatmentReport, messages.from_json(document)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableReportError(f"expected a report as JSON, found another document: {error}") from error


def to_json(report: TreatmentReport, status: ReportStatus | None = None) -> dict[str, Any]:
    """Build the document of ``cptdn report show --json``.

    Parameters
    ----------
    report : TreatmentReport
        Any report.
    status : ReportStatus or None
        What the ledger knows of it, for example that it is superseded; None takes the report's own status.

    Returns
    -------
    dict
        Probabilities are fractions in [0, 1]. "dfs", "difference" and "points" are null when nothing was computed, and
        when EBV DNA is unknown; "by_ebv_dna_category" then contains them for each category.
    """
    # With unknown EBV DNA there are two scenarios, and no number at the top level that a program could take for the
    # result.
    single = report.scenarios[0] if len(report.scenarios) == 1 else None
    document: dict[str, Any] = {
        "patient_id": report.patient_id,
        "study_instance_uid": report.study_instance_uid,
        **_scenario(report, single),
        "recommendation": None if report.recommendation is None else report.recommendation.value,
        "ground": single.ground.value if single else None,
        "sentences": answer_lines(report, WORDINGS["en"]) if report.computed else [],
        "rule": report.model.rule.value,
        "stability": _stability(report.stability),
        "status": (status or report.status).value,
        "withdrawal": _plain(report.withdrawal),
        "replaced": _plain(report.replaced),
        "computed": report.computed,
        "refusals": [{**reason, "severity": Severity.BLOCKS.value} for reason in _reasons(report.refusals)],
        "inputs": _inputs(report),
        "scores": _plain(report.scores),
        "tumour_volume_ml": report.tumour_volume_ml,
        "bundle": _plain(report.model),
        "conditions": [
            {**typing.cast(dict[str, Any], _plain(condition)), "severity": condition.severity.value}
            for condition in report.conditions
        ],
        "warnings": _reasons(report.warnings),
        "quality": _reasons(report.quality),
        "intended_use": report.model.intended_use,
        "demonstration": report.model.demonstration,
        "predecessors": list(report.predecessors),
        "revision": report.revision,
        "created": report.created.isoformat(),
        "software_version": report.software_version,
        "report_identity": report.report_identity,
        "series": _plain(report.series),
        "contours": _plain(report.contours),
    }
    if len(report.scenarios) > 1:
        document["by_ebv_dna_category"] = {
            scenario.ebv_category.value: {
                **_scenario(report, scenario),
                "recommendation": scenario.recommendation.value,
                "ground": scenario.ground.value,
            }
            for scenario in report.scenarios
        }
    return typing.cast(dict[str, Any], messages.to_json(document))


def _scenario(report: TreatmentReport, scenario: Scenario | None) -> dict[str, Any]:
    if scenario is None:
        return {"dfs": None, "difference": None, "difference_ci95": None, "points": None, "total_points": None}
    arms = (scenario.ict_ccrt, scenario.ccrt)
    return {
        "dfs": {result.arm.value: _dfs(result) for result in arms},
        "difference": {str(months): scenario.difference(months) for months in report.horizons_months},
        "difference_ci95": {str(months): list(ci95) for months, ci95 in scenario.difference_ci95.items()},
        "points": _points(scenario),
        "total_points": {result.arm.value: result.total_points for result in arms},
    }


def _dfs(result: ArmResult) -> dict[str, Any]:
    return {
        str(months): {"value": estimate.value, "ci95": list(estimate.ci95)} for months, estimate in result.dfs.items()
    }


def _points(scenario: Scenario) -> dict[str, Any]:
    # The treatment enters the nomogram by its interaction with the Predictive-score, so only that factor has other
    # points under each regimen (Zhong et al., section 2.4).
    ict, ccrt = scenario.ict_ccrt.points, scenario.ccrt.points
    by_arm = {TreatmentArm.ICT_CCRT.value: ict, TreatmentArm.CCRT.value: ccrt}
    return {
        factor: {arm: points.get(factor) for arm, points in by_arm.items()}
        if factor == "predictive_score"
        else ict.get(factor)
        for factor in ict
    }


def _inputs(report: TreatmentReport) -> dict[str, Any]:
    return {
        "age_years": report.age_years,
        "age_source": report.age_source,
        "ebv_dna": _plain(report.ebv_dna),
        "stage": {
            **typing.cast(dict[str, Any], _plain(report.stage)),
            "text": report.stage.text,
            "groups": _stage_groups(report.stage),
        },
    }


def _stage_groups(stage: Stage) -> dict[str, list[str]]:
    """Stage groups by edition; two where extranodal extension is not recorded and decides."""
    groups: dict[str, list[str]] = {}
    if stage.edition is not None and stage.group is not None:
        groups[stage.edition] = [stage.group]
    if stage.other_group is not None:
        edition, others = stage.other_group
        groups[edition] = list(others)
    return groups


def _reasons(reasons: tuple[Reason, ...]) -> list[dict[str, str]]:
    return [{"code": reason.code, "text": reason.text, "severity": reason.severity.value} for reason in reasons]


def _stability(stability: Stability | None) -> dict[str, Any] | None:
    if stability is None:
        return None
    return {**typing.cast(dict[str, Any], _plain(stability)), "is_stable": stability.is_stable}


def _plain(value: Any) -> Any:
    """Dataclasses, enumerations, dates and tuples as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {member.name: _plain(getattr(value, member.name)) for member in fields(value)}
    # Before the other types: the enumerations of the report are text as well, and the value is what is stored.
    if isinstance(value, Enum):
        return value.value
    # datetime is a date, too; both have the ISO form that `fromisoformat` reads.
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):  # keys are horizons in months or names; JSON has text keys only
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _typed(annotation: Any, value: Any) -> Any:
    """Convert a JSON value to the type that an annotation of the report's dataclasses names."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        # The report's unions are all of one type and None, so the first other member is the type.
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else _typed(inner, value)
    if origin is tuple:
        # tuple[X, ...] has any length; tuple[float, float] has one, which strict=True checks.
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_typed(kind, item) for kind, item in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {_typed(arguments[0], key): _typed(arguments[1], item) for key, item in value.items()}
    if isinstance(annotation, type) and is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        # A ledger may have a report of an older version: a field that is missing takes its default, where it has one.
        known = {name: value[name] for name in hints if name in value}
        constructor: Any = annotation
        return constructor(**{name: _typed(hints[name], item) for name, item in known.items()})
    if annotation in (date, datetime):
        return annotation.fromisoformat(value)
    # JSON has one type of number: 36 may come back as 36.0 and a horizon must be a whole number; keys are text.
    return annotation(value) if annotation in (int, float) or issubclass(annotation, Enum) else value
