"""Which models are refused, which are marked, which pass; and what a phantom leaves in a manifest."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.bundle_admission import (
    Admission,
    events_per_parameter_finding,
    judge_bundle,
    require_admitted,
    widest_hazard_ratio,
)
from config.bundle_manifest import read_manifest
from config.bundle_origin import demonstration_signs
from config.errors import ModelBundleError
from tests.bundles.admitted import MARKED, REFUSED, linked_bundle, sound_manifest, with_figures


def codes(admission: Admission, severity: str) -> set[str]:
    return {finding.code for finding in admission.findings if finding.severity == severity}


def test_a_sound_model_is_admitted_and_says_on_what_grounds() -> None:
    admission = judge_bundle(sound_manifest())
    assert (admission.state, admission.findings) == ("admitted", ())
    assert "C-index 0.754 (0.705 to 0.802), calibration slope 0.96" in admission.text
    assert "17.8 events per parameter" in admission.text  # 107 / 6
    require_admitted(sound_manifest(), "sound")


@pytest.mark.parametrize("name", REFUSED)
def test_an_absurd_model_is_refused_with_its_reasons(name: str) -> None:
    manifest, expected = REFUSED[name]
    admission = judge_bundle(manifest())
    assert codes(admission, "refused") == expected
    assert admission.state == "refused"
    with pytest.raises(ModelBundleError, match=r"the bundle it is refused: Expected .* found"):
        require_admitted(manifest(), "it")


@pytest.mark.parametrize("name", MARKED)
def test_a_questionable_model_is_marked_with_its_reasons(name: str) -> None:
    manifest, expected = MARKED[name]
    admission = judge_bundle(manifest())
    assert (admission.state, codes(admission, "marked")) == ("marked", expected)
    require_admitted(manifest(), "it")


@pytest.mark.parametrize(
    ("events", "severity"), [(0, "refused"), (29, "refused"), (30, "marked"), (59, "marked"), (60, None)]
)
def test_five_events_per_parameter_admit_and_ten_admit_without_a_mark(events: int, severity: str | None) -> None:
    finding = events_per_parameter_finding(events, 6)
    assert (finding.severity if finding else None) == severity


@pytest.mark.parametrize(("slope", "is_marked"), [(0.69, True), (0.7, False), (1.4, False), (1.41, True)])
def test_the_slope_may_lie_between_its_two_limits(slope: float, is_marked: bool) -> None:
    marked = codes(judge_bundle(with_figures(calibration_slope={"value": slope, "ci95": [0.1, 2.0]})), "marked")
    assert ("calibration_slope" in marked) is is_marked


def test_a_stored_verdict_is_not_believed() -> None:
    manifest, _ = REFUSED["constant scores"]
    forged = {**manifest(), "admission": {"refused": [], "marked": []}}
    assert judge_bundle(forged).state == "refused"


def test_another_group_of_unseen_patients_marks_and_does_not_refuse() -> None:
    content = sound_manifest()
    external = {**content["metrics"]["out_of_fold"], "c_index": {"all": {"value": 0.53, "ci95": [0.4, 0.66]}}}
    content["metrics"]["external"] = external
    admission = judge_bundle(content)
    assert (admission.state, codes(admission, "marked")) == ("marked", {"no_discrimination"})
    assert "(external)" in admission.text


def test_figures_of_an_earlier_version_are_read() -> None:
    content = sound_manifest()
    content["metrics"]["out_of_fold"] = {
        "all": 0.75, "ci95": {"all": [0.7, 0.8]}, "n": 684, "n_events": 107, "folds": 5,
    }  # fmt: skip
    assert codes(judge_bundle(content), "refused") == {"unseen_figures_incomplete"}
    content["metrics"]["out_of_fold"]["ci95"]["all"] = [0.45, 0.8]
    assert "no_discrimination" in codes(judge_bundle(content), "refused")


def test_the_interval_of_a_c_index_without_one_is_that_of_hanley_and_mcneil() -> None:
    # Radiology 1982;143:29: A = 0.893 with 51 abnormal and 58 normal cases has a standard error of 0.032.
    content = sound_manifest()
    content["demonstration"] = True
    content["metrics"] = {"held_out": {"n": 109, "n_events": 51, "c_index": 0.893, "oracle_c_index": 0.9}}
    basis = judge_bundle(content).basis
    low, high = 0.893 - 1.96 * 0.032, 0.893 + 1.96 * 0.032
    stated = basis[basis.index("(") + 1 : basis.index(")")].split(" to ")
    assert [float(end) for end in stated] == pytest.approx([low, high], abs=0.002)


def test_the_shipped_demonstration_may_compute_as_a_demonstration() -> None:
    manifest = read_manifest("demonstration")
    assert manifest.demonstration
    assert not manifest.admission.refused


@pytest.mark.parametrize(
    "mark",
    [
        lambda content: content.update(demonstration=True),
        lambda content: content["training_data"].update(origin={"patients": 683, "phantoms": 1}),
        lambda content: content["training_data"].update(description="4,200 synthetic phantoms, no patient"),
        lambda content: content["training_data"].update(how="cptdn phantom 4200: phantoms"),
    ],
    ids=["declared", "mixture", "description", "recipe"],
)
def test_each_sign_of_phantoms_alone_makes_a_demonstration(mark: Callable[[dict[str, Any]], None]) -> None:
    content = sound_manifest()
    assert demonstration_signs(content) == ()
    mark(content)
    assert len(demonstration_signs(content)) == 1


def test_removing_the_declaration_of_a_demonstration_changes_nothing(tmp_path: Any) -> None:
    manifest = read_manifest(linked_bundle(tmp_path / "stripped", {"demonstration": False}))
    assert manifest.demonstration


def test_tests_on_phantoms_do_not_make_a_model_of_patients_a_demonstration() -> None:
    content = sound_manifest()
    content["metrics"]["phantoms_held_out"] = {"n": 800, "n_events": 125, "c_index": 0.7, "oracle_c_index": 0.8}
    assert demonstration_signs(content) == ()
    del content["training_data"]["origin"]
    assert len(demonstration_signs(content)) == 1  # whom it learned from is then not said


def test_the_widest_hazard_ratio_covers_the_observed_range() -> None:
    # A standard error of 0.5 over a range of 2: exp(2 * 1.96 * 0.5 * 2) = 50.4.
    assert widest_hazard_ratio({"a": 0.5, "b": 0.1}, {"a": (-1.0, 1.0)}) == pytest.approx(50.4, abs=0.05)
    assert widest_hazard_ratio({"a": float("nan")}, {}) > 1e200
    assert json.loads(json.dumps(widest_hazard_ratio({"a": 1e9}, {}))) > 1e200


PATHS = st.sampled_from(
    [
        ("training_data",), ("training_data", "origin"), ("training_data", "origin", "phantoms"), ("metrics",),
        ("metrics", "out_of_fold"), ("metrics", "out_of_fold", "c_index"),
        ("metrics", "out_of_fold", "c_index", "all", "ci95"), ("metrics", "out_of_fold", "c_index", "all", "value"),
        ("metrics", "out_of_fold", "events_by_arm"), ("metrics", "out_of_fold", "calibration_slope"), ("cox_model",),
        ("cox_model", "events"), ("cox_model", "widest_hazard_ratio"),
    ]
)  # fmt: skip
JUNK = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(max_size=3), st.lists(st.floats(), max_size=3),
    st.dictionaries(st.sampled_from(["all", "value", "ci95", "CCRT"]), st.floats(), max_size=2), st.just(float("nan")),
)  # fmt: skip


@given(PATHS, JUNK)
def test_no_value_of_a_manifest_raises_and_no_damage_admits_what_was_refused(path: tuple[str, ...], junk: Any) -> None:
    for content in (sound_manifest(), REFUSED["100 patients, nothing learned"][0]()):
        is_refused = judge_bundle(content).state == "refused"
        damaged = copy.deepcopy(content)
        place: Any = damaged
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = junk
        after = judge_bundle(damaged)
        assert after.text
        if is_refused and path[-1] != "ci95":  # another interval is another figure
            assert after.state == "refused"
