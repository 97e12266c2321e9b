"""The indication: what its JSON may say, and that no room repeats what it says."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from config.bundle_manifest import MANIFEST, read_manifest
from config.errors import ModelBundleError
from config.indication.conventions import Z_95, round_dfs, round_to, whole_years
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from config.settings import BUNDLES

PROJECT = Path(__file__).parents[2]
ROLES = {"T1w", "T2w", "CE-T1w"}
ENDPOINTS = {"os", "dmfs", "lrrfs"}


def test_it_travels_as_json() -> None:
    assert Indication.model_validate_json(NASOPHARYNX.model_dump_json(), strict=True) == NASOPHARYNX


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("biomarker.threshold", -1, ["biomarker.threshold", "greater than 0", "-1"]),
        ("biomarker.threshold", "4000", ["biomarker.threshold", "number", "'4000'"]),
        ("horizons_months", [60, 36], ["ascending", "60, 36"]),
        ("horizons_months", [], ["horizons_months", "at least 1 item"]),
        ("decision.horizon_months", 48, ["decision horizon", "36, 60", "48"]),
        ("stage.t", "3", ["stage.t", "T(is", "'3'"]),
        ("arms", ["CCRT", "ICT+CCRT"], ["indication.arms", "ICT+CCRT, CCRT", "CCRT, ICT+CCRT"]),
        ("series_roles", ["T1w", "T2w", "FLAIR"], ["series_roles.2", "'FLAIR'"]),
        ("colour", "red", ["colour", "not permitted"]),
    ],
)
def test_a_wrong_indication_is_one_sentence_with_its_place(
    tmp_path: Path, place: str, value: Any, said: list[str]
) -> None:
    folder = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "b"))
    content = json.loads((folder / MANIFEST).read_text())
    *parents, last = place.split(".")
    inside = content["indication"]
    for parent in parents:
        inside = inside[parent]
    inside[last] = value
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ModelBundleError) as refusal:
        read_manifest(folder)
    sentence = str(refusal.value)
    assert str(folder / MANIFEST) in sentence
    assert "\n" not in sentence
    for part in said:
        assert part in sentence


@pytest.mark.parametrize(("months", "years"), [(36, 3), (12, 1), (30, None), (4.5, None), (48.0, 4)])
def test_whole_years(months: float, years: int | None) -> None:
    assert whole_years(months) == years


def test_a_displayed_number_is_rounded_half_to_even_without_a_negative_zero() -> None:
    assert round_to(0.125, 2) == 0.12  # both exact in binary
    assert round_to(0.375, 2) == 0.38
    assert str(round_dfs(-0.0001)) == "0.0"


def sources() -> list[Path]:
    rooms = [PROJECT / room for room in ("config", "node", "workers", "dicom_sr")]
    home = PROJECT / "config" / "indication"
    return [path for room in rooms for path in sorted(room.rglob("*.py")) if home not in path.parents]


def repeated_facts(path: Path) -> list[str]:
    """Literals of a module that repeat roles, endpoints, horizons or the standard normal quantile."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types = {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}  # Literal["T1w", ...]
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set) and id(node) not in types:
            values = {part.value for part in node.elts if isinstance(part, ast.Constant)}
            if values >= ROLES or values >= ENDPOINTS or values == {36, 60}:
                found.append(f"{path.relative_to(PROJECT)}:{node.lineno}: {sorted(map(str, values))}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float) and abs(node.value - Z_95) < 1e-3:
            found.append(f"{path.relative_to(PROJECT)}:{node.lineno}: {node.value}")
    return found


def test_no_room_repeats_a_fact_of_the_indication() -> None:
    assert [line for path in sources() for line in repeated_facts(path)] == []
