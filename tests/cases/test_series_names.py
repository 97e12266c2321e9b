"""Names of protocols (GE, Siemens, Philips, Canon, United Imaging; English, Chinese, German, Portuguese, ...) with
the physics that belongs to them: what physics and name together allow to be said, and nothing else.

`series_names.json` groups names by header; `accepted` are the answers that are right. "ambiguous" stands among them
where a radiographer could not tell either.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import SeriesRules
from node.cases.series_roles import classify_header

RULES = SeriesRules()
KNOWN = json.loads(Path(__file__).with_name("series_names.json").read_text(encoding="utf-8"))


def wrong(header: dict[str, Any], accepted: list[str]) -> str | None:
    decision = classify_header(header, RULES)
    if decision.role in accepted:
        return None
    return f"{header}: expected {' or '.join(accepted)}, found {decision.role} {decision.confidence}: {decision.reason}"


@pytest.mark.parametrize("group", KNOWN["names"], ids=lambda group: group["names"][0])
def test_names_with_their_physics(group: dict[str, Any]) -> None:
    found = [wrong({**group["header"], "SeriesDescription": name}, group["accepted"]) for name in group["names"]]
    assert [one for one in found if one] == []


def test_headers_without_a_name() -> None:
    found = [wrong(one["header"], one["accepted"]) for one in KNOWN["headers"]]
    assert [one for one in found if one] == []


def test_most_names_that_state_a_role_are_classified() -> None:
    """Refusing to answer is no way to be right: of what has one right answer, at least 95 % get it."""
    sure = [(group, name) for group in KNOWN["names"] if len(group["accepted"]) == 1 for name in group["names"]]
    told = [
        classify_header({**group["header"], "SeriesDescription": name}, RULES).role == group["accepted"][0]
        for group, name in sure
        if group["accepted"] != ["ambiguous"]
    ]
    assert len(told) > 350
    assert sum(told) / len(told) >= 0.95


@pytest.mark.parametrize("vendor", ["SIEMENS", "GE MEDICAL SYSTEMS", "Philips Medical Systems", "UIH", ""])
def test_no_name_turns_into_a_confident_role_against_its_physics(vendor: str) -> None:
    """Every name with the physics of the opposite weighting is at most a question."""
    opposite = {
        "T1w": {"ScanningSequence": ["SE"], "RepetitionTime": 4200, "EchoTime": 95, "EchoTrainLength": 15},
        "T2w": {"ScanningSequence": ["SE"], "RepetitionTime": 560, "EchoTime": 10, "EchoTrainLength": 3},
    }
    for group in KNOWN["names"]:
        role = {"CE-T1w": "T1w"}.get(group["accepted"][0], group["accepted"][0])
        if len(group["accepted"]) > 1 or role not in opposite:
            continue
        for name in group["names"]:
            header = {**opposite[role], "SeriesDescription": name, "Manufacturer": vendor}
            decision = classify_header(header, RULES)
            said_t1_or_t2 = "t1" in name.lower() or "t2" in name.lower()
            assert decision.role in ("ambiguous", "other") or not said_t1_or_t2, (name, decision)
