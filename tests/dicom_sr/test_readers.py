"""Programs of others read our objects: dicom3tools, dcmtk, PixelMed, highdicom, Orthanc, dcmjs."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.sr import _concepts_dict
from pydicom.uid import EnhancedMRImageStorage

from config.indication.vocabulary import SeriesRole
from dicom_sr.coding import result_codes
from dicom_sr.coding.concept import PRIVATE_SCHEME, PRIVATE_SCHEME_UID
from dicom_sr.content.regimen_groups import assumed_category
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.lossless import rgb_pixels
from dicom_sr.reading.reader import read_report
from dicom_sr.report import numbers
from dicom_sr.report.report_inputs import PagePictures, ReportObject, ReportOptions, SeriesMask, SourceStudy
from dicom_sr.report.treatment_report import SeriesUsed, TreatmentReport
from tests.dicom_sr import samples
from tests.dicom_sr.gallery import gallery
from tests.dicom_sr.test_codes import NOT_IN_THE_DICTIONARY, OTHER_MEANINGS, every_concept
from tests.peers import absent, chinese_font, peer, unpacked

EVERYTHING = ReportOptions(kinds=("sr", "sc", "pdf", "seg", "attribution"), timezone="+0800")
PRIVATE_SCHEME_NOTE = re.compile(rf"Unrecognized defined term = <({PRIVATE_SCHEME}|{PRIVATE_SCHEME_UID})>")
# IHE AIR asks for the Device UID of the contributing equipment; dciodvfy's table of its attributes is older.
DEVICE_UID_NOTE = re.compile(r"/ContributingEquipmentSequence\S*/DeviceUID.* not present in standard DICOM IOD")
GALLERY = gallery()
CASES = {**samples.CASES, "crowded": samples.crowded, "differing": samples.differing}
# PixelMed compares TID 1501 groups with TID 1411 as soon as one group of the document is of that template, and asks
# each of them for a region, segment or surface: rows 5, 7 and 10 of 1411, three per group. The groups are valid.
FALSE_OF_PIXELMED = re.compile(r"Template 1411 VolumetricROIMeasurements/\[Row 1\].*\[Row (5|7|10)\]")


def files_of(report: TreatmentReport, folder: Path, options: ReportOptions = EVERYTHING) -> dict[str, Path]:
    """The objects of one report on disk, by kind and instance number."""
    sources = samples.sources() if report.series else replace(samples.sources(), masks=())
    return written(build_objects(report, sources, samples.pictures(), options), folder)


def written(objects: list[ReportObject], folder: Path) -> dict[str, Path]:
    paths = {}
    for each in objects:
        path = folder / f"{each.kind}{each.dataset.InstanceNumber}.dcm"
        each.dataset.save_as(path, enforce_file_format=True)
        paths[path.stem] = path
    return paths


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> dict[str, Path]:
    return files_of(samples.scored(), tmp_path_factory.mktemp("scored"))


def complaints(path: Path) -> list[str]:
    """What dciodvfy finds, errors and warnings, without its notes on a private coding scheme, which it cannot know."""
    found = subprocess.run([peer("dciodvfy", "dicom3tools"), "-new", path], capture_output=True, text=True)
    lines = (found.stdout + found.stderr).splitlines()
    known = (PRIVATE_SCHEME_NOTE, DEVICE_UID_NOTE)
    found_lines = [line for line in lines if line.startswith(("Error", "Warning"))]
    return [line for line in found_lines if not any(note.search(line) for note in known)]


@pytest.mark.parametrize("name", CASES)
def test_dciodvfy_finds_no_error(name: str, tmp_path: Path) -> None:
    """Every kind of object of the plainest and of the fullest report, the SR of all."""
    options = EVERYTHING if name in ("scored", "crowded") else replace(EVERYTHING, kinds=("sr", "seg"))
    for path in files_of(CASES[name](), tmp_path, options).values():
        assert complaints(path) == []


@pytest.mark.parametrize("sop_class", ["comprehensive", pytest.param("enhanced", marks=pytest.mark.long)])
@pytest.mark.parametrize("name", CASES)
def test_dciodvfy_finds_no_error_in_the_fallback_classes(name: str, sop_class, tmp_path: Path) -> None:
    paths = files_of(CASES[name](), tmp_path, ReportOptions(kinds=("sr",), sop_class=sop_class))
    assert complaints(paths["sr1"]) == []


@pytest.mark.parametrize("name", CASES)
def test_dsrdump_shows_every_number_with_its_name(name: str, tmp_path: Path) -> None:
    report = CASES[name]()
    path = files_of(report, tmp_path, ReportOptions(kinds=("sr",)))["sr1"]
    shown = run(peer("dsrdump", "dcmtk"), "+Pl", path)
    code = "WITHDRAWN" if report.withdrawal else "RECOMMENDED" if report.computed else "NOT_COMPUTED"
    assert any(f"{before}{code}" in shown for before in (",", "(")) or (report.computed and "regimen" in shown)
    for scenario in report.scenarios:
        for result in (scenario.ict_ccrt, scenario.ccrt):
            assumed = assumed_category(report, scenario)
            name = result_codes.dfs(60, result.arm, assumed).meaning
            assert f'"{name}")="{numbers.percent(result.dfs[60].value)}" (%,UCUM' in shown
        name = result_codes.difference(60, assumed).meaning
        assert f'"{name}")="{numbers.percent(scenario.difference(60))}"' in shown


@pytest.mark.parametrize("name", ["scored", "unknown_ebv", "refused", "demonstration"])
def test_dsr2html_and_dsr2xml_read_it(name: str, tmp_path: Path) -> None:
    report = CASES[name]()
    path = files_of(report, tmp_path, ReportOptions(kinds=("sr",)))["sr1"]
    page = html.unescape(run(peer("dsr2html", "dcmtk"), path))
    first_screen = page[: page.index("Ground of the" if report.computed else "Reason why")]
    assert ("Not computed" if not report.computed else "ICT+CCRT: induction") in first_screen
    if report.model.demonstration:
        assert "DEMONSTRATION ONLY - not for clinical use" in first_screen
    document = run(peer("dsr2xml", "dcmtk"), path)
    for reason in (*report.warnings, *report.refusals):
        assert html.escape(reason.text, quote=False) in document


def test_dcm2pdf_gives_the_pdf_back(scored: dict[str, Path], tmp_path: Path) -> None:
    run(peer("dcm2pdf", "dcmtk"), scored["pdf1"], tmp_path / "back.pdf")
    ds = dcmread(scored["pdf1"])
    assert (tmp_path / "back.pdf").read_bytes()[: ds.EncapsulatedDocumentLength] == bytes(ds.EncapsulatedDocument)[
        : ds.EncapsulatedDocumentLength
    ]
    text = run(peer("pdftotext", "poppler-utils"), "-layout", tmp_path / "back.pdf", "-")
    assert "79.1 %" in text
    chinese_font()
    assert "王" in text


def pixelmed_errors(path: Path) -> list[str]:
    jar = Path("/usr/share/java/pixelmed.jar")
    if not jar.exists():
        absent("PixelMed is not installed (Debian package libpixelmed-java)")
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]
    validator = ["-XX:TieredStopAtLevel=1", *limits, "-cp", jar, "com.pixelmed.validate.DicomSRValidator"]
    output = run(peer("java", "default-jre"), *validator, path)
    assert "IOD validation complete" in output
    return [line for line in output.splitlines() if line.startswith("Error")]


def test_pixelmed_finds_only_its_known_false_errors(scored: dict[str, Path]) -> None:
    errors = pixelmed_errors(scored["sr1"])
    assert [error for error in errors if not FALSE_OF_PIXELMED.search(error)] == []
    assert len(errors) == 3 * 4  # comparison, two regimens, inputs


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in CASES if name != "scored"])
def test_pixelmed_finds_only_its_known_false_errors_in_every_case(name: str, tmp_path: Path) -> None:
    path = files_of(CASES[name](), tmp_path, replace(EVERYTHING, kinds=("sr", "seg")))["sr1"]
    assert [error for error in pixelmed_errors(path) if not FALSE_OF_PIXELMED.search(error)] == []


@pytest.mark.long
@pytest.mark.parametrize("name", GALLERY)
def test_every_object_of_every_example_is_taken(name: str, tmp_path: Path) -> None:
    """dciodvfy, PixelMed, dcmtk and highdicom, and the codes by the dictionary that pydicom and highdicom use."""
    example = GALLERY[name]
    paths = written(example.objects("sr", "sc", "pdf", "seg", "attribution"), tmp_path)
    for path in paths.values():
        assert complaints(path) == []
        assert unknown_codes(dcmread(path)) == set()
    assert [error for error in pixelmed_errors(paths["sr1"]) if not FALSE_OF_PIXELMED.search(error)] == []
    groups = hd.sr.srread(paths["sr1"]).content.get_image_measurement_groups()
    identifiers = [group.tracking_identifier for group in groups]
    assert ("Comparison of the regimens" in " ".join(identifiers)) is example.report.computed
    run(peer("dsrdump", "dcmtk"), "+Pl", paths["sr1"])
    run(peer("dcm2pdf", "dcmtk"), paths["pdf1"], tmp_path / "back.pdf")
    run(peer("dcml2pnm", "dcmtk"), "+op", paths["sc1"], tmp_path / "sc.ppm")


# Not in the dictionary: the stages of mCODE, and a meaning that highdicom writes in capitals.
OTHER_PUBLIC = {(each.scheme, each.value) for each in every_concept() if "mCODE" in each.source} | {("DCM", "121232")}
ACCEPTED = {*NOT_IN_THE_DICTIONARY, *OTHER_MEANINGS, *OTHER_PUBLIC}


def unknown_codes(ds: Dataset) -> set[tuple[str, str, str]]:
    """The public codes of a data set that the dictionary does not have, or has with other meanings."""
    found = set()
    for element in ds:
        if element.VR != "SQ":
            continue
        for item in element.value:
            found |= unknown_codes(item)
            key = (item.get("CodingSchemeDesignator"), item.get("CodeValue"))
            if "CodeMeaning" not in item or key[0] == PRIVATE_SCHEME or key in ACCEPTED:
                continue
            named = _concepts_dict.concepts.get(key[0], {}).values()
            if item.CodeMeaning not in {values[key[1]][0] for values in named if key[1] in values}:
                found.add((*key, item.CodeMeaning))
    return found


@pytest.mark.long
def test_orthanc_takes_the_objects_of_all_examples_and_returns_the_same_files(tmp_path: Path) -> None:
    sent = {}
    for name, example in GALLERY.items():
        (tmp_path / "sent" / name).mkdir(parents=True)
        objects = written(example.objects("sr", "sc", "pdf", "seg"), tmp_path / "sent" / name)
        for stem, path in objects.items():
            sent[path.rename(tmp_path / f"{name}_{stem}.dcm")] = None
    run(peer("unshare", "util-linux"), "-n", sys.executable, Path(__file__).parent / "orthanc_exchange.py", tmp_path)
    back = {dcmread(path).SOPInstanceUID: path for path in (tmp_path / "back").glob("*.dcm")}
    assert len(back) == len(sent)
    for path in sent:
        ds = dcmread(path)
        assert data_set_bytes(back[ds.SOPInstanceUID]) == data_set_bytes(path)
        if ds.get("PhotometricInterpretation") == "PALETTE COLOR":
            preview = np.asarray(Image.open(back[ds.SOPInstanceUID].with_suffix(".png")))
            assert (preview == rgb_pixels(ds)).all()


def test_highdicom_reads_the_groups(scored: dict[str, Path]) -> None:
    document = hd.sr.srread(scored["sr1"]).content
    groups = document.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == [
        "Comparison of the regimens", "ICT+CCRT", "CCRT", "Scores",
    ]  # fmt: skip
    [tumour] = document.get_volumetric_roi_measurement_groups()
    [volume] = tumour.get_measurements()
    assert (volume.value, volume.unit.value) == (23.41, "cm3")
    assert tumour.referenced_segment is not None
    segmentation = hd.seg.segread(scored["seg1"])
    assert tumour.referenced_segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
    five_years = {group.tracking_identifier: group.get_measurements()[0].value for group in groups[1:3]}
    assert five_years == {"ICT+CCRT": 79.1, "CCRT": 66.5}


def test_orthanc_adds_it_to_the_study_and_returns_the_same_file(tmp_path: Path) -> None:
    peer("Orthanc", "orthanc")
    report = samples.reprocessed()
    paths = files_of(report, tmp_path)
    exchanged = run(
        peer("unshare", "util-linux"), "-n", sys.executable, Path(__file__).parent / "orthanc_exchange.py", tmp_path
    )
    listing = json.loads(exchanged.splitlines()[-1])
    [study] = listing["studies"]
    assert study["MainDicomTags"]["StudyInstanceUID"] == samples.STUDY
    assert study["PatientMainDicomTags"]["PatientName"] == samples.CHINESE_NAME
    assert {series["SeriesDescription"] for series in listing["series"]} >= {"CPTDN result r2", "CPTDN page r2"}
    back = {dcmread(path).SOPInstanceUID: path for path in (tmp_path / "back").glob("*.dcm")}
    assert len(back) == len(paths)
    for path in paths.values():
        assert data_set_bytes(back[dcmread(path).SOPInstanceUID]) == data_set_bytes(path)
    assert read_report(back[dcmread(paths["sr1"]).SOPInstanceUID]) == report


def data_set_bytes(path: Path) -> bytes:
    """The data set without preamble and file meta information, which a PACS writes anew."""
    raw = path.read_bytes()
    return raw[144 + int.from_bytes(raw[140:144], "little") :]


def test_a_real_enhanced_mr_is_a_source_like_any_other(tmp_path: Path) -> None:
    """NEMA's sample study: Enhanced MR with the patient's text in no character set at all."""
    folder = unpacked("mr_nema_brtum_enhanced", tmp_path)
    images = [
        dcmread(path, stop_before_pixels=True, force=True) for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    mr = [ds for ds in images if ds.get("SOPClassUID") == EnhancedMRImageStorage][:3]
    masks, used = [], []
    for role, ds in zip(SeriesRole, mr, strict=True):
        frames, rows, columns = int(ds.NumberOfFrames), int(ds.Rows), int(ds.Columns)
        mask = np.zeros((frames, rows, columns), np.uint8)
        mask[frames // 2, 100:120, 90:130] = 1
        uid = str(ds.SOPInstanceUID)
        masks.append(SeriesMask(role, mask, tuple((uid, frame + 1) for frame in range(frames))))
        used.append(SeriesUsed(role, str(ds.SeriesInstanceUID), EnhancedMRImageStorage, "x", 1, uid, frames // 2 + 1))
    report = samples.scored(
        patient_id=str(mr[0].PatientID), study_instance_uid=str(mr[0].StudyInstanceUID), series=tuple(used)
    )
    sources = SourceStudy(tuple(mr), (samples.rtstruct(),), tuple(masks))
    objects = build_objects(report, sources, PagePictures(), ReportOptions(kinds=("sr", "seg")))
    paths = written(objects, tmp_path)
    assert read_report(paths["sr1"]) == report
    for path in paths.values():
        assert complaints(path) == []
    segmentation = dcmread(paths["seg1"])
    assert (segmentation.NumberOfFrames, int(segmentation.pixel_array.sum())) == (1, 20 * 40)
    [frame] = segmentation.PerFrameFunctionalGroupsSequence
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedFrameNumber == int(mr[0].NumberOfFrames) // 2 + 1


@pytest.mark.parametrize("actual", [None, "GB18030"])
def test_chinese_names_reach_the_readers(actual: str | None, tmp_path: Path) -> None:
    """From UTF-8, and from GB18030 that a PACS labels ISO_IR 100: each reader shows the characters."""
    label = "ISO_IR 100" if actual else "ISO_IR 192"
    mr: list[Dataset] = []
    for ds in samples.sources().mr:
        if actual:
            ds.PatientName = samples.CHINESE_NAME.encode("gb18030").decode("latin-1")
            ds.StudyDescription = "鼻咽".encode("gb18030").decode("latin-1")
            ds.ReferringPhysicianName, ds.RequestAttributesSequence = "", []
        ds.SpecificCharacterSet = label
        mr.append(ds)
    sources = replace(samples.sources(), mr=tuple(mr), character_set=actual)
    paths = written(build_objects(samples.scored(), sources, samples.pictures(), EVERYTHING), tmp_path)
    for path in paths.values():
        assert complaints(path) == []
        assert str(dcmread(path).PatientName) == samples.CHINESE_NAME
    assert samples.CHINESE_NAME in run(peer("dsrdump", "dcmtk"), "+Pl", paths["sr1"])


def run(*command: str | Path) -> str:
    """Standard output and standard error of a peer that must succeed."""
    environment = {**os.environ, "TCP_NODELAY": "1"}
    done = subprocess.run([str(part) for part in command], capture_output=True, env=environment)
    text = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    return text + (done.stderr.decode("utf-8", "replace") if "pixelmed" in str(command).lower() else "")
