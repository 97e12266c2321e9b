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

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from config.indication.conventions import (
    AGE_DECIMALS,
    COPIES_DECIMALS,
    DFS_DECIMALS,
    POINTS_DECIMALS,
    SCORE_DECIMALS,
    THRESHOLD_DECIMALS,
    VOLUME_DECIMALS,
    round_to,
)
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.nasopharynx_staging import other_group, stage_group
from config.indication.vocabulary import Condition, ConditionState, EbvCategory, SeriesRole, TreatmentArm
from dicom_sr.report.normalisation import NormalisedValue, rounded_to


@dataclass(frozen=True)
class Reason(NormalisedValue):
    """The reason of a refusal, a warning or a quality finding: a stable code, and a sentence for the reader."""

    code: str
    text: str


@dataclass(frozen=True)
class ConditionOfUse(NormalisedValue):
    """One condition under which the model may be used, its state for this patient, and a sentence with the grounds."""

    code: Condition
    state: ConditionState
    text: str


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
    """

    ebv_category: EbvCategory
    ict_ccrt: ArmResult
    ccrt: ArmResult
    recommendation: TreatmentArm
    difference_ci95: Mapping[int, tuple[float, float]] = field(metadata=rounded_to(DFS_DECIMALS), default_factory=dict)

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
        # Of the rounded rates, and rounded again: a difference of two decimals is not a decimal in binary.
        gain = self.ict_ccrt.dfs[horizon_months].value - self.ccrt.dfs[horizon_months].value
        return round_to(gain, DFS_DECIMALS)


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
    """

    category: EbvCategory
    copies_per_ml: float | None = field(metadata=rounded_to(COPIES_DECIMALS), default=None)
    as_given: str | None = None
    threshold_copies_per_ml: float = field(
        metadata=rounded_to(COPIES_DECIMALS), default=NASOPHARYNX.biomarker.threshold
    )
    provenance: Fact | None = None


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
        ICT+CCRT is recommended where its DFS exceeds that of CCRT by more than this fraction.
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


@dataclass(frozen=True)
class TreatmentReport(NormalisedValue):
    """The content of a report. With `refusals` there are no scores and no scenarios.

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
        Each condition of use once, in the order of `Condition`; empty in reports of earlier versions.
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

    @property
    def computed(self) -> bool:
        """Whether there is a result; otherwise `refusals` says why not."""
        return bool(self.scenarios)

    @property
    def tumour_volume_ml(self) -> float | None:
        """Volume of the first contour in mL, None without a contour."""
        return self.contours[0].volume_ml if self.contours else None

    @property
    def recommendation(self) -> TreatmentArm | None:
        """The regimen that every scenario recommends; None when they disagree or nothing was computed."""
        recommended = {scenario.recommendation for scenario in self.scenarios}
        return recommended.pop() if len(recommended) == 1 else None
