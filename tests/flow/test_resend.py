"""What a PACS sends again, in whatever form, through the running program with dcmtk: one report, always reported."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from node.small_pacs.pacs import SmallPacs
from tests.dicom.instances import CONTOUR_EDITS, EDITS, IMAGE_EDITS
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender
from tests.dicom.scenes import encoded
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.program import Program, know_each_other, running_program, wait_for
from tests.flow.servers import WITHOUT_NAGLE
from tests.flow.variants import CONTOUR, Variant, save, small_study, variant
from tests.peers import peer

# Transfer syntax: how dcmtk converts a file to it, and how its sender proposes it.
FORMS = {
    "implicit": (("dcmconv", "+ti"), "-xi"),
    "big endian": (("dcmconv", "+tb"), "-xb"),
    "RLE": (("dcmcrle",), "-xr"),
    "JPEG-LS": (("dcmcjpls", "+el"), "-xt"),
    "JPEG": (("dcmcjpeg", "+e1"), "-xs"),
}
IMAGE_FORMS = ("RLE", "JPEG-LS", "JPEG")


def storescu(program: Program, paths: list[Path], *options: str) -> subprocess.CompletedProcess[str]:
    command = [peer("storescu", "dcmtk"), *options, "-aet", "PACS", "-aec", "CPTDN", "127.0.0.1", str(program.port)]
    return subprocess.run(
        [*command, *map(str, paths)], capture_output=True, text=True, env=WITHOUT_NAGLE, timeout=120, check=False
    )


def sent(program: Program, paths: list[Path], *options: str) -> None:
    """Send files; every one has to be a success, else dcmtk stops and says so."""
    done = storescu(program, paths, *options)
    assert done.returncode == 0, done.stdout + done.stderr


def converted(paths: list[Path], form: str, folder: Path) -> list[Path]:
    folder.mkdir()
    command, _ = FORMS[form]
    for path in paths:
        subprocess.run([peer(command[0], "dcmtk"), *command[1:], str(path), str(folder / path.name)], check=True)
    return sorted(folder.iterdir())


def edited(paths: list[Path], edits: list[Callable[[Dataset], None]], folder: Path) -> list[Path]:
    folder.mkdir()
    for path in paths:
        ds = dcmread(path)
        for edit in edits:
            edit(ds)
        save(ds, folder / path.name)
    return sorted(folder.iterdir())


class Watched:
    """The one study as a user sees it."""

    def __init__(self, program: Program, study: str) -> None:
        self.program, self.study = program, study

    def explained(self) -> dict[str, Any]:
        return dict(self.program.json("studies", "explain", self.study))

    def is_as_before(self, reasons: int = 0) -> bool:
        """One report, one job, one delivery, and no line of the history in which the study left `reported`."""
        shown, explained = self.program.json("studies", "show", self.study), self.explained()
        left = [line["text"] for line in explained["history"] if line["text"].startswith("reported -> ") and
                not line["text"].startswith("reported -> reported")]  # fmt: skip
        assert (shown["state"], left) == ("reported", [])
        assert (len(shown["reports"]), len(shown["jobs"]), len(shown["deliveries"])) == (1, 1, 1)
        return len(shown["reasons"]) == reasons


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, pacs: SmallPacs) -> Iterator[Program]:
    """`cptdn up`; the pictures of the small study are coarser than those of the training."""
    extra = ALLOW_DEMONSTRATION + '[case]\nstable_after_s = 2\n[eligibility]\nout_of_distribution = "warn"\n'
    with running_program(tmp_path_factory.mktemp("program"), pacs.port, extra) as running:
        know_each_other(pacs, running)
        yield running


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    folder = tmp_path_factory.mktemp("resend")
    return variant(small_study(folder / "small"), folder / "study", "RESEND-1")


@pytest.fixture(scope="module")
def watched(program: Program, study: Variant) -> Watched:
    program.cptdn(
        "clinical",
        "set",
        study.patient_id,
        "--ebv-dna",
        "6200",
        "--stage",
        "T3N1M0",
        "--ajcc",
        "8",
        "--diagnosis",
        "C11.9",
    )
    sent(program, study.files, "-R")
    program.wait_for_state(study.study_instance_uid, "reported", timeout_s=200)
    return Watched(program, study.study_instance_uid)


@pytest.mark.timeout(600)
def test_a_resend_in_any_form_is_a_success_and_changes_nothing(
    watched: Watched, program: Program, study: Variant, tmp_path: Path
) -> None:
    sent(program, study.files, "-R")
    for form, (_, proposed) in FORMS.items():
        paths = study.paths["T2w"][:6] if form in IMAGE_FORMS else [*study.paths["T2w"][:6], *study.paths[CONTOUR]]
        sent(program, converted(paths, form, tmp_path / form), proposed)
    images = [path for role, paths in study.paths.items() if role != CONTOUR for path in paths[:4]]
    sent(program, edited(images, [*EDITS.values(), IMAGE_EDITS["window"]], tmp_path / "images"), "-R")
    contours = edited(study.paths[CONTOUR], [*EDITS.values(), *CONTOUR_EDITS.values()], tmp_path / "contours")
    sent(program, converted(contours, "implicit", tmp_path / "both"), "-xi")
    assert watched.is_as_before()
    assert program.json("quarantine", "list") == []


@pytest.mark.timeout(600)
def test_a_study_stays_reported_while_an_association_is_open(
    watched: Watched, program: Program, study: Variant, tmp_path: Path
) -> None:
    again, localizer = dcmread(study.paths["T1w"][0]), dcmread(study.paths["T1w"][0])
    localizer.SOPInstanceUID, localizer.SeriesInstanceUID = generate_uid(), generate_uid()
    localizer.SeriesDescription, localizer.ImageType = "localizer", ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    with RawSender(program.port, [(MR, [EXPLICIT])], calling="PACS") as sender:
        for ds in (again, localizer):
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            assert answer.status == 0
        wait_for(lambda: len(watched.explained()["series"]) == 4, 60, lambda: str(watched.explained()["series"]))
        assert watched.is_as_before()
        sender.release()
    assert watched.is_as_before()


@pytest.mark.timeout(600)
def test_another_content_is_one_reason_a_series_and_one_dismissal(
    watched: Watched, program: Program, study: Variant, tmp_path: Path
) -> None:
    def no_signal(ds: Dataset) -> None:
        ds.PixelData = bytes(len(ds.PixelData))

    def moved(ds: Dataset) -> None:
        contour = ds.ROIContourSequence[0].ContourSequence[0]
        contour.ContourData = [float(contour.ContourData[0]) + 1.0, *contour.ContourData[1:]]

    others = [
        *edited(study.paths["T1w"], [no_signal], tmp_path / "T1w"),
        *edited(study.paths[CONTOUR], [moved], tmp_path / "contours"),
    ]
    done = storescu(program, others, "-R", "-v", "--no-halt")
    assert (done.stdout + done.stderr).count("CannotUnderstand") == len(others), done.stdout + done.stderr
    wait_for(lambda: watched.is_as_before(reasons=2), 60, lambda: str(program.study(watched.study)))
    seen = program.study(watched.study)
    assert seen is not None
    texts = sorted(reason["text"] for reason in seen["reasons"])
    assert {reason["code"] for reason in seen["reasons"]} == {"conflicting_instance"}
    assert any(f"{len(study.paths['T1w'])} instances came again" in text and "(PixelData)" in text for text in texts)
    assert any("1 instance came again" in text and "(ContourData)" in text for text in texts)
    program.cptdn("quarantine", "dismiss", "--study", watched.study, "--because", "the first ones are right")
    wait_for(lambda: watched.is_as_before(reasons=0), 60, lambda: str(program.study(watched.study)))
    assert {entry["dismissed_because"] for entry in program.json("quarantine", "list")} == {"the first ones are right"}
