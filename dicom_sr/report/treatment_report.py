"""TreatmentReport: the finished result of one study, before it becomes DICOM.

Every object that leaves the node (SR, picture, PDF, JSON) shows numbers of this one value. Numbers are rounded once,
when the value is built, so that a reader who subtracts two displayed rates gets the displayed difference. Text is
normalised at the same time: DICOM text has neither control characters nor blanks at its ends, so they are removed when
the value is built, and the text that is written is the text that is read back.

Units: DFS is a fraction in [0, 1] rounded to a tenth of a percent, horizons are months, ages years, volumes mL (= cm3),
EBV DNA copies/mL. `prognostic_score` rises with risk; a low `predictive_score` favours ICT+CCRT. Both are in (-1, 1).
Source of the quantities: Zhong et al., EBioMedicine 2021;70:103522.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from config.answer import decide
from config.indication.conventions import (
    AGE_DECIMALS,
    COPIES_DECIMALS,
    DFS_DECIMALS,
    POINTS_DECIMALS,
    SCORE_DECIMALS,
    SHARE_DECIMALS,
    THRESHOLD_DECIMALS,
    VOLUME_DECIMALS,
    displayed_difference,
    round_to,
)
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.nasopharynx_staging import other_group, stage_group
from config.indication.vocabulary import (
    Answer,
    AnswerGround,
    AnswerRule,
    Condition,
    ConditionState,
    EbvCategory,
    ReportStatus,
    SeriesRole,
    Severity,
    TreatmentArm,
)
from config.severities import condition_severity, invalidates, severity_of
from dicom_sr.report.normalisation import NormalisedValue, rounded_to
from dicom_sr.report.report_status import ReplacedReport, Withdrawal

NOT_DETECTED = "not-detected"  # the comparator of a result below the limit of detection


@dataclass(frozen=True)
class Reason(NormalisedValue):
    """The reason of a refusal, a warning or a quality finding: a stable code, and a sentence for the reader."""

    code: str
    text: str

    @property
    def severity(self) -> Severity:
        """What it does to a result that was computed; as the reason of a refusal every code blocks."""
        return severity_of(self.code)


@dataclass(frozen=True)
class ConditionOfUse(NormalisedValue):
    """One condition under which the model may be used, its state for this patient, and a sentence with the grounds."""

    code: Condition
    state: ConditionState
    text: str

    @property
    def severity(self) -> Severity:
        """What its state does to the result."""
        return condition_severity(self.code, self.state)


@dataclass(frozen=True)
class DfsEstimate(NormalisedValue):
    """Disease-free survival at one horizon.

    Attributes
    ----------
    value : float
        Probability in [0, 1], rounded to a tenth of a percent.
    ci95 : pair of float
        Lower and upper end of the 95 % confidence interval, low <= value <= high.
    """

    value: float = field(metadata=rounded_to(DFS_DECIMALS))
    ci95: tuple[float, float] = field(metadata=rounded_to(DFS_DECIMALS))

    @classmethod
    def rounded(cls, value: float, low: float, high: float) -> DfsEstimate:
        """Build the estimate from three fractions, which are rounded.

        Parameters
        ----------
        value : float
            DFS in [0, 1].
        low, high : float
            Ends of its 95 % confidence interval.

        Returns
        -------
        DfsEstimate
            Rounded to a tenth of a percent.
        """
        return cls(value, (low, high))


@dataclass(frozen=True)
class ArmResult(NormalisedValue):
    """The nomogram's result for one regimen.

    Attributes
    ----------
    points : mapping of str to float
        Nomogram points by factor: ``age``, ``ebv_dna``, ``prognostic_score``, ``predictive_score``.
    total_points : float
        The sum, rounded by itself: it may differ from the sum of the rounded points by a tenth or two.
    dfs : mapping of int to DfsEstimate
        DFS by horizon in months.
    """

    arm: TreatmentArm
    points: Mapping[str, float] = field(metadata=rounded_to(POINTS_DECIMALS))
    total_points: float = field(metadata=rounded_to(POINTS_DECIMALS))
    dfs: Mapping[int, DfsEstimate]


@dataclass(frozen=True)
class Scenario(NormalisedValue):
    """Both regimens for one EBV DNA category; an unknown category gives two scenarios.

    Attributes
    ----------
    difference_ci95 : mapping of int to pair of float
        By horizon in months, the 95 % confidence interval of `difference`, as fractions; empty where none was computed.
    ground : AnswerGround
        Why the answer is what it is; reports of earlier versions decided by the bare difference.
    """

    ebv_category: EbvCategory
    ict_ccrt: ArmResult
    ccrt: ArmResult
    recommendation: Answer
    difference_ci95: Mapping[int, tuple[float, float]] = field(metadata=rounded_to(DFS_DECIMALS), default_factory=dict)
    ground: AnswerGround = AnswerGround.POINT_DIFFERENCE

    @classmethod
    def decided(
        cls,
        ebv_category: EbvCategory,
        ict_ccrt: ArmResult,
        ccrt: ArmResult,
        difference_ci95: Mapping[int, tuple[float, float]],
        model: ModelIdentity,
        *,
        is_valid: bool = True,
        stability: Stability | None = None,
    ) -> Scenario:
        """Build the scenario with the answer that its displayed numbers give.

        Parameters
        ----------
        ebv_category, ict_ccrt, ccrt, difference_ci95
            The numbers of the scenario.
        model : ModelIdentity
            Horizon, threshold and rule of the decision.
        is_valid : bool
            Nothing invalidates the result, see `TreatmentReport.is_valid`.
        stability : Stability or None
            Of the whole report.

        Returns
        -------
        Scenario
            With recommendation and ground of `config.answer.decide`.
        """
        undecided = cls(ebv_category, ict_ccrt, ccrt, Answer.NO_RELIABLE_DIFFERENCE, difference_ci95)
        decision = decide(
            undecided.difference(model.horizon_months),
            undecided.difference_ci95.get(model.horizon_months),
            model.threshold,
            model.rule,
            is_valid=is_valid,
            is_stable=stability is None or stability.is_stable,
        )
        return replace(undecided, recommendation=decision.answer, ground=decision.ground)

    def difference(self, horizon_months: int) -> float:
        """Return DFS under ICT+CCRT minus DFS under CCRT, of the displayed (rounded) values.

        Parameters
        ----------
        horizon_months : int
            One of the report's horizons.

        Returns
        -------
        float
            A fraction in [-1, 1], to a tenth of a percent.
        """
        return displayed_difference(self.ict_ccrt.dfs[horizon_months].value, self.ccrt.dfs[horizon_months].value)


@dataclass(frozen=True)
class StabilityPart(NormalisedValue):
    """Recomputations of one kind, for example with the contour moved, and how many of them gave the same answer."""

    kind: str
    held: int
    of: int


@dataclass(frozen=True)
class Stability(NormalisedValue):
    """In how many recomputations with slightly other inputs the answer was the same.

    Attributes
    ----------
    held, of : int
        Recomputations with the same answer, and all of them.
    minimum_share : float
        Below this share, in [0, 1], the answer is "no reliable difference".
    parts : tuple of StabilityPart
        The same by kind; may be empty.
    """

    held: int
    of: int
    minimum_share: float = field(metadata=rounded_to(SHARE_DECIMALS))
    parts: tuple[StabilityPart, ...] = ()

    @property
    def is_stable(self) -> bool:
        """Whether the share is reached; true of no recomputation at all, which says nothing against an answer."""
        return round_to(self.held - self.minimum_share * self.of, SHARE_DECIMALS) >= 0


@dataclass(frozen=True)
class Fact(NormalisedValue):
    """The provenance of a clinical value: its source, its date, and the user who entered it."""

    source: str
    observed_on: date | None = None
    set_by: str | None = None


@dataclass(frozen=True)
class EbvDna(NormalisedValue):
    """Plasma EBV DNA before treatment.

    Attributes
    ----------
    copies_per_ml : float or None
        The number, where the laboratory gave one.
    as_given : str or None
        The laboratory's own words, for example ">4000" or "not detected".
    threshold_copies_per_ml : float
        The threshold that `category` refers to.
    comparator : str or None
        "<", "<=", ">" or ">=" where `bound_copies_per_ml` is a limit and not the result, or `NOT_DETECTED`; None for an
        exact number, and in reports of earlier versions.
    bound_copies_per_ml : float or None
        The number after the comparator.
    """

    category: EbvCategory
    copies_per_ml: float | None = field(metadata=rounded_to(COPIES_DECIMALS), default=None)
    as_given: str | None = None
    threshold_copies_per_ml: float = field(
        metadata=rounded_to(COPIES_DECIMALS), default=NASOPHARYNX.biomarker.threshold
    )
    provenance: Fact | None = None
    comparator: str | None = None
    bound_copies_per_ml: float | None = field(metadata=rounded_to(COPIES_DECIMALS), default=None)


@dataclass(frozen=True)
class Stage(NormalisedValue):
    """Clinical stage as recorded; a part that is None is unknown."""

    t: str | None = None
    n: str | None = None
    m: str | None = None
    edition: str | None = None  # "8" for AJCC/UICC 8th edition
    verified: bool = True
    provenance: Fact | None = None
    extranodal_extension: str | None = None  # advanced one: "yes" or "no", None where it is not recorded

    @property
    def text(self) -> str:
        """The stage as it is written, for example ``T3N1M0``; "unknown" without any part."""
        return "".join(part for part in (self.t, self.n, self.m) if part) or "unknown"

    @property
    def group(self) -> str | None:
        """The stage group by the recorded edition, for example ``III``; None where it is left open."""
        return stage_group(self.t, self.n, self.m, self.edition)

    @property
    def other_group(self) -> tuple[str, tuple[str, ...]] | None:
        """The groups by the other one of the editions 8 and 9, see `nasopharynx_staging.other_group`."""
        return other_group(self.t, self.n, self.m, self.edition, self.extranodal_extension)


@dataclass(frozen=True)
class SeriesUsed(NormalisedValue):
    """One MR series that was scored, and its representative slice (highest predicted risk)."""

    role: SeriesRole
    series_instance_uid: str
    sop_class_uid: str
    description: str
    n_tumour_slices: int
    representative_sop_instance_uid: str
    representative_frame_number: int | None = None  # 1-based, Enhanced MR only
    reason: str = ""


@dataclass(frozen=True)
class ContourUsed(NormalisedValue):
    """The contour that defined the tumour; `volume_ml` is in mL (= cm3), `n_slices` counts contoured slices."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    roi_name: str
    roi_number: int
    volume_ml: float = field(metadata=rounded_to(VOLUME_DECIMALS))
    n_slices: int
    reason: str = ""


