"""Series of several volumes, and acquisitions in several series, through the running program: a report, or a question
that can be answered and then a report.

The first report of each study is compared with that of the same pictures as three plain series: what is chosen must be
the same volumes, so the scores are the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.small_pacs.pacs import SmallPacs
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.multi_volume import Change, dimmed, enhanced_dixon, volumes
from tests.flow.program import Program, know_each_other, running_program, wait_for
from tests.flow.test_main_job import route
from tests.flow.variants import Variant, small_study, variant

# The pictures of a small study are coarse: what they are to the model is another matter.
SETTINGS = ALLOW_DEMONSTRATION + '[case]\nstable_after_s = 1\n[eligibility]\nout_of_distribution = "warn"\n'
WITHIN_S = 240.0


def set_values(by: int = 0, **values: Any) -> Change:
    def change(ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        if by:
            dimmed(ds, by)

    return change


def dixon(kind: str, by: int = 0) -> Change:
    return set_values(
        by, ImageType=["ORIGINAL", "PRIMARY", kind, kind, "DERIVED"], SeriesDescription="mDIXON_T1_TSE +C"
    )


def image_type(kind: str, by: int = 0) -> Change:
    return set_values(by, ImageType=["ORIGINAL", "PRIMARY", kind, "FFE"])


@dataclass(frozen=True)
class Scanner:
    """What a scanner stores. questions : role -> number of volumes that are named; words : what the report says."""

    files: Callable[[dict[str, list[Dataset]], Path], list[Path]]
    words: tuple[str, ...]
    questions: dict[str, int]


def philips(slices: dict[str, list[Dataset]], folder: Path) -> list[Path]:
    """mDixon after contrast, magnitude and phase, dual echo; all volumes of each under one series."""
    return [
        *volumes(slices["CE-T1w"], folder / "a", [dixon("W"), dixon("IP", 2), dixon("OP", 3), dixon("F", 4)]),
        *volumes(slices["T1w"], folder / "b", [image_type("M"), image_type("P", 3)]),
        *volumes(slices["T2w"], folder / "c", [set_values(), set_values(2, EchoTime=20.0, EchoNumbers=2)]),
    ]


def philips_enhanced(slices: dict[str, list[Dataset]], folder: Path) -> list[Path]:
    """The Dixon images of the CE-T1w as frames of one object."""
    plain = [path for role in ("T1w", "T2w") for path in volumes(slices[role], folder / role, [set_values()])]
    return [*plain, enhanced_dixon(slices["CE-T1w"], folder / "enhanced.dcm")]


def siemens(slices: dict[str, list[Dataset]], folder: Path) -> list[Path]:
    """A T2w in two concatenations that are two series, and a T1w that was sent twice under new UIDs."""
    second = "2.25.4711"
    halves = volumes(slices["T2w"], folder / "a", [set_values()])
    for at, path in enumerate(halves):
        ds = dcmread(path)
        if at % 2:
            ds.SeriesInstanceUID, ds.SeriesNumber = second, int(ds.SeriesNumber) + 100
            ds.save_as(path)
    return [
        *halves,
        *volumes(slices["T1w"], folder / "b", [set_values(), set_values()]),
        *volumes(slices["CE-T1w"], folder / "c", [set_values()]),
    ]


def ge(slices: dict[str, list[Dataset]], folder: Path) -> list[Path]:
    """Phases of a dynamic CE-T1w by trigger time, and a T1w twice with nothing that tells the two apart."""
    phases = [set_values(TriggerTime=0), set_values(2, TriggerTime=30000.0), set_values(3, TriggerTime=60000.0)]
    return [
        *volumes(slices["CE-T1w"], folder / "a", phases),
        *volumes(slices["T1w"], folder / "b", [set_values(), set_values(2)]),
        *volumes(slices["T2w"], folder / "c", [set_values()]),
    ]


SCANNERS = {
    "PHILIPS": Scanner(philips, ("the water image", "magnitude images", "volume_of_series"), {}),
    "ENHANCED": Scanner(philips_enhanced, ("the water image", "4 volumes"), {}),
    "SIEMENS": Scanner(siemens, ("2.25.4711", "repeat others pixel by pixel"), {}),
    "GE": Scanner(ge, ("An administrator assigned",), {"CE-T1w": 3, "T1w": 2}),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, pacs: SmallPacs) -> Iterator[tuple[Program, dict[str, Variant]]]:
    folder = tmp_path_factory.mktemp("volumes")
    source = small_study(folder / "source")
    with running_program(folder / "program", pacs.port, SETTINGS, pages=True) as program:
        know_each_other(pacs, program)
        (folder / "facts.csv").write_text(
            "patient_id,ebv_dna,stage,ajcc,diagnosis\n"
            + "".join(f"V-{name},500,T3N1M0,8,C11.9\n" for name in ("PLAIN", *SCANNERS))
        )
        program.cptdn("clinical", "import", str(folder / "facts.csv"))
        studies = {}
        for name in ("PLAIN", *SCANNERS):
            study = studies[name] = variant(source, folder / name, f"V-{name}")
            if name == "PLAIN":
                route(study.files, program)
                continue
            slices = {
                role: [dcmread(path) for path in paths] for role, paths in study.paths.items() if role != "contour"
            }
            route([*SCANNERS[name].files(slices, folder / f"{name}-sent"), *study.paths["contour"]], program)
        yield program, studies


def answer(program: Program, study: Variant, questions: dict[str, int]) -> None:
    """Answer by what the explanation names, the last role on the page; the first volume is the original one."""
    uid = study.study_instance_uid
    held = program.wait_for_state(uid, "held", timeout_s=WITHIN_S)
    explained = program.json("studies", "explain", uid)["series"]
    assert {reason["code"] for reason in held["reasons"]} == {"ambiguous_series"}
    for role, number in questions.items():
        keys = [one["key"] for one in explained if one["series_instance_uid"] == study.series(role)]
        assert len(keys) == number
        text = next(reason["text"] for reason in held["reasons"] if f"is the {role} needs" in reason["text"])
        assert all(key in text for key in keys)
        if role != list(questions)[-1]:
            program.cptdn("studies", "assign", uid, "--role", f"{role}={keys[0]}")
            continue
        with httpx.Client(base_url=f"http://127.0.0.1:{program.web_port}", timeout=60) as page:
            case = page.get(f"/cases/{uid}").text
            assert all(f'<option value="{key}"' in case for key in keys)
            pictures = [page.get(f"/cases/{uid}/series/{key}/picture") for key in keys]
            assert [picture.headers["content-type"] for picture in pictures] == ["image/png"] * number
            # Each volume is shown as itself.
            assert len({picture.content for picture in pictures}) == number
            token = re.search(r'name="csrf" value="([^"]+)"', case)
            assert token is not None
            form = {"csrf": token.group(1), f"role_{role}": keys[0]}
            assert page.post(f"/cases/{uid}/assign", data=form).status_code == 303


@pytest.fixture(scope="module")
def plain(running: tuple[Program, dict[str, Variant]]) -> dict[str, Any]:
    """The report of the three plain series."""
    program, studies = running
    return report_of(program, studies["PLAIN"])


def report_of(program: Program, study: Variant) -> dict[str, Any]:
    """The report as `report show` reads it from the stored SR."""
    uid = study.study_instance_uid

    def found() -> dict[str, Any] | None:
        shown = program.study(uid)
        return shown if shown and shown["current_report"] else None

    shown = wait_for(found, WITHIN_S, lambda: str(program.study(uid)))
    stored = next((program.config.parent / "data" / "reports").rglob(f"{shown['current_report']}*.dcm"))
    read: dict[str, Any] = program.json("report", "show", str(stored))
    return read


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCANNERS)
def test_several_volumes_in_one_series_lead_to_the_report_of_the_right_ones(
    running: tuple[Program, dict[str, Variant]], plain: dict[str, Any], name: str
) -> None:
    program, studies = running
    scanner = SCANNERS[name]
    if scanner.questions:
        answer(program, studies[name], scanner.questions)
    report = report_of(program, studies[name])
    assert report["scores"] == plain["scores"]
    assert report["tumour_volume_ml"] == plain["tumour_volume_ml"]
    said = str(report)
    assert [word for word in scanner.words if word not in said] == []
