"""Generated header values in every copied attribute at once: the report is always built, and dciodvfy finds no error.

Our own validation has to find whatever dciodvfy finds: only then is an object with such a value never stored.
"""

from __future__ import annotations

import io
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_sr.header.copied_values import patient_and_study
from dicom_sr.objects.build import build_objects
from dicom_sr.objects.validation import value_violations
from dicom_sr.report.report_inputs import ReportOptions, SourceStudy
from tests.dicom_sr import samples
from tests.dicom_sr.test_copied_values import COPIED, REQUESTED, raw
from tests.dicom_sr.test_readers import complaints
from tests.peers import peer

pytestmark = pytest.mark.filterwarnings(
    "ignore:Invalid value for VR", "ignore:The value length", "ignore:The number of PN", "ignore:The PN component"
)
LABELS = ("ISO_IR 192", "GB18030", "ISO_IR 100", "\\ISO 2022 IR 58", "ISO 2022 IR 13\\ISO 2022 IR 87", "")
# A valid value of each value representation, from which others are made by small changes.
VALID = {
    "AS": "046Y", "CS": "YES", "DA": "19790517", "DS": "70.5", "IS": "12", "LO": "Head and neck", "LT": "A text",
    "PN": "Wang^XiaoDong=王^小东", "SH": "A1", "ST": "A text", "TM": "093000.25", "UC": "ID-1", "UI": "1.2.840.99",
    "UT": "urn:x", "UR": "http://example.org",
}  # fmt: skip
ENUMERATED = {"PatientSex": ("M", "F", "O"), "PatientIdentityRemoved": ("YES", "NO")}
ISSUER = {"LocalNamespaceEntityID": "HIS", "UniversalEntityID": "1.2.840.99", "UniversalEntityIDType": "ISO"}
CODE = {"CodeValue": "113100", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Basic profile"}
# Sequences that are copied whole, with the attributes of an item.
ITEMS = {
    "IssuerOfPatientIDQualifiersSequence": {**ISSUER, "IdentifierTypeCode": "MR"},
    "IssuerOfAccessionNumberSequence": ISSUER,
    "OtherPatientIDsSequence": {"PatientID": "P-2", "TypeOfPatientID": "TEXT", "IssuerOfPatientID": "OTHER"},
    "DeidentificationMethodCodeSequence": CODE,
}
ODD = (
    "\0",
    "\x01",
    "\x1b",
    "\x7f",
    "\x85",
    "\n",
    "\t",
    "\\",
    "^",
    "=",
    " ",
    ":",
    ".",
    "/",
    "-",
    "+",
    "0",
    "é",
    "王",
    "𝄞",
)
LONGER = 3
ABSENT = 0.15  # share of attributes that are not there at all


def changed(text: str, rng: Generator) -> str:
    """A value that is near a valid one: a character more, fewer or another one, repeated, padded, or unchanged."""
    at = int(rng.integers(len(text) + 1))
    odd = str(rng.choice(ODD))
    return str(rng.choice([
        text, text[:at] + odd + text[at:], text[:at] + odd + text[at + 1 :], text[:at], text * int(rng.integers(2, 40)),
        f" {text}", f"{text}  ", f"{text}\0", text.lower(), text.replace("0", "9"), f"{text}\\{text}", "",
    ]))  # fmt: skip


def generated(keyword: str, rng: Generator) -> bytes:
    text = str(rng.choice(ENUMERATED.get(keyword, (VALID[dictionary_VR(keyword)],))))
    for _ in range(int(rng.integers(0, LONGER))):
        text = changed(text, rng)
    if rng.random() < 0.1:
        return rng.bytes(int(rng.integers(0, 80)))
    encoding = str(rng.choice(["utf-8", "gb18030", "gb2312"]))
    return text.encode(encoding, "replace")


def item_of(values: Mapping[str, str], rng: Generator) -> Dataset:
    """An item with some of the attributes that it should have, and now and then a damaged value."""
    item = Dataset()
    for keyword, value in values.items():
        if rng.random() > ABSENT:
            text = changed(value, rng) if rng.random() < 0.1 else value
            item[tag_for_keyword(keyword)] = raw(keyword, text.encode())
    return item


def fuzzed_study(seed: int) -> SourceStudy:
    """The sample study, with a generated value in every attribute that is copied from its first header."""
    rng = np.random.default_rng(seed)
    first = samples.mr_dataset(samples.ROLES[0], 0)
    for keyword in COPIED:
        if rng.random() < ABSENT and keyword in first:
            del first[keyword]
    first.SpecificCharacterSet = LABELS[int(rng.integers(len(LABELS)))].split("\\")
    for keyword in COPIED:
        if rng.random() > ABSENT:
            first[tag_for_keyword(keyword)] = raw(keyword, generated(keyword, rng))
    for keyword, values in ITEMS.items():
        if rng.random() > ABSENT:
            setattr(first, keyword, [item_of(values, rng) for _ in range(int(rng.integers(0, 3)))])
    request = first.RequestAttributesSequence[0]
    request.RequestedProcedureCodeSequence = [item_of(CODE, rng) for _ in range(int(rng.integers(0, 3)))]
    for keyword in REQUESTED:
        request[tag_for_keyword(keyword)] = raw(keyword, generated(keyword, rng))
    study = samples.sources()
    return SourceStudy((first, *study.mr[1:]), study.contours, study.masks)


def errors(path: Path) -> list[str]:
    """What dciodvfy calls an error; its warnings are about style, such as a name without components."""
    found = subprocess.run([peer("dciodvfy", "dicom3tools"), "-new", path], capture_output=True)
    lines = (found.stdout + found.stderr).decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith("Error")]


