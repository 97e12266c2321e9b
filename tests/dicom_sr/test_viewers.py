"""What a person sees: OHIF (npm's prebuilt @ohif/app) beside Orthanc in Chromium, and dcmjs reading the tree.

These peers come from npm. CPTDN_NPM_PEERS names a folder with `@ohif/app` unpacked as `ohif` and `dcmjs` as `dcmjs`:
    npm pack @ohif/app@3.13.2 dcmjs, then unpack each archive's `package` folder under that name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_sr.coding import result_codes
from dicom_sr.content.regimen_groups import assumed_category
from dicom_sr.objects.build import build_objects
from dicom_sr.report import numbers
from dicom_sr.report.report_inputs import ReportObject, ReportOptions
from tests.dicom_sr import samples
from tests.dicom_sr.gallery import gallery
from tests.peers import absent, peer

HEIGHT = 720


def npm_peer(name: str) -> Path:
    folder = Path(os.environ.get("CPTDN_NPM_PEERS", "/nowhere")) / name
    if not folder.is_dir():
        absent(f"{name} is not there: unpack it from npm and name its folder in CPTDN_NPM_PEERS")
    return folder


def in_ohif(report, folder: Path) -> dict:
    """What OHIF shows of SR, page and PDF: texts, bottom edges of items, and pictures in the folder."""
    dist = npm_peer("ohif") / "dist"
    for program, package in (("Orthanc", "orthanc"), ("chromium", "chromium"), ("unshare", "util-linux")):
        peer(program, package)
    if not Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so").exists():
        absent("Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)")
    sources = samples.sources() if report.series else replace(samples.sources(), masks=())
    named = []
    for each in build_objects(report, sources, samples.pictures(), ReportOptions(kinds=("sr", "sc", "pdf", "seg"))):
        each.dataset.save_as(folder / f"{each.sop_instance_uid}.dcm", enforce_file_format=True)
        if each.kind in ("sr", "sc", "pdf"):
            named.append(f"{each.kind}={each.dataset.SeriesInstanceUID}")
    script = Path(__file__).parent / "browser_exchange.py"
    command = ["unshare", "-n", sys.executable, str(script), str(folder), str(dist), samples.STUDY, *named]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.parametrize("name", ["scored", "demonstration", "refused", "unknown_ebv"])
def test_ohif_shows_the_result_on_its_first_screen(name: str, tmp_path: Path) -> None:
    report = samples.CASES[name]()
    shown = in_ohif(report, tmp_path)
    text, bottoms = shown["sr"]["text"], shown["sr"]["bottoms"]
    result = "Recommended regimen" if report.computed else "Result of the computation"
    assert f"{result}:" in text
    # What the first screen has to answer is in test_reader.py.
    for label in ("Summary", result):
        assert bottoms[f"{label}:"] <= HEIGHT, label
    for scenario in report.scenarios:
        for arm in (scenario.ict_ccrt, scenario.ccrt):
            assumed = assumed_category(report, scenario)
            rate, total = result_codes.dfs(60, arm.arm, assumed), result_codes.total_points(arm.arm, assumed)
            assert f"{rate.meaning}: {numbers.percent(arm.dfs[60].value)} %" in text
            assert f"{total.meaning}: {numbers.points(arm.total_points)} {{points}}" in text
    assert "0 1" not in text.split("Imaging Measurements")[-1].split("Details")[0]
    for kind in ("sr", "sc", "pdf"):
        assert (tmp_path / f"{kind}.png").stat().st_size > 10_000


READ_WITH_DCMJS = """
const fs = require('fs'), { data, normalizers } = require(process.argv[2] + '/build/dcmjs.js');
const read = data.DicomMessage.readFile(new Uint8Array(fs.readFileSync(process.argv[3])).buffer);
const ds = data.DicomMetaDictionary.naturalizeDataset(read.dict);
const named = (items, meaning) => items.filter(i => i.ConceptNameCodeSequence?.[0]?.CodeMeaning === meaning);
const list = x => Array.isArray(x) ? x : x ? [x] : [];
const measurements = named(list(ds.ContentSequence), 'Imaging Measurements')[0];
const groups = named(list(measurements.ContentSequence), 'Measurement Group');
const out = groups.map(g => ({
  name: named(list(g.ContentSequence), 'Tracking Identifier')[0].TextValue,
  values: Object.fromEntries(list(g.ContentSequence).filter(i => i.ValueType === 'NUM').map(i =>
    [i.ConceptNameCodeSequence[0].CodeMeaning, Number(list(i.MeasuredValueSequence)[0].NumericValue)]))}));
console.log(JSON.stringify({ patient: ds.PatientName, title: ds.ConceptNameCodeSequence[0].CodeMeaning, groups: out }));
"""


@pytest.mark.long
@pytest.mark.parametrize("name", gallery())
def test_dcmjs_reads_the_numbers_of_every_example(name: str, tmp_path: Path) -> None:
    example = gallery()[name]
    [built] = example.objects("sr")
    groups = read_with_dcmjs(built, tmp_path)["groups"]
    numbers_read = {meaning: value for group in groups for meaning, value in group["values"].items()}
    for scenario in example.report.scenarios:
        for arm in (scenario.ict_ccrt, scenario.ccrt):
            name = result_codes.dfs(60, arm.arm, assumed_category(example.report, scenario)).meaning
            assert numbers_read[name] == float(numbers.percent(arm.dfs[60].value))


def read_with_dcmjs(sr: ReportObject, folder: Path) -> dict:
    dcmjs = npm_peer("dcmjs")
    (folder / "sr.dcm").write_bytes(sr.encoded)
    (folder / "read.js").write_text(READ_WITH_DCMJS)
    command = [peer("node", "nodejs"), str(folder / "read.js"), str(dcmjs), str(folder / "sr.dcm")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_dcmjs_reads_the_measurement_groups(tmp_path: Path) -> None:
    [built] = build_objects(samples.scored(), samples.sources(), None, ReportOptions(kinds=("sr",)))
    found = read_with_dcmjs(built, tmp_path)
    assert found["title"] == "Oncology Measurement Report"
    assert "王" in json.dumps(found["patient"], ensure_ascii=False)
    values = {group["name"]: group["values"] for group in found["groups"]}
    assert values["ICT+CCRT"]["5-year disease-free survival (DFS), ICT+CCRT"] == 79.1
    assert values["Comparison of the regimens"]["5-year DFS difference, ICT+CCRT minus CCRT"] == 12.6
    assert values["Primary tumour"]["Volume"] == 23.41
