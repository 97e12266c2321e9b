"""Messages: both languages of each, what they survive, and that no sentence of a reason is built in code."""

from __future__ import annotations

import ast
import json
import pickle
import re
import string
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from config.messages.catalogue import CATALOGUE
from config.messages.message import Message, message, render, sentences
from config.messages.stored import from_json, rendered, to_json
from config.messages.template import fields_of
from tests.chinese_terms import LATIN, latin_words

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("config", "node", "workers", "dicom_sr")
SEVERAL = ("list", "and", "or", "and_the", "sentences", "semicolons", "pieces")


def kinds_of(template: str) -> dict[str, set[tuple[str, str]]]:
    kinds: dict[str, set[tuple[str, str]]] = {}
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name and not (spec or "").startswith("plural:"):
            kinds.setdefault(name, set()).add((spec or "", conversion or ""))
    return kinds


def sample(key: str) -> Message:
    """The message with a value of its kind for each field."""
    values: dict[str, Any] = {}
    for name, kinds in kinds_of(CATALOGUE[key][0]).items():
        spec = next((spec for spec, _ in kinds if spec), "")
        if spec in SEVERAL:
            values[name] = ["7", message("state.held")]
        else:
            values[name] = 3.5 if re.fullmatch(r"\.?\d*[fg%]", spec) else "7"
    for name in fields_of(CATALOGUE[key][0]) - values.keys():  # a number that only chooses a plural
        values[name] = 2
    return message(key, **values)


def test_every_message_has_both_languages_with_the_same_fields() -> None:
    for key in CATALOGUE:
        check_languages(key)


def check_languages(key: str) -> None:
    english, chinese = CATALOGUE[key]
    assert english.strip(), key
    assert chinese.strip(), key
    assert fields_of(english) == fields_of(chinese), key
    # Numbers are rounded in the same way in both languages.
    numeric = [
        {(n, s) for n, k in kinds_of(t).items() for s, _ in k if s[-1:] in "fg%" and s} for t in (english, chinese)
    ]
    assert numeric[0] == numeric[1]


def test_chinese_messages_have_no_english_words() -> None:
    found = {key: words for key, (_, chinese) in CATALOGUE.items() if (words := latin_words(chinese) - LATIN)}
    assert found == {}


def test_every_chinese_sentence_is_rendered_with_its_values() -> None:
    for key in CATALOGUE:
        built = sample(key)
        assert "{" not in built.render("zh")
        assert "{" not in built


def test_a_sentence_is_the_same_in_english_and_has_its_numbers_in_chinese() -> None:
    text = message("mr_too_old.days", study_day=date(2026, 3, 1), days=20, limit=14)
    assert text == "The MR of 2026-03-01 was taken 20 days before the treatment; 14 are allowed."
    assert text.render("zh") == "2026-03-01 的 MR 摄于治疗前 20 天; 允许至多 14 天。"


def test_nested_messages_lists_and_plurals_follow_the_language() -> None:
    places = [message("part.from_to_mm", low=3.0, high=9.0)]
    gap = message("missing_slice.between", n=1, places=places, step=3.0)
    assert gap == "1 slice is missing between 3.0 and 9.0 mm (step 3.00 mm)"
    assert gap.render("zh") == "3.0 与 9.0 mm 之间缺少 1 层 (层间距 3.00 mm)"
    shared = message("ambiguous_roi.number_shared", number=3, names=[message("roi.name", name=n) for n in ("a", "b")])
    assert shared.startswith("the ROI number 3 is shared by 'a' and 'b'; ")
    assert shared.render("zh").startswith("ROI 编号 3 被 “a”和“b” 共用")


def test_several_sentences_are_joined_as_the_language_does() -> None:
    both = sentences([message("condition.no_contour"), message("condition.no_ce_t1w")])
    assert both == "There is no contour. No series has the role CE-T1w."
    assert render(both, "zh") == "没有勾画。没有序列被判定为 CE-T1w。"


def test_a_message_survives_json_text_and_pickle() -> None:
    for key in CATALOGUE:
        check_stored(key)


def check_stored(key: str) -> None:
    built = sample(key)
    document = {"code": "x", "text": built, "reason": built, "notes": [built, "a person's words"], "n": 1}
    restored = from_json(json.loads(json.dumps(to_json(document))))
    assert restored == document
    unpickled = pickle.loads(pickle.dumps(built))  # noqa: S301 - our own bytes
    for text in (restored["text"], restored["reason"], restored["notes"][0], unpickled):
        assert text.render("zh") == built.render("zh")
    assert json.loads(json.dumps(to_json(document)))["text"] == str(built)


def test_a_text_of_an_earlier_version_stays_as_it_is() -> None:
    stored = {"code": "missing_series", "text": "The T2w series is missing.", "message": "of_another_version",
              "parameters": {}}  # fmt: skip
    assert rendered({"code": "x", "text": "Something."}, "zh") == {"code": "x", "text": "Something."}
    assert rendered(stored, "zh")["text"] == "The T2w series is missing."
    # A template that has other fields today: the sentence that was said remains.
    changed = {"text": "The T2w series is missing.", "message": "missing_series.none", "parameters": {"role": "T2w"}}
    assert rendered(changed, "zh") == {"text": "The T2w series is missing."}


