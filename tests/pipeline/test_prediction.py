"""From scores to the report: the stability of the answer."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from config.decision_policy import DecisionPolicy
from config.settings import BUNDLES
from dicom_sr.report.treatment_report import StabilityPart
from node.cases.case_inputs import ComputeRequest
from workers.bundles.bundle import Bundle
from workers.nomogram.nomogram_file import load_nomogram
from workers.pipeline.computation import Analysis
from workers.pipeline.prediction import answer_stability
from workers.scores.scoring import Scores
from workers.stability.variants import VariantKind, VariantScores

NOMOGRAM = load_nomogram(BUNDLES / "demonstration" / "nomogram.json")
POLICY = replace(DecisionPolicy.of(NOMOGRAM.indication), stability_share=0.75)
KINDS = (VariantKind.CONTOUR, VariantKind.CONTOUR, VariantKind.SLICES, VariantKind.SLICES)


def analysis(predictive: list[float] | None) -> Analysis:
    variants = None
    if predictive is not None:
        variants = VariantScores(KINDS, Scores(np.zeros((1, 4)), np.array([predictive])))
    return Analysis(0.0, -0.4, {}, variants=variants)


def request(category: str) -> ComputeRequest:
    return cast(ComputeRequest, SimpleNamespace(age_years=40.0, ebv={"category": category}))


@pytest.mark.parametrize("category", ["<=threshold", ">threshold", "unknown"])
def test_the_report_tells_what_held_and_what_did_not(category: str) -> None:
    # ICT+CCRT is favoured below a Predictive-score of -0.112 (workers/nomogram), for the report and all but the third.
    bundle = cast(Bundle, SimpleNamespace(nomogram=NOMOGRAM))
    stability = answer_stability(analysis([-0.5, -0.3, 0.1, -0.2]), request(category), bundle, POLICY)
    assert stability is not None
    assert (stability.held, stability.of, stability.minimum_share) == (3, 4, 0.75)
    assert stability.parts == (StabilityPart("contour", 2, 2), StabilityPart("slices", 1, 2))
    assert stability.is_stable
    unstable = answer_stability(analysis([-0.5, 0.3, 0.1, -0.2]), request(category), bundle, POLICY)
    assert unstable is not None
    assert not unstable.is_stable


def test_without_variants_nothing_is_told() -> None:
    bundle = cast(Bundle, SimpleNamespace(nomogram=NOMOGRAM))
    assert answer_stability(analysis(None), request("unknown"), bundle, POLICY) is None
