"""Studies as odd senders send them, through the running program: a report, or a case that says why there is none.

One study has all oddities that must not matter, because a report costs seconds.
"""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from node.small_pacs.pacs import SmallPacs
from tests.dicom.odd_elements import CREATOR, Part, with_element
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender
from tests.dicom.scenes import write_file
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import Program, know_each_other, running_program, wait_for
from tests.flow.test_main_job import route
from tests.flow.variants import Edit, Variant, renamed, small_study, variant
from tests.peers import peer

SETTINGS = (
    ALLOW_DEMONSTRATION + '[case]\nstable_after_s = 2\n[eligibility]\nebv_unknown = "hold"\n'
    'out_of_distribution = "warn"\n'  # the pictures of this small study are coarse
)
WITHIN_S = 280.0
RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
ODD_ELEMENT = CREATOR + Part(0x00191008, b"LO", b"ABCD").short(b"??")
LEADING_ZERO = "1.2.826.0.1.3680043.8.498.007"


@dataclass
class Scene:
    """The program after everything was sent."""

    program: Program
    studies: dict[str, Variant]

    def seen(self, name: str, *states: str) -> dict[str, Any]:
        return self.program.wait_for_state(self.studies[name].study_instance_uid, *states, timeout_s=WITHIN_S)

    def explained(self, name: str) -> dict[str, Any]:
        explained: dict[str, Any] = self.program.json("studies", "explain", self.studies[name].study_instance_uid)
        return explained

    def page(self, name: str) -> str:
        uid = self.studies[name].study_instance_uid
        with urllib.request.urlopen(f"http://127.0.0.1:{self.program.web_port}/cases/{uid}", timeout=30) as answer:
            return str(answer.read(), "utf-8")


def with_old_values(_role: str, ds: Dataset) -> Dataset:
    """Times as ACR-NEMA had them, and a birth date as de-identification tools write it."""
    ds.StudyTime, ds.SeriesTime = "09:30:00", "09:30"
    ds.PatientBirthDate, ds.PatientAge = "00/00/0000", "046Y"
    return ds


def with_leading_zero(study: str) -> Edit:
    def edit(role: str, ds: Dataset) -> Dataset:
        for element in ds.iterall():
            if element.VR == "UI" and element.value == study:
                element.value = LEADING_ZERO
        return with_old_values(role, ds)

    return edit


def with_odd_element(path: Path) -> None:
    """One private element of this file with the VR ??, 16 bits of length."""
    data = path.read_bytes()
    begin = 144 + int.from_bytes(data[140:144], "little")
    path.write_bytes(data[:begin] + with_element(data[begin:], 0x00190000, ODD_ELEMENT))


