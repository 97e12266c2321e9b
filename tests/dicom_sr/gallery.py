"""The kinds of reports that a planner meets, each once: their pictures are looked at, and a script must read them.

usage: python -m tests.dicom_sr.gallery FOLDER [NAME...]
Writes of each report all pages as stored pictures and as PDF, the page that dsr2html makes of the SR, and the first
screens of dsr2html's page and of OHIF at 1280 x 720 (needs the peers of test_reader.py and test_viewers.py).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from config.indication.vocabulary import Condition, ConditionState, EbvCategory, TreatmentArm
from config.messages.message import message
from config.settings import BUNDLES
from dicom_sr.header.uids import uid_for
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.lossless import rgb_pixels
from dicom_sr.report.report_inputs import (
    DfsCurves,
    Language,
    ObjectKind,
    PagePictures,
    ReportObject,
    ReportOptions,
    SourceStudy,
)
from dicom_sr.report.report_status import ReplacedReport
from dicom_sr.report.treatment_report import (
    ArmResult,
    ConditionOfUse,
    DfsEstimate,
    EbvDna,
    Reason,
    Scenario,
    Scores,
    Stability,
    Stage,
    TreatmentReport,
)
from tests.dicom_sr import samples
from workers.nomogram.curves import survival_over_time
from workers.nomogram.drawing import PatientNomogram
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram
from workers.nomogram.result import NomogramResult
from workers.survival.covariates import PatientCovariates

STABLE = Stability(47, 50, 0.9)
UNAPPROVED = Reason("contour_not_approved", message("contour_not_approved.name", contour="GTVp"))
# 64 bytes with all groups, the most that dciodvfy takes; PS3.5 allows 64 characters in each.
LONG_NAME = "Konstantinopoulou-Featherstonehaugh^Maximiliane-Elisa=王^小东"
ABOVE = EbvDna(EbvCategory.ABOVE, 5000.0, "5000", provenance=samples.scored().ebv_dna.provenance)
NOT_ABOVE = EbvDna(EbvCategory.NOT_ABOVE, 1200.0, "1200", provenance=ABOVE.provenance)
UNKNOWN = EbvDna(EbvCategory.UNKNOWN)
NOT_COMPUTED = (ConditionState.NOT_CHECKED, message("report.nothing_computed"))
UNRECORDED_DAY = (ConditionState.NOT_CHECKED, message("condition.draw_day_unknown"))


@dataclass(frozen=True)
class Example:
    """A report, what its pages show beside it, the language of its pages, and the patient's name."""

    report: TreatmentReport
    pictures: PagePictures
    language: Language = "en"
    name: str = samples.CHINESE_NAME

    @property
    def sources(self) -> SourceStudy:
        """MR and contour; of a report without series only the MR."""
        sources = samples.sources(PatientName=self.name)
        return sources if self.report.series else replace(sources, masks=())

    def objects(self, *kinds: ObjectKind) -> list[ReportObject]:
        """The DICOM objects of the report."""
        return build_objects(
            self.report, self.sources, self.pictures, ReportOptions(kinds=kinds, language=self.language)
        )


@lru_cache(maxsize=1)
def nomogram() -> CoxNomogram:
    return load_nomogram(BUNDLES / "demonstration")


def scored(scores: Scores, ebv_dna: EbvDna, threshold: float = 0.0, **changes: Any) -> Example:
    """An example whose rates, intervals, curves and nomogram are those of one patient."""
    changes = {"stability": STABLE, "warnings": (UNAPPROVED,), **changes}
    changes = {"conditions": conditions(), **changes}
    report = samples.scored(scores=scores, ebv_dna=ebv_dna, **changes)
    return computed(replace(report, model=replace(report.model, threshold=threshold)))


def computed(report: TreatmentReport, language: Language = "en", name: str = samples.CHINESE_NAME) -> Example:
    """The report with the answers that the nomogram gives for its inputs, and with their pictures."""
    assert report.scores is not None
    is_known = report.ebv_dna.category is not EbvCategory.UNKNOWN
    categories = (report.ebv_dna.category,) if is_known else (EbvCategory.NOT_ABOVE, EbvCategory.ABOVE)
    results = {}
    for category in categories:
        is_above = category is EbvCategory.ABOVE
        scores = (report.scores.prognostic_score, report.scores.predictive_score)
        results[category] = nomogram().score(PatientCovariates(report.age_years, is_above, *scores))
    scenarios = tuple(scenario_of(report, category, result) for category, result in results.items())
    curves = tuple(
        DfsCurves(category, *survival_over_time(nomogram(), result, 60)) for category, result in results.items()
    )
    *lower, patient = results.values()
    drawing = PatientNomogram(nomogram(), patient, language, lower[0] if lower else None)
    pictures = replace(samples.pictures(), draw_nomogram=drawing, curves=curves)
    return Example(replace(report, scenarios=scenarios), pictures, language, name)


def scenario_of(report: TreatmentReport, category: EbvCategory, result: NomogramResult) -> Scenario:
    estimates = result.estimates_to_json()
    arms = [arm_of(arm, estimates) for arm in TreatmentArm]
    ends = {int(month): tuple(ci) for month, ci in estimates["difference_ci95"].items()}
    return Scenario.decided(category, *arms, ends, report.model, is_valid=report.is_valid, stability=report.stability)


def arm_of(arm: TreatmentArm, estimates: Mapping[str, Any]) -> ArmResult:
    points = {key: each[arm.value] if isinstance(each, dict) else each for key, each in estimates["points"].items()}
    dfs = {int(month): DfsEstimate(each["value"], each["ci95"]) for month, each in estimates["dfs"][arm.value].items()}
    return ArmResult(arm, points, estimates["total_points"][arm.value], dfs)


