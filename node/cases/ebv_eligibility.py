"""The EBV DNA of a patient for one MR: the last usable draw within the window, or why there is none."""

from __future__ import annotations

from config.decision_policy import DecisionPolicy
from config.errors import IneligibleStudyError
from config.messages.message import message
from config.settings import IuFactor, Settings
from node.cases.clinical_facts import EbvResult, EbvValue, parse_ebv_dna
from node.cases.eligibility_answers import Eligibility, EligibilityFinding
from node.cases.fact_choice import ChosenFacts
from node.cases.iu_conversion import iu_factor


def assess_ebv(eligibility: Eligibility, chosen: ChosenFacts, settings: Settings, policy: DecisionPolicy) -> None:
    """Resolve the EBV DNA to a side of the threshold.

    Parameters
    ----------
    eligibility : Eligibility
        Gets the value, its explanation, warnings for the report, and a finding where no result is usable.
    chosen : ChosenFacts
        Draws within the window, and those outside it with their reasons.
    settings : Settings
        What to do without a result; the site's conversions; the band around the threshold.
    policy : DecisionPolicy
        Threshold of the active bundle.
    """
    unusable: list[tuple[EbvResult, str]] = []
    for result in chosen.ebv_dna:
        try:
            value = _value(result, settings, policy)
        except IneligibleStudyError as error:
            unusable.append((result, error.text))
            continue
        # "Not done" is no draw: the one before it counts.
        if value.category != "unknown":
            _use(eligibility, result, value, settings, policy)
            _warn_of_unusable_later(eligibility, unusable, result)
            return
    refusals = [why for _, why in (*unusable, *chosen.outside)]
    eligibility.ebv = {"category": "unknown", "copies_per_ml": None, "as_given": None, "comparator": "unknown",
                 "observed_on": None, "provenance": None}  # fmt: skip
    if refusals:
        # The reason of the last draw within the window, where there is one.
        text = message("ebv_dna_unusable.sentence", why=refusals[0])
        eligibility.findings.append(EligibilityFinding("held", "ebv_dna_unusable", text))
    else:
        text = message("ebv_dna_unknown.held")
        if settings.eligibility.ebv_unknown == "hold":
            eligibility.findings.append(EligibilityFinding("held", "ebv_dna_unknown", text))
        else:
            text = message("ebv_dna_unknown.both_reported")
            eligibility.warnings.append(("ebv_dna_unknown", text))
    eligibility.explain["ebv_dna"] = text


def _value(result: EbvResult, settings: Settings, policy: DecisionPolicy) -> EbvValue:
    factor = _factor(result, settings)
    return parse_ebv_dna(
        result.text,
        policy.ebv_threshold_copies_per_ml,
        policy.ebv_threshold_inclusive,
        unit=result.unit,
        specimen=result.specimen,
        copies_per_iu=factor.factor if factor else None,
    )


def _factor(result: EbvResult, settings: Settings) -> IuFactor | None:
    return iu_factor(
        settings.clinical.copies_per_iu, result.laboratory, result.assay, result.provenance.observed_on
    )  # fmt: skip


def _use(
    eligibility: Eligibility, result: EbvResult, value: EbvValue, settings: Settings, policy: DecisionPolicy
) -> None:
    threshold = policy.ebv_threshold_copies_per_ml
    observed = result.provenance.observed_on
    provenance = {**result.provenance.to_json(), "unit": result.unit, "specimen": result.specimen,
                  "laboratory": result.laboratory, "assay": result.assay}  # fmt: skip
    eligibility.ebv = {
        "category": value.category,
        "copies_per_ml": value.copies_per_ml,
        "as_given": value.as_given,
        "comparator": value.comparator,
        "observed_on": observed.isoformat() if observed else None,
        "provenance": provenance,
        # Only beside a comparator: the digest of every other request stays what it was.
        **({} if value.copies_per_ml is not None else {"bound_copies_per_ml": value.bound_copies_per_ml}),
    }
    side = "above" if value.category == ">threshold" else "not_above"
    stated = {"value": value.as_given, "threshold": threshold, "source": result.provenance.said_source}
    eligibility.explain["ebv_dna"] = (
        message(f"ebv_dna.{side}_drawn_on", day=observed, **stated)
        if observed
        else message(f"ebv_dna.{side}", **stated)
    )
    # Only an exact number can be near: a comparator on the right side of the threshold states no distance.
    copies = value.copies_per_ml
    if copies is not None and abs(copies - threshold) <= settings.clinical.ebv_band_fraction * threshold:
        text = message("ebv_dna_near_threshold.value", copies=copies, threshold=threshold)
        eligibility.warnings.append(("ebv_dna_near_threshold", text))
    factor = _factor(result, settings)
    if value.is_converted and factor is not None:
        whose = [
            factor.laboratory or message("ebv_dna.any_laboratory"),
            factor.assay or message("ebv_dna.any_assay"),
        ]
        text = message("ebv_dna_converted.factor", factor=factor.factor, whose=whose)
        eligibility.warnings.append(("ebv_dna_converted", text))


def _warn_of_unusable_later(eligibility: Eligibility, unusable: list[tuple[EbvResult, str]], used: EbvResult) -> None:
    day = used.provenance.observed_on
    # Another result of the same draw is no other information.
    why = next((why for result, why in unusable if day is None or result.provenance.observed_on != day), None)
    if why is not None:
        text = (
            message("ebv_dna_later_unusable.day", day=day, why=why)
            if day
            else message("ebv_dna_later_unusable.no_day", why=why)
        )
        eligibility.warnings.append(("ebv_dna_later_unusable", text))
