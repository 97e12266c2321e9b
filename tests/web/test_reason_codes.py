"""Every code that the program gives for a reason, warning or finding has words and advice in both languages.

The codes are collected from the source itself, so that a new one without an entry fails here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from config.indication.vocabulary import Condition
from config.messages.catalogue import CATALOGUE
from config.messages.finding_reasons import FINDINGS
from config.messages.message import message
from config.messages.reasons import REASONS
from config.messages.stored import named, restored
from config.severities import SEVERITIES
from node.web.translations import translations_of

WORDS = {**REASONS, **FINDINGS}
PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("config", "node", "workers", "dicom_sr")
# Called with a code as the argument at this position.
CALLED = {
    "IneligibleStudyError": 0, "Reason": 0, "Finding": 0, "EligibilityFinding": 1, "Gap": 1, "fail": 2, "refuse": 2,
    "_stop": 2,
}  # fmt: skip
# Modules whose `Finding` or pairs of texts are something else; codes of the catalogue are found by their keys.
NO_REASONS = ("config/messages/", "node/store/consistency.py", "node/runtime/health.py", "node/web/", "node/clinical/",
              "node/dicom/scp/access_control.py", "node/cli/", "workers/cli/", "node/audit/",
              "workers/hostile/")  # fmt: skip
# What a series name says about contrast, and half a sentence; no reasons of a case.
OTHERS = frozenset({"given", "none", "unsaid", "contradictory"})


def is_code(text: str) -> bool:
    return (
        len(text) > 1
        and text.isascii()
        and text.replace("_", "").isalnum()
        and text == text.lower()
        and not text.isdigit()
    )


def codes_in(tree: ast.Module) -> Iterator[str]:
    constants: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            both = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            names, values = (target.elts, node.value.elts) if both else ([target], [node.value])
            constants |= {
                name.id: value for name, value in zip(names, values, strict=True) if isinstance(name, ast.Name)
            }

    def texts(node: ast.expr) -> Iterator[str]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and node.id in constants:
            yield from texts(constants[node.id])
        elif isinstance(node, ast.IfExp):
            yield from texts(node.body)
            yield from texts(node.orelse)

    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            if name == "append" and isinstance(node.args[0], ast.Tuple) and len(node.args[0].elts) == 2:
                yield from texts(node.args[0].elts[0])
            position = CALLED.get(name)
            if position is not None and len(node.args) > position:
                yield from texts(node.args[position])
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    yield from texts(value)
        elif isinstance(node, ast.Tuple) and 2 <= len(node.elts) <= 3 and _is_sentence(node.elts[-1]):
            yield from texts(node.elts[-2])


def _is_sentence(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") == "message"
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and " " in node.value.strip() and node.value[:1].isalpha()
    return isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.Constant) for part in node.values)


def emitted_codes() -> dict[str, str]:
    """Code -> a module that gives it."""
    found: dict[str, str] = {}
    for room in ROOMS:
        for path in sorted((PROJECT / room).rglob("*.py")):
            name = str(path.relative_to(PROJECT))
            if not name.startswith(NO_REASONS):
                for code in codes_in(ast.parse(path.read_text(encoding="utf-8"))):
                    if is_code(code) and code not in OTHERS:
                        found.setdefault(code, name)
    # A key is a code and a situation; a module may put both together.
    for code in {key.split(".")[0] for key in CATALOGUE} & SEVERITIES.keys() - {*Condition}:
        found.setdefault(code, "config/messages")
    return found


def test_the_codes_of_the_source_are_found() -> None:
    """One code of each way in which the source gives one."""
    assert emitted_codes().keys() >= {
        "missing_slice", "implausible_volume", "monochrome1", "contours_repeated", "header_value", "worker_lost",
        "artefacts_gone", "out_of_space", "cancelled", "extrapolated", "thick_slices", "patient_age_differs",
        "missing_series", "age_unknown", "superseded",
    }  # fmt: skip


def test_every_code_that_the_program_gives_has_words_and_advice_in_both_languages() -> None:
    assert {code: module for code, module in emitted_codes().items() if code not in WORDS} == {}
    for code in WORDS:
        short = {language: translations_of(language).reason(code) for language in ("en", "zh")}
        assert short["en"] != short["zh"], code
        assert not short["zh"].isascii(), code
        assert all(translations_of(language).advice(code) for language in ("en", "zh")), code


def test_a_code_is_either_a_reason_of_a_case_or_a_finding_of_a_report() -> None:
    assert not REASONS.keys() & FINDINGS.keys()


def test_a_text_of_the_ledger_is_shown_in_the_language_of_the_page() -> None:
    text = message("thick_slices.distance", role="T2w", step=7.5)
    chinese = translations_of("zh")
    assert chinese.text(restored(str(text), named(text))) == "T2w 的层间距为 7.5 mm。"
    assert chinese.text(text) == "T2w 的层间距为 7.5 mm。"
    assert translations_of("en").text(restored(str(text), named(text))) == "The slices of the T2w are 7.5 mm apart."
    # A row of an earlier version has its English text only.
    assert (
        chinese.text(restored("The slices of the T2w are 7.5 mm apart.", None))
        == "The slices of the T2w are 7.5 mm apart."
    )