def dcmtk(program: Program, files: list[Path]) -> None:
    """`storescu` stops at the first file that is not accepted, and proposes only what it needs with -R."""
    command = [peer("storescu", "dcmtk"), "-R", "-aec", "CPTDN", "127.0.0.1", str(program.port), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def raw_data_beside(image: Path, study: Variant) -> Path:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = RAW_DATA, generate_uid(), generate_uid()
    ds.StudyInstanceUID, ds.PatientID, ds.Modality = study.study_instance_uid, study.patient_id, "MR"
    return write_file(ds, image.with_name("raw.dcm"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, pacs: SmallPacs) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("wire")
    small = small_study(folder / "source")
    edits = {
        "odd": with_leading_zero(renamed(small.study_instance_uid, "odd")), "unreadable": lambda _role, ds: ds,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pydicom.config.settings.writing_validation_mode", 0)  # such files are not written by accident
        studies = {name: variant(small, folder / name, name, edit) for name, edit in edits.items()}
    odd = studies["odd"] = Variant(LEADING_ZERO, "odd", studies["odd"].paths)
    for path in odd.paths["T2w"]:
        with_odd_element(path)
    raw = raw_data_beside(odd.files[0], odd)
    with running_program(folder / "program", pacs.port, SETTINGS, pages=True) as program:
        know_each_other(pacs, program)
        for study in studies.values():
            program.cptdn("clinical", "set", study.patient_id, "--ebv-dna", "6200", "--stage", "T3N1M0")
        dcmtk(program, [raw, *odd.without("T2w")])
        route(odd.paths["T2w"], program)  # byte for byte; dcmtk would write the element anew
        send_with_garbage(program, studies["unreadable"])
        yield Scene(program, studies)


def send_with_garbage(program: Program, study: Variant) -> None:
    """Everything but one T1w slice, and an object in its place whose bytes are no data set and name no study."""
    with RawSender(program.port, [(MR, [EXPLICIT])]) as sender:
        answer = sender.store(1, MR, "1.2.826.0.1.3680043.10.1.99", b"\x19\x00\x08\x10??\xff\xff no data set")
        assert answer is not None
        assert answer.status == 0xC000
        for path in study.paths["T1w"][1:]:
            data = path.read_bytes()
            begin = 144 + int.from_bytes(data[140:144], "little")
            uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
            answer = sender.store(1, MR, uid, data[begin:])
            assert answer is not None
            assert answer.status == 0
        sender.release()
    route([path for role, paths in study.paths.items() if role != "T1w" for path in paths], program)


@pytest.mark.timeout(600)
def test_what_does_not_matter_does_not_stop_the_report(scene: Scene) -> None:
    """Raw Data among the images, StudyTime 09:30:00, a birth date of zeros, VR ??, a leading zero in the UID."""
    study = scene.seen("odd", "reported", "held", "incomplete", "refused", "failed")
    assert study["state"] == "reported", study["reasons"]
    assert len(study["reports"]) == 1


@pytest.mark.timeout(600)
def test_what_was_discarded_is_counted_and_seen(scene: Scene) -> None:
    scene.seen("odd", "reported")
    assert scene.explained("odd")["discarded"] == [{"sop_class_uid": RAW_DATA, "name": "Raw Data Storage", "n": 1}]
    assert "Raw Data Storage 1" in scene.page("odd")
    text = scene.program.cptdn("studies", "explain", scene.studies["odd"].study_instance_uid).stdout
    assert "Discarded: 1 object of other classes: Raw Data Storage 1" in text
    assert scene.program.json("status")["discarded"] == {"Raw Data Storage": 1}


@pytest.mark.timeout(600)
def test_the_report_says_that_an_encoding_does_not_conform(scene: Scene) -> None:
    scene.seen("odd", "reported")
    texts = {finding["code"]: finding["text"] for finding in scene.explained("odd")["quality"]}
    assert "(0019,1008) has the value representation '??'" in texts["nonconforming_encoding"]
    assert f"{len(scene.studies['odd'].paths['T2w'])} received objects" in texts["nonconforming_encoding"]


@pytest.mark.timeout(600)
def test_an_unreadable_object_is_named_in_the_case_of_its_association(scene: Scene) -> None:
    def named() -> bool:
        reasons = scene.seen("unreadable", "held", "incomplete")["reasons"]
        return any(reason["code"] == "unreadable_instance" for reason in reasons)

    wait_for(named, 60, lambda: str(scene.explained("unreadable")["reasons"]))
    reasons = scene.seen("unreadable", "held", "incomplete")["reasons"]
    [text] = [reason["text"] for reason in reasons if reason["code"] == "unreadable_instance"]
    assert "1.2.826.0.1.3680043.10.1.99" in text
    [file] = scene.explained("unreadable")["quarantined"]
    assert (file["sop_instance_uid"], file["known_by"]) == ("1.2.826.0.1.3680043.10.1.99", "association")
    assert "1.2.826.0.1.3680043.10.1.99" in scene.page("unreadable")


@pytest.mark.timeout(600)
def test_uids_with_leading_zeros_are_copied_and_never_made(scene: Scene, pacs: SmallPacs) -> None:
    scene.seen("odd", "reported")
    objects = [dcmread(file.path, stop_before_pixels=True) for file in pacs.stored.values()]
    own = [ds for ds in objects if str(ds.StudyInstanceUID) == LEADING_ZERO]
    assert own
    for ds in own:
        assert all(not part.startswith("0") or part == "0" for part in str(ds.SOPInstanceUID).split("."))
        assert all(not part.startswith("0") or part == "0" for part in str(ds.SeriesInstanceUID).split("."))
