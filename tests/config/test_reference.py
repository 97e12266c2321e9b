"""The configuration reference: generated, current, and complete."""

from __future__ import annotations

import json
import tomllib

from config.explained import explained
from config.reference import REFERENCE, reference
from config.settings import Hl7OutSettings, NotifiedAeSettings, WorklistSettings, load_settings

# Sections of which there is none by default.
OFF = {"hl7_out": Hl7OutSettings, "worklist": WorklistSettings, "notified_ae": NotifiedAeSettings}


def test_the_reference_is_current() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_every_setting_stands_in_the_reference_with_its_meaning() -> None:
    sections = {section.name: section for section in explained()}
    dumped = load_settings().model_dump(exclude={"source"})
    dumped["case.series_rules"] = dumped["case"].pop("series_rules")
    dumped.update({name: section().model_dump() for name, section in OFF.items()})
    for name, values in dumped.items():
        fields = values[0] if isinstance(values, tuple) else values
        assert set(fields) == {key.name for key in sections[name].keys}, name
        for key in sections[name].keys:
            assert key.comment, f"[{name}] {key.name} is not explained in default.toml"


def test_a_section_that_is_off_states_the_defaults_of_one_that_is_added() -> None:
    sections = {each.name: each for each in explained() if each.is_off}
    assert sections.keys() == OFF.keys()
    for name, section in sections.items():
        stated = {key.name: tomllib.loads(f"v = {key.value}")["v"] for key in section.keys if key.has_default}
        defaults = json.loads(OFF[name]().model_dump_json())
        assert section.repeated
        assert stated == {key: value for key, value in defaults.items() if value is not None}, name


def test_explanations_are_read_from_beside_and_above_a_key() -> None:
    text = '[a]                # first\nx = 1              # one, e.g. "#1"\n# y = "t"          # two\n'
    text += "# three\nz = [\n    1, 2,\n]\n[[b]]\nv = {}   # four\n"
    first, second = explained(text)
    assert (first.comment, second.repeated) == ("first", True)
    assert [(key.name, key.value, key.has_default) for key in first.keys] == [
        ("x", "1", True),
        ("y", '"t"', False),
        ("z", "[1, 2]", True),
    ]
    assert [key.comment for key in first.keys[1:]] == ["two", "three"]
    assert second.keys[0].comment == "four"


def test_defaults_in_the_reference_are_toml() -> None:
    for section in explained():
        for key in section.keys:
            assert tomllib.loads(f"v = {key.value}")["v"] is not None
