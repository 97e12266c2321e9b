"""The kinds of reports that a planner meets, each once: their pictures are looked at, and a script must read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from config.indication.vocabulary import Answer, EbvCategory, TreatmentArm
from dicom_sr.report.report_inputs import Language
from dicom_sr.report.treatment_report import Reason, Scenario, Stability, TreatmentReport
from tests.dicom_sr import samples

STABLE = Stability(47, 50, 0.9)
CAUTION = Reason("contour_not_approved", "The contour is not approved in the planning system.")
LONG_NAME = "Maximiliane-Alexandra^Konstantinopoulou-Featherstonehaugh de la Torre y Villanueva=王^小东"


@dataclass(frozen=True)
class Example:
    """A report, the language of its pages, and the patient's name."""

    report: TreatmentReport
    language: Language = "en"
    name: str = samples.CHINESE_NAME


def decided(report: TreatmentReport, **changes: Any) -> TreatmentReport:
    """The report with changes, and with the answers that its numbers then give."""
    report = replace(report, **changes)
    scenarios = tuple(
        Scenario.decided(
            each.ebv_category, each.ict_ccrt, each.ccrt, each.difference_ci95, report.model, is_valid=report.is_valid,
            stability=report.stability,
        )
        for each in report.scenarios
    )  # fmt: skip
    return replace(report, scenarios=scenarios)


def rates(ict: tuple[float, float], ccrt: tuple[float, float], *ends: tuple[float, float]) -> tuple[Scenario, ...]:
    """One scenario from the rates of both regimens at 3 and 5 years, and the intervals of their difference."""
    arms = (samples.arm(TreatmentArm.ICT_CCRT, *ict, 138.7), samples.arm(TreatmentArm.CCRT, *ccrt, 164.1))
    return (Scenario(EbvCategory.ABOVE, *arms, Answer.CCRT, dict(zip((36, 60), ends, strict=True))),)


def gallery() -> dict[str, Example]:
    """The reports by name."""
    ict = decided(samples.scored(), stability=STABLE, warnings=(CAUTION,))
    better_alone = rates((0.80, 0.705), (0.87, 0.80), (-0.12, -0.02), (-0.166, -0.027))
    alike = rates((0.80, 0.705), (0.79, 0.70), (-0.02, 0.04), (-0.016, 0.027))
    model = ict.model
    sentence = "the series was acquired with a repetition time of 1234 ms, outside the range of the training data"
    codes = ("header_value", "stage_unknown", "thick_slices", "newer_contour", "contour_gap", "series_joined")
    twelve = tuple(Reason(codes[n % len(codes)], f"{n}: {sentence}.") for n in range(12))
    extrapolated = Reason("extrapolated", "Age 79.2 years is outside the training cohort (18 to 72); extrapolated.")
    return {
        "ict_ccrt": Example(ict),
        "ccrt": Example(decided(ict, scenarios=better_alone)),
        "no_reliable_difference": Example(decided(ict, scenarios=alike)),
        "threshold_2": Example(decided(ict, model=replace(model, threshold=0.02))),
        "threshold_5": Example(decided(ict, model=replace(model, threshold=0.05))),
        "threshold_10": Example(decided(ict, model=replace(model, threshold=0.10))),
        "ebv_unknown_agreeing": Example(decided(samples.unknown_ebv(), stability=STABLE)),
        "ebv_unknown_disagreeing": Example(decided(samples.differing(), stability=STABLE)),
        "extrapolated": Example(decided(ict, warnings=(extrapolated, CAUTION))),
        "twelve_warnings": Example(decided(ict, warnings=twelve)),
        "refused": Example(samples.refused()),
        "withdrawn": Example(samples.withdrawn()),
        "superseding": Example(decided(samples.reprocessed(), stability=STABLE, warnings=(CAUTION,))),
        "demonstration": Example(decided(samples.demonstration(), stability=STABLE, warnings=(CAUTION,))),
        "chinese": Example(ict, "zh"),
        "long_names": Example(decided(samples.crowded()), name=LONG_NAME),
    }