@dataclass(frozen=True)
class ErrorOfScores(NormalisedValue):
    """Standard errors of both scores; the intervals contain them.

    Attributes
    ----------
    members : int
        Number of models whose scores are averaged, at least 2.
    prognostic_se, predictive_se : float
        Standard errors.
    correlation : float
        Of both errors, -1 to 1.
    degrees_of_freedom : float
        Of the variances, at least 1.
    """

    members: int
    prognostic_se: float = field(metadata=rounded_to(SCORE_DECIMALS))
    predictive_se: float = field(metadata=rounded_to(SCORE_DECIMALS))
    correlation: float = field(metadata=rounded_to(SCORE_DECIMALS))
    degrees_of_freedom: float = field(metadata=rounded_to(1))


@dataclass(frozen=True)
class Scores(NormalisedValue):
    """Outputs of the multi-task network, both in (-1, 1); of an ensemble the means.

    Attributes
    ----------
    error : ErrorOfScores or None
        None where there is one model, or an earlier version made the report.
    """

    prognostic_score: float = field(metadata=rounded_to(SCORE_DECIMALS))
    predictive_score: float = field(metadata=rounded_to(SCORE_DECIMALS))
    error: ErrorOfScores | None = None


@dataclass(frozen=True)
class ModelIdentity(NormalisedValue):
    """The model bundle behind a result: name, digests, training population, intended use and decision rule.

    Attributes
    ----------
    digest : str
        ``sha256:`` and the hex digest of the whole bundle.
    horizon_months : int
        The horizon of the recommendation.
    threshold : float
        The difference of DFS, as a fraction, above which ICT+CCRT is better by the site's standard.
    rule : AnswerRule
        Whether the interval of the difference decides, or the bare difference, as in reports of earlier versions.
    """

    name: str
    version: str
    digest: str
    network_digest: str
    nomogram_digest: str
    intended_use: str
    training_population: str
    demonstration: bool
    nomogram_citation: str = ""
    horizon_months: int = NASOPHARYNX.decision.horizon_months
    threshold: float = field(metadata=rounded_to(THRESHOLD_DECIMALS), default=0.0)
    rule: AnswerRule = AnswerRule.POINT


