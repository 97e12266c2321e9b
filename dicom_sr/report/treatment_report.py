"""TreatmentReport: the finished result of one study, before it becomes DICOM.

Every object that leaves the node (SR, picture, PDF, JSON) shows numbers from this one value. Numbers are rounded
once, when the value is built, so a reader who subtracts two displayed rates gets the displayed difference. Text is
settled at the same door: DICOM text keeps neither control characters nor blanks at its ends, so they go when the value
is built, and what is written is what is read back.

Units: DFS is a fraction in [0, 1] rounded to a tenth of a percent, horizons are months, ages years, volumes mL (= cm3),
EBV DNA copies/mL. `prognostic_score` rises with risk; a low `predictive_score` favours ICT+CCRT. Both lie in (-1, 1).
Source of the quantities: Zhong et al., EBioMedicine 2021;70:103522.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import Enum
from typing import Any

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
from config.indication.vocabulary import EbvCategory, SeriesRole, TreatmentArm

LINE_BREAK = "\n"


def rounded_to(decimals: int) -> dict[str, int]:
    """Metadata of a dataclass field whose numbers are rounded to so many decimals when the value is built."""
    return {"decimals": decimals}


def clean_text(text: str) -> str:
    """The text as DICOM keeps it: no control characters but line breaks, no blanks at the ends of text or line."""
    lines = text.replace("\r\n", LINE_BREAK).replace("\r", LINE_BREAK).split(LINE_BREAK)
    kept = ("".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in line) for line in lines)
    return LINE_BREAK.join(line.rstrip() for line in kept).strip()


def _normalised(value: Any, decimals: int | None) -> Any:
    if isinstance(value, Enum | bool):
        return value
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError(f"a report holds finite numbers only, found {value}")
        return value if decimals is None else round_to(value, decimals)
    if isinstance(value, Mapping):
        return {key: _normalised(item, decimals) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_normalised(item, decimals) for item in value)
    return value


class NormalisedValue:
    """Base of the report's values: text and numbers take their final form when the value is built."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            value = _normalised(getattr(self, each.name), each.metadata.get("decimals"))
            absent = value == "" and each.type == "str | None"  # DICOM knows no empty text that is not absent
            object.__setattr__(self, each.name, None if absent else value)


@dataclass(frozen=True)
class Reason(NormalisedValue):
    """Why something was refused or is worth a warning: a stable code and a sentence for a person."""

    code: str
    text: str


@dataclass(frozen=True)
class DfsEstimate(NormalisedValue):
    """Disease-free survival at one horizon, as fractions, with its 95 % confidence interval."""

    value: float = field(metadata=rounded_to(DFS_DECIMALS))
    ci95: tuple[float, float] = field(metadata=rounded_to(DFS_DECIMALS))

    @classmethod
    def rounded(cls, value: float, low: float, high: float) -> DfsEstimate:
        """The estimate from unrounded numbers."""
        return cls(value, (low, high))


@dataclass(frozen=True)
class ArmResult(NormalisedValue):
    """One regimen: nomogram points by factor and DFS by horizon (months)."""

    arm: TreatmentArm
    points: Mapping[str, float] = field(
        metadata=rounded_to(POINTS_DECIMALS)
    )  # age, ebv_dna, prognostic_score, predictive_score
    total_points: float = field(metadata=rounded_to(POINTS_DECIMALS))
    dfs: Mapping[int, DfsEstimate]


@dataclass(frozen=True)
class Scenario(NormalisedValue):
    """Both regimens for one EBV DNA category; an unknown category gives two scenarios."""

    ebv_category: EbvCategory
    ict_ccrt: ArmResult
    ccrt: ArmResult
    recommendation: TreatmentArm
    difference_ci95: Mapping[int, tuple[float, float]] = field(metadata=rounded_to(DFS_DECIMALS), default_factory=dict)

    def difference(self, horizon_months: int) -> float:
        """DFS under ICT+CCRT minus DFS under CCRT, of the displayed (rounded) values."""
        gain = self.ict_ccrt.dfs[horizon_months].value - self.ccrt.dfs[horizon_months].value
        return round_to(gain, DFS_DECIMALS)


@dataclass(frozen=True)
class Fact(NormalisedValue):
    """Where a clinical value came from."""

    source: str
    observed_on: date | None = None
    set_by: str | None = None


@dataclass(frozen=True)
class EbvDna(NormalisedValue):
    """Plasma EBV DNA before treatment. `as_given` keeps the laboratory's own words (">4000", "not detected")."""

    category: EbvCategory
    copies_per_ml: float | None = field(metadata=rounded_to(COPIES_DECIMALS), default=None)
    as_given: str | None = None
    threshold_copies_per_ml: float = field(
        metadata=rounded_to(COPIES_DECIMALS), default=NASOPHARYNX.biomarker.threshold
    )
    provenance: Fact | None = None


@dataclass(frozen=True)
class Stage(NormalisedValue):
    """Clinical stage as recorded; empty parts are unknown."""

    t: str | None = None
    n: str | None = None
    m: str | None = None
    edition: str | None = None  # "8" for AJCC/UICC 8th edition
    verified: bool = True
    provenance: Fact | None = None

    @property
    def text(self) -> str:
        return "".join(part for part in (self.t, self.n, self.m) if part) or "unknown"


@dataclass(frozen=True)
class SeriesUsed(NormalisedValue):
    """One MR series behind the scores and its representative slice (highest predicted risk)."""

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
    """The contour that defined the tumour."""

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
class Scores(NormalisedValue):
    """Outputs of the multi-task network."""

    prognostic_score: float = field(metadata=rounded_to(SCORE_DECIMALS))
    predictive_score: float = field(metadata=rounded_to(SCORE_DECIMALS))


@dataclass(frozen=True)
class ModelIdentity(NormalisedValue):
    """Which model said it, on what it was trained, for what it may be used."""

    name: str
    version: str
    digest: str  # sha256:... of the whole bundle
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
    """Everything that a report says. With `refusals` there are no scores and no scenarios."""

    patient_id: str
    study_instance_uid: str
    report_identity: str  # sha256 hex over inputs, bundle, software and decision settings: the seed of all UIDs
    revision: int
    created: datetime  # timezone-aware
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
    predecessors: tuple[str, ...] = ()  # SOP Instance UIDs of the SRs that this one replaces

    @property
    def computed(self) -> bool:
        return bool(self.scenarios)

    @property
    def tumour_volume_ml(self) -> float | None:
        return self.contours[0].volume_ml if self.contours else None

    @property
    def recommendation(self) -> TreatmentArm | None:
        """The regimen that every scenario recommends; None when they disagree or nothing was computed."""
        found = {scenario.recommendation for scenario in self.scenarios}
        return found.pop() if len(found) == 1 else None
