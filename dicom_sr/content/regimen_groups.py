"""The measurement groups of the result: the comparison of the regimens, and one group per regimen.

Every number has a code of its own (`result_codes`), and each group names its regimen and category of EBV DNA as codes.
The ends of an interval are NUM items after their number, because viewers do not show the children of a NUM item. For
the same reason, and because every item costs time, regimen and category are not repeated as modifiers of each number.
"""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.sr import Measurement, MeasurementsAndQualitativeEvaluations, QualitativeEvaluation, TrackingIdentifier

from config.indication.vocabulary import EbvCategory
from dicom_sr.coding import codes, result_codes
from dicom_sr.coding.result_codes import HIGH, LOW
from dicom_sr.content.numeric_items import measurement, percent, percentage_points
from dicom_sr.header.uids import uid_for
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import ebv_condition
from dicom_sr.report.treatment_report import ArmResult, Scenario, TreatmentReport
from dicom_sr.report.wording import ENGLISH


def regimen_groups(report: TreatmentReport) -> Iterator[MeasurementsAndQualitativeEvaluations]:
    """Yield per EBV DNA category the comparison of the regimens, then one group per category and regimen."""
    for scenario in report.scenarios:
        yield comparison_group(report, scenario)
    for scenario in report.scenarios:
        for result in (scenario.ict_ccrt, scenario.ccrt):
            yield regimen_group(report, scenario, result)


def comparison_group(report: TreatmentReport, scenario: Scenario) -> MeasurementsAndQualitativeEvaluations:
    """Build the group that compares the regimens for one EBV DNA category (TID 1501).

    Parameters
    ----------
    report : TreatmentReport
        A computed report.
    scenario : Scenario
        One of its scenarios.

    Returns
    -------
    MeasurementsAndQualitativeEvaluations
        Per horizon, latest first, DFS under ICT+CCRT minus DFS under CCRT in percentage points, with its
        interval where there is one.
    """
    assumed = assumed_category(report, scenario)
    measured: list[Measurement] = []
    for months in _latest_first(report):
        name = result_codes.difference(months, assumed)
        measured.append(percentage_points(name, scenario.difference(months)))
        for end, value in zip((LOW, HIGH), scenario.difference_ci95.get(months, ()), strict=False):
            measured.append(percentage_points(result_codes.difference(months, assumed, end), value))
    return MeasurementsAndQualitativeEvaluations(
        tracking(report, _named(report, scenario, "Comparison of the regimens")),
        measurements=measured,
        qualitative_evaluations=[
            _category(scenario),
            QualitativeEvaluation(codes.GROUND.code, codes.GROUNDS[scenario.ground].code),
        ],
    )


def regimen_group(
    report: TreatmentReport, scenario: Scenario, result: ArmResult
) -> MeasurementsAndQualitativeEvaluations:
    """Build the group of one regimen for one EBV DNA category (TID 1501).

    Parameters
    ----------
    report : TreatmentReport
        A computed report.
    scenario : Scenario
        One of its scenarios.
    result : ArmResult
        The regimen's result in this scenario.

    Returns
    -------
    MeasurementsAndQualitativeEvaluations
        Per horizon, latest first, DFS and its interval in percent; then total points and the points of each factor.
    """
    arm, assumed = result.arm, assumed_category(report, scenario)
    measured: list[Measurement] = []
    for months in _latest_first(report):
        estimate = result.dfs[months]
        measured.append(percent(result_codes.dfs(months, arm, assumed), estimate.value))
        for end, value in zip((LOW, HIGH), estimate.ci95, strict=True):
            measured.append(percent(result_codes.dfs(months, arm, assumed, end), value))
    total = numbers.points(result.total_points)
    measured.append(measurement(result_codes.total_points(arm, assumed), total, codes.POINT))
    for factor in result_codes.FACTORS:
        if factor in result.points:
            name, shown = result_codes.points(factor, arm, assumed), numbers.points(result.points[factor])
            measured.append(measurement(name, shown, codes.POINT))
    return MeasurementsAndQualitativeEvaluations(
        tracking(report, _named(report, scenario, arm.value)),
        measurements=measured,
        qualitative_evaluations=[
            QualitativeEvaluation(codes.REGIMEN.code, codes.REGIMENS[arm].code),
            _category(scenario),
        ],
    )


def assumed_category(report: TreatmentReport, scenario: Scenario) -> EbvCategory | None:
    """Return the EBV DNA category that a scenario assumes; None where the report has only one scenario."""
    return scenario.ebv_category if len(report.scenarios) > 1 else None


def tracking(report: TreatmentReport, name: str) -> TrackingIdentifier:
    """Return the tracking identifier of a group; its UID is unique in the document, so its name must be as well."""
    return TrackingIdentifier(uid_for(report.report_identity, f"track/{name}"), name)


def _category(scenario: Scenario) -> QualitativeEvaluation:
    return QualitativeEvaluation(codes.EBV_ASSUMED.code, codes.EBV_CATEGORIES[scenario.ebv_category].code)


def _latest_first(report: TreatmentReport) -> list[int]:
    return sorted(report.horizons_months, reverse=True)


def _named(report: TreatmentReport, scenario: Scenario, name: str) -> str:
    return f"{name}, {ebv_condition(report, scenario, ENGLISH)}" if len(report.scenarios) > 1 else name
