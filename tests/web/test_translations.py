"""Both languages are complete, and the report's terms are the report's."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import node.web
from config.messages.reasons import REASONS
from dicom_sr.report.wording import CHINESE, ENGLISH
from node.web.messages import MESSAGES
from node.web.translations import translations_of

HERE = Path(node.web.__file__).parent
# message -> field of dicom_sr/report/wording.py
SHARED = {
    "demonstration": "demonstration", "not_computed": "not_computed", "ci": "ci",
    "difference": "difference", "points": "points", "inputs": "inputs", "age": "age", "years": "years", "ebv": "ebv",
    "copies": "copies", "stage": "stage", "unverified": "unverified", "unknown": "unknown", "prognostic": "prognostic",
    "predictive": "predictive", "volume": "volume", "contour": "contour", "source": "source", "warnings": "warnings",
    "quality": "quality", "none": "none", "intended_use": "intended_use", "training_population": "training",
    "model": "model", "nomogram": "nomogram", "horizon_years": "horizon_years", "horizon_months": "horizon_months",
    "regimen_long_ICT+CCRT": "regimen_ict_long", "regimen_long_CCRT": "regimen_ccrt_long",
    "difference_points": "difference_points", "if_ebv_>threshold": "if_ebv_above",
    "if_ebv_<=threshold": "if_ebv_not_above",
}  # fmt: skip
CONTRACT_CODES = [
    "missing_series",
    "ambiguous_series",
    "missing_contour",
    "no_matching_roi",
    "ambiguous_roi",
    "frame_of_reference_mismatch",
    "identity_mismatch",
    "missing_slice",
    "inconsistent_geometry",
    "conflicting_instance",
    "unreadable_instance",
    "stage_unknown",
    "stage_not_eligible",
    "ebv_dna_unknown",
    "ebv_dna_unusable",
    "age_unknown",
    "mr_too_old",
    "prior_treatment",
    "out_of_distribution",
    "model_not_permitted",
]


@pytest.mark.parametrize("key", SHARED)
def test_terms_of_the_report_are_those_of_the_report(key: str) -> None:
    assert MESSAGES[key] == (getattr(ENGLISH, SHARED[key]), getattr(CHINESE, SHARED[key]))


def test_both_languages_fill_the_same_places() -> None:
    for key, (english, chinese) in MESSAGES.items():
        fields = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
            for text in (english, chinese)
        ]
        assert fields[0] == fields[1], key
        assert english, key
        assert chinese, key


def test_every_message_that_a_template_or_view_names_is_there() -> None:
    named: set[str] = set()
    for path in [*HERE.rglob("*.html"), *HERE.rglob("*.py")]:
        named |= set(
            re.findall(r"""(?:\bt|translations)\(\s*["']([a-z_]+)["']\s*[,)]""", path.read_text(encoding="utf-8"))
        )
    assert len(named) > 100
    assert named - set(MESSAGES) == set()


def test_every_reason_of_the_contract_has_words_and_advice() -> None:
    for code in CONTRACT_CODES:
        assert code in REASONS, code
        for language in ("en", "zh"):
            translations = translations_of(language)
            assert translations.reason(code) != code.replace("_", " "), (code, language)
            assert translations.advice(code), (code, language)
    assert translations_of("en").reason("something_new") == "something new"
