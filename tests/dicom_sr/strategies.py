"""Any report that a computation could give, for property tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage, RTStructureSetStorage, SegmentationStorage

from config.indication.vocabulary import AnswerRule, Condition, ConditionState, EbvCategory, SeriesRole, TreatmentArm
from dicom_sr.report.report_status import ReplacedReport, Withdrawal
from dicom_sr.report.treatment_report import (
    NOT_DETECTED,
    ArmResult,
    ConditionOfUse,
    ContourUsed,
    DfsEstimate,
    EbvDna,
    Fact,
    ModelIdentity,
    Reason,
    Scenario,
    Scores,
    SeriesUsed,
    Stability,
    StabilityPart,
    Stage,
    TreatmentReport,
)

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40)
some_words = words.map(lambda text: f"{text}x")  # at least one visible character
uids = st.integers(1, 2**120).map(lambda n: f"2.25.{n}")
fractions = st.floats(0, 1)
scores = st.floats(-1, 1)
digests = st.sampled_from(["", "sha256:" + "0a" * 32])
reasons = st.lists(st.builds(Reason, st.from_regex(r"[a-z_]{1,20}", fullmatch=True), some_words), max_size=3).map(tuple)
facts = st.none() | st.builds(Fact, some_words, st.none() | st.dates(date(1900, 1, 1)), st.none() | words)
moments = st.datetimes(
    datetime(1990, 1, 1), datetime(2100, 1, 1),
    timezones=st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)  # fmt: skip


@st.composite
def estimates(draw: st.DrawFn) -> DfsEstimate:
    low, value, high = sorted(draw(st.tuples(fractions, fractions, fractions)))
    return DfsEstimate.rounded(value, low, high)


@st.composite
def arms(draw: st.DrawFn, arm: TreatmentArm, horizons: tuple[int, ...]) -> ArmResult:
    factors = draw(st.sets(st.sampled_from(("age", "ebv_dna", "prognostic_score", "predictive_score"))))
    points = {factor: draw(st.floats(-50, 300)) for factor in factors}
    return ArmResult(arm, points, draw(st.floats(-50, 500)), {months: draw(estimates()) for months in horizons})


@st.composite
def scenarios(
    draw: st.DrawFn,
    category: EbvCategory,
    horizons: tuple[int, ...],
    model: ModelIdentity,
    is_valid: bool,
    stability: Stability | None,
) -> Scenario:
    ict, ccrt = draw(arms(TreatmentArm.ICT_CCRT, horizons)), draw(arms(TreatmentArm.CCRT, horizons))
    interval = st.tuples(st.floats(-1, 1), st.floats(-1, 1))
    intervals = {months: draw(interval) for months in draw(st.sets(st.sampled_from(horizons)))}
    return Scenario.decided(category, ict, ccrt, intervals, model, is_valid=is_valid, stability=stability)


@st.composite
def stabilities(draw: st.DrawFn) -> Stability:
    parts = draw(st.lists(st.builds(StabilityPart, some_words, st.integers(0, 20), st.integers(20, 40)), max_size=3))
    held, of = sum(part.held for part in parts), sum(part.of for part in parts)
    return Stability(held, of, draw(fractions), tuple(parts))


@st.composite
def ebv_dna(draw: st.DrawFn) -> EbvDna:
    """A number, a comparator with its bound, "not detected", or nothing."""
    copies = st.floats(0, 1e12)
    number, comparator, bound = draw(
        st.tuples(st.none() | copies, st.none(), st.none())
        | st.tuples(st.none(), st.sampled_from(["<", "<=", ">", ">="]), copies)
        | st.just((None, NOT_DETECTED, None))
    )
    return EbvDna(
        draw(st.sampled_from(list(EbvCategory))), number, draw(st.none() | words), draw(st.floats(0, 1e7)), draw(facts),
        comparator, bound,
    )  # fmt: skip


@st.composite
def reports(draw: st.DrawFn, patient_id: str, study: str, instances: tuple[str, ...]) -> TreatmentReport:
    """A report of the given study whose representative slices are among `instances`."""
    horizons = tuple(sorted(draw(st.sets(st.integers(1, 240), min_size=1, max_size=3))))
    model = draw(st.builds(
        ModelIdentity, name=words, version=words, digest=digests, network_digest=digests, nomogram_digest=digests,
        intended_use=words, training_population=words, demonstration=st.booleans(), nomogram_citation=words,
        horizon_months=st.sampled_from(horizons), threshold=st.floats(-0.5, 0.5),
        rule=st.sampled_from(list(AnswerRule)),
    ))  # fmt: skip
    categories = draw(st.lists(st.sampled_from(list(EbvCategory)), unique=True, max_size=3))
    some_reason = st.lists(st.builds(Reason, st.just("other"), some_words), min_size=1, max_size=2).map(tuple)
    series = st.builds(
        SeriesUsed, st.sampled_from(list(SeriesRole)), uids, st.sampled_from([MRImageStorage, EnhancedMRImageStorage]),
        words, st.integers(0, 500), st.sampled_from(instances), st.none() | st.integers(1, 900), words,
    )  # fmt: skip
    contour = st.builds(
        ContourUsed, uids, st.sampled_from([RTStructureSetStorage, SegmentationStorage]), uids, uids, some_words,
        st.integers(0, 9999), st.floats(0, 900), st.integers(0, 500), words,
    )  # fmt: skip
    states = st.sampled_from(list(ConditionState))
    conditions = st.builds(ConditionOfUse, st.sampled_from(list(Condition)), states, words)
    part = st.none() | st.sampled_from(["T3", "N1", "M0", "T4", "N2b", "N3", "M1b", "MX"]) | words
    values: dict[str, Any] = {
        "patient_id": patient_id,
        "study_instance_uid": study,
        "report_identity": draw(st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
        "revision": draw(st.integers(1, 99999)),
        "created": draw(moments),
        "software_version": draw(words),
        "model": model,
        "age_years": draw(st.none() | st.floats(0, 120)),
        "age_source": draw(words),
        "ebv_dna": draw(ebv_dna()),
        "stage": draw(st.builds(Stage, part, part, part, st.none() | st.sampled_from(["7", "8", "9"]) | words,
                                st.booleans(), facts, st.sampled_from([None, "yes", "no"]))),
        "series": tuple(draw(st.lists(series, max_size=3, unique_by=lambda used: used.role))),
        "contours": tuple(draw(st.lists(contour, max_size=2, unique_by=lambda used: used.sop_instance_uid))),
        "scores": draw(st.none() | st.builds(Scores, scores, scores)),
        "horizons_months": horizons,
        "quality": draw(reasons),
        "warnings": draw(reasons),
        "refusals": () if categories else draw(some_reason),
        "predecessors": tuple(draw(st.lists(uids, max_size=3, unique=True))),
        "conditions": tuple(draw(st.lists(conditions, max_size=11, unique_by=lambda condition: condition.code))),
    }  # fmt: skip
    withdrawal = st.none() | st.builds(Withdrawal, moments, some_words, some_words)
    values["withdrawal"] = None if categories else draw(withdrawal)
    values["replaced"] = draw(st.none() | st.builds(ReplacedReport, st.integers(1, 99999), moments))
    if values["withdrawal"] is not None:
        values |= {"scores": None, "predecessors": (draw(uids),), "refusals": draw(reasons)}
    unanswered = TreatmentReport(**values, stability=draw(st.none() | stabilities()))
    valid, stability = unanswered.is_valid, unanswered.stability
    drawn = tuple(draw(scenarios(category, horizons, model, valid, stability)) for category in categories)
    return replace(unanswered, scenarios=drawn)