def conditions(**changes: tuple[ConditionState, str]) -> tuple[ConditionOfUse, ...]:
    """The conditions of a case whose contour is not approved, with changes by code."""
    differs = message("condition.contour_date_differs", other_days=["2024-03-20"], study_day="2024-03-11")
    usual = {
        "prior_malignancy": (ConditionState.NOT_CHECKED, message("condition.malignancies_not_recorded")),
        "contour_approved": (ConditionState.NOT_MET, message("condition.contour_not_approved", names="GTVp")),
        "contour_date": (ConditionState.NOT_MET, differs),
        "ebv_dna_assay": (ConditionState.NOT_CHECKED, message("condition.assay_not_stated")),
    }
    states = {**usual, **changes}
    return tuple(ConditionOfUse(code, *states.get(code, (ConditionState.MET, ""))) for code in Condition)


def gallery() -> dict[str, Example]:
    """The examples by name."""
    better, alike = Scores(-0.2, -0.4), Scores(-0.2, -0.2)
    ict = scored(Scores(0.1, -0.4), ABOVE)
    unknown = {"conditions": conditions(ebv_dna_window=UNRECORDED_DAY), "warnings": samples.unknown_ebv().warnings}
    examples = {
        "ict_ccrt": ict,
        "ccrt": scored(Scores(0.1, 0.2), NOT_ABOVE),
        "no_reliable_difference": scored(alike, NOT_ABOVE),
        "threshold_2": scored(better, NOT_ABOVE, 0.02),
        "threshold_5": scored(better, NOT_ABOVE, 0.05),
        "threshold_10": scored(better, NOT_ABOVE, 0.10),
        "ebv_unknown_agreeing": computed(replace(scored(Scores(0.1, -0.4), UNKNOWN).report, **unknown)),
        "ebv_unknown_disagreeing": computed(replace(scored(better, UNKNOWN, 0.05).report, **unknown)),
        "extrapolated": extrapolated(),
        "twelve_warnings": scored(Scores(0.1, -0.4), ABOVE, warnings=twelve_warnings()),
        "refused": refused(),
        "withdrawn": withdrawn(),
        "superseding": scored(Scores(0.1, -0.4), ABOVE, **successor()),
        "demonstration": computed(replace(ict.report, model=samples.model(demonstration=True))),
        "chinese": computed(ict.report, "zh"),
        "long_names": computed(replace(samples.crowded(), scores=better), name=LONG_NAME),
    }
    # Of another identity, so that each is a series of its own in one study.
    return {name: identified(name, example) for name, example in examples.items()}


def identified(name: str, example: Example) -> Example:
    identity = uid_for(name, "example").rpartition(".")[2].ljust(64, "0")[:64]
    return replace(example, report=replace(example.report, report_identity=identity))


def extrapolated() -> Example:
    age = message("input.age_years")
    text = message("extrapolated.input", input=age, value=79.2, low=18, high=72)
    return computed(
        samples.scored(
            age_years=79.2, scores=Scores(0.1, -0.4), stability=STABLE,
            conditions=conditions(model_range=(ConditionState.NOT_MET, text)),
            warnings=(Reason("extrapolated", text), UNAPPROVED),
        )
    )  # fmt: skip


def twelve_warnings() -> tuple[Reason, ...]:
    sentence = "the series was acquired with a repetition time of 1234 ms, outside the range of the training data"
    codes = ("header_value", "stage_unknown", "thick_slices", "newer_contour", "contour_gap", "series_joined")
    return tuple(Reason(codes[n % len(codes)], f"{n}: {sentence}.") for n in range(12))


def refused() -> Example:
    """A study without T2w of a patient without a stage, as the node writes it: what nobody checked is not met."""
    unchecked = {
        "stage": (ConditionState.NOT_CHECKED, "The stage is not recorded."),
        "contour_approved": (ConditionState.NOT_CHECKED, message("condition.no_contour")),
        "contour_date": (ConditionState.NOT_CHECKED, message("condition.contour_date_unknown")),
        "model_range": NOT_COMPUTED, "interval": NOT_COMPUTED,
    }  # fmt: skip
    return Example(samples.refused(conditions=conditions(**unchecked)), PagePictures())


def withdrawn() -> Example:
    """As the node writes it: without any input, since an input may be what was wrong."""
    report = samples.withdrawn(
        age_years=None, age_source="", ebv_dna=UNKNOWN, stage=Stage(verified=False), contours=(), series=()
    )
    return Example(report, PagePictures())


def successor() -> dict[str, Any]:
    earlier = samples.reprocessed()
    replaced = ReplacedReport(1, earlier.created.replace(day=11))
    return {"revision": 2, "predecessors": earlier.predecessors, "replaced": replaced}


def main(folder: Path, names: list[str]) -> None:
    from tests.dicom_sr.first_screens import first_screens

    folder.mkdir(parents=True, exist_ok=True)
    examples = {name: example for name, example in gallery().items() if not names or name in names}
    for name, example in examples.items():
        for each in example.objects("sc", "pdf"):
            stem = folder / f"{name}_{each.kind}_{each.dataset.InstanceNumber}"
            if each.kind == "sc":
                Image.fromarray(rgb_pixels(each.dataset)).save(stem.with_suffix(".png"))
            else:
                pdf = bytes(each.dataset.EncapsulatedDocument)[: each.dataset.EncapsulatedDocumentLength]
                stem.with_suffix(".pdf").write_bytes(pdf)
                subprocess.run(["pdftoppm", "-png", "-r", "100", stem.with_suffix(".pdf"), stem], check=True)
    first_screens(examples, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