def by_severity(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Sort reasons by severity, the gravest first; those of one severity stay in their order."""
    return tuple(sorted(reasons, key=lambda reason: reason.severity.rank))


def _condition_rank(condition: ConditionOfUse) -> tuple[int, int, int]:
    # Within one severity a condition that is not met comes before one that was not checked.
    state = (ConditionState.NOT_MET, ConditionState.NOT_CHECKED, ConditionState.MET).index(condition.state)
    return condition.severity.rank, state, tuple(Condition).index(condition.code)


@dataclass(frozen=True)
class TreatmentReport(NormalisedValue):
    """The content of a report. With `refusals` or a `withdrawal` there are no scores and no scenarios.

    Attributes
    ----------
    report_identity : str
        SHA-256 (hex) over inputs, bundle, software and decision settings; all UIDs of the objects follow from it.
    revision : int
        1 for the first report of a study, then counted up.
    created : datetime
        With a time zone; the time of all objects.
    predecessors : tuple of str
        SOP Instance UIDs of the SRs that this report replaces.
    conditions : tuple of ConditionOfUse
        Each condition of use once, the gravest first; empty in reports of earlier versions.
    warnings, quality : tuple of Reason
        The gravest first.
    stability : Stability or None
        None where it was not computed.
    withdrawal : Withdrawal or None
        The result of the predecessor is withdrawn, and none takes its place; `refusals` may say why there is no new
        one.
    replaced : ReplacedReport or None
        The latest predecessor; None for a first report, and in reports of earlier versions.
    """

    patient_id: str
    study_instance_uid: str
    report_identity: str
    revision: int
    created: datetime
    software_version: str
    model: ModelIdentity
    age_years: float | None = field(metadata=rounded_to(AGE_DECIMALS))
    age_source: str
    ebv_dna: EbvDna
    stage: Stage
    series: tuple[SeriesUsed, ...] = ()
    contours: tuple[ContourUsed, ...] = ()
    scores: Scores | None = None
    scenarios: tuple[Scenario, ...] = ()
    horizons_months: tuple[int, ...] = NASOPHARYNX.horizons_months
    quality: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()
    refusals: tuple[Reason, ...] = ()
    predecessors: tuple[str, ...] = ()
    conditions: tuple[ConditionOfUse, ...] = ()
    stability: Stability | None = None
    withdrawal: Withdrawal | None = None
    replaced: ReplacedReport | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        # Here and not in each output, so that none can show a note before what invalidates the result.
        for name in ("warnings", "quality"):
            object.__setattr__(self, name, by_severity(getattr(self, name)))
        object.__setattr__(self, "conditions", tuple(sorted(self.conditions, key=_condition_rank)))

    @property
    def findings(self) -> tuple[Reason, ...]:
        """Warnings and quality findings together, the gravest first."""
        return by_severity((*self.warnings, *self.quality))

    @property
    def computed(self) -> bool:
        """Whether there is a result; otherwise `refusals` says why not."""
        return bool(self.scenarios)

    @property
    def status(self) -> ReportStatus:
        """Withdrawn or current, as the report itself says it; that it is superseded is known to its successor alone."""
        return ReportStatus.CURRENT if self.withdrawal is None else ReportStatus.WITHDRAWN

    @property
    def is_valid(self) -> bool:
        """Whether no warning, finding or condition of use invalidates the result for this patient."""
        findings: tuple[Reason | ConditionOfUse, ...] = (*self.warnings, *self.quality, *self.conditions)
        return not invalidates(each.severity for each in findings)

    @property
    def tumour_volume_ml(self) -> float | None:
        """Volume of the first contour in mL, None without a contour."""
        return self.contours[0].volume_ml if self.contours else None

    @property
    def recommendation(self) -> Answer | None:
        """The answer of every scenario; None when they disagree or nothing was computed."""
        recommended = {scenario.recommendation for scenario in self.scenarios}
        return recommended.pop() if len(recommended) == 1 else None