def check_study(seed: int, options: ReportOptions, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = fuzzed_study(seed)
        report = samples.scored(patient_id=str(patient_and_study(sources).PatientID or ""))
        objects = build_objects(report, sources, options=options)
    for each in objects:
        path = folder / "object.dcm"
        path.write_bytes(each.encoded)
        found = errors(path)
        assert not found, f"seed {seed}, {each.kind}: {found}"


def test_no_header_stops_the_report_or_makes_an_object_that_dciodvfy_faults(tmp_path: Path) -> None:
    for seed in range(6):
        check_study(seed, ReportOptions(kinds=("sr",)), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 2000, 100))
def test_no_header_of_1000_stops_the_report_or_makes_an_object_that_dciodvfy_faults(tmp_path: Path, first: int) -> None:
    """1,000 generated values of each copied attribute, in the SR and in every tenth study in the SEGs."""
    for seed in range(first, first + 100):
        check_study(seed, ReportOptions(kinds=("sr", "seg") if seed % 10 == 0 else ("sr",)), tmp_path)
    print(f"seeds {first} to {first + 99}: every report built, no object with an error", flush=True)


# Attribute, value, and whether our validation and dciodvfy object to it.
FAULTS = [
    ("StudyDate", "20260503", False, False), ("StudyDate", "2026.05.03", True, True),
    ("PatientBirthDate", "1979", True, True), ("StudyTime", "0930", False, False),
    ("StudyTime", "09:30:00", True, True), ("StudyTime", "256199", True, True),
    ("AccessionNumber", "A" * 16, False, False), ("AccessionNumber", "A" * 17, True, True),
    ("AccessionNumber", "A" * 40, True, True), ("PatientID", "7" * 65, True, True), ("PatientID", "P\x01", True, True),
    ("PatientID", "P\n1", True, True), ("PatientName", "Wang\x07", True, True), ("PatientName", "x" * 65, True, True),
    ("PatientName", "a=b=c=d", True, True), ("PatientName", "a^b^c^d^e^f", True, True),
    ("PatientSex", "m", True, True), ("PatientSex", "X", True, True), ("PatientAge", "046Y", False, False),
    ("PatientAge", "46", True, True), ("PatientWeight", "70 kg", True, True),
    ("PatientWeight", "70.1234567890123456", True, True), ("StudyID", "S" * 17, True, True),
    ("StudyDescription", "MRI\x00head", True, True), ("ReferringPhysicianName", "Li\x01", True, True),
    ("StudyInstanceUID", "1.2." + "3" * 60, False, False), ("StudyInstanceUID", "1.2." + "3" * 62, True, True),
    ("StudyInstanceUID", "1.2.a", True, True), ("StudyInstanceUID", "1..2", True, True),
    ("SeriesInstanceUID", "1.2." + "3" * 62, True, True), ("SeriesInstanceUID", "1.2.03", True, True),
    ("PatientIdentityRemoved", "MAYBE", True, True),
    # dciodvfy counts neither days nor digits of a fraction, and has C1 control characters for letters.
    ("PatientBirthDate", "19790017", True, False), ("StudyTime", "093000.1234567", True, False),
    ("IssuerOfPatientID", "\x85", True, False),
    # UIDs of others keep their leading zeros: without them a reference would name another object.
    ("StudyInstanceUID", "1.2.03.4", False, True),
]  # fmt: skip


@pytest.fixture(scope="module")
def sr() -> bytes:
    [built] = build_objects(samples.scored(), samples.sources(), options=ReportOptions(kinds=("sr",)))
    return built.encoded


@pytest.mark.parametrize(("keyword", "value", "ours", "theirs"), FAULTS)
def test_our_validation_objects_to_what_dciodvfy_objects_to(
    sr: bytes, tmp_path: Path, keyword: str, value: str, ours: bool, theirs: bool
) -> None:
    ds = dcmread(io.BytesIO(sr))
    path = tmp_path / "sr.dcm"
    encoded = value.encode()
    padding = b"\0" if dictionary_VR(keyword) == "UI" else b" "
    ds[tag_for_keyword(keyword)] = raw(keyword, encoded + padding * (len(encoded) % 2))
    ds.save_as(path)
    assert (bool(list(value_violations(dcmread(path)))), bool(complaints(path))) == (ours, theirs)


def test_several_values_where_one_is_allowed_are_a_violation() -> None:
    ds = Dataset()
    ds.StudyDescription = ["MRI", "head"]
    assert list(value_violations(ds)) == ["StudyDescription: expected one value, found 2"]