def test_wrong_parameters_are_refused_where_the_message_is_built() -> None:
    with pytest.raises(ValueError, match=r"expected the parameters \['other_days', 'study_day'\]"):
        message("condition.contour_date_differs", study_day="2026-01-01")
    with pytest.raises(ValueError, match="format code 'f'"):
        message("mr_age.within_limit", days=1, limit=2) and message("image.distances", least="a", most=1.0)


# Which argument of a call is a sentence for people.
SENTENCES = {
    "IneligibleStudyError": 1, "Reason": 1, "Finding": 1, "EligibilityFinding": 2, "Gap": 2, "AdmissionFinding": 2,
    "fail": 3, "refuse": 3, "record": 3, "ModelCondition": 2, "EvidenceVerdict": 1, "FlatImageError": 0,
    "wait_for_space": 2, "restart_job": 2, "supersede": 2, "StageJudgement": 1,
}  # fmt: skip
# Another `Finding`, or findings about the installation and files, which the terminal shows in English.
NOT_OF_A_STUDY = ("node/runtime/", "node/store/consistency.py", "workers/hostile/", "node/audit/", "workers/training/",
                  "workers/validation/")  # fmt: skip
# A kind of error and its own text, which no catalogue can have.
OF_LIBRARIES = {"f'{type(error).__name__}: {error}'"}


def is_built(node: ast.expr, local: dict[str, list[ast.expr]], depth: int = 0) -> bool:
    if isinstance(node, ast.JoinedStr):
        return ast.unparse(node) not in OF_LIBRARIES
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and " " in node.value.strip()
    if isinstance(node, ast.BinOp):
        return True
    if isinstance(node, ast.IfExp):
        return is_built(node.body, local, depth) or is_built(node.orelse, local, depth)
    if isinstance(node, ast.Name) and depth < 3:
        return any(is_built(value, local, depth + 1) for value in local.get(node.id, ()))
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("join", "format")


def built_sentences(tree: ast.Module) -> Iterator[str]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        local: dict[str, list[ast.expr]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                local.setdefault(node.targets[0].id, []).append(node.value)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                local.setdefault(node.target.id, []).append(node.value)
        for node in ast.walk(function):
            for sentence in sentences_of(node):
                if is_built(sentence, local):
                    yield f"{function.name}: {ast.unparse(sentence)[:80]}"


def sentences_of(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        at = SENTENCES.get(name)
        if at is not None and len(node.args) > at:
            yield node.args[at]
        # Warnings are pairs of code and sentence.
        if name == "append" and isinstance(node.args[0], ast.Tuple) and len(node.args[0].elts) == 2:
            yield node.args[0].elts[1]
    elif isinstance(node, ast.Dict):
        named = {
            key.value: value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)
        }
        if "code" in named and "text" in named:
            yield named["text"]


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((PROJECT / room).rglob("*.py")):
            yield path.relative_to(PROJECT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trees() -> list[tuple[str, ast.Module]]:
    return list(sources())


def test_no_sentence_of_a_reason_warning_condition_or_timeline_is_built_in_code(
    trees: list[tuple[str, ast.Module]],
) -> None:
    found = [
        f"{name}: {built}"
        for name, tree in trees
        if not name.startswith(
            (*NOT_OF_A_STUDY, "node/cli/", "workers/cli/", "node/clinical/", "node/dicom/", "node/web/")
        )
        for built in built_sentences(tree)
    ]
    assert found == []


def test_the_source_uses_messages_of_the_catalogue_and_the_catalogue_has_no_others(
    trees: list[tuple[str, ast.Module]],
) -> None:
    named = {key for _, tree in trees for key in literal_keys(tree)}
    assert named - CATALOGUE.keys() == set()
    used = named | {
        key for name, tree in trees if not name.startswith("config/messages/") for key in composed_keys(tree)
    }
    assert sorted(CATALOGUE.keys() - used) == []


def literal_keys(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "message" and node.args:
            choices = [node.args[0].body, node.args[0].orelse] if isinstance(node.args[0], ast.IfExp) else node.args[:1]
            yield from (each.value for each in choices if isinstance(each, ast.Constant))


def composed_keys(tree: ast.Module) -> Iterator[str]:
    """Keys of the catalogue that an f-string of the module gives, each part of which is in the module as well."""
    constants = {str(node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    constants |= {word for text in constants for word in text.split("_")}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and any("." in getattr(part, "value", "") for part in node.values
                                                   if isinstance(part, ast.Constant)):  # fmt: skip
            parts = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else "(.*)" for part in node.values]
            pattern = re.compile("".join(parts))
            is_open = isinstance(node.values[0], ast.FormattedValue)
            for key in CATALOGUE:
                match = pattern.fullmatch(key)
                if match and (not is_open or key.split(".")[0] in constants):
                    yield key
