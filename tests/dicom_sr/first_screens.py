"""The first screens of examples in programs of others at 1280 x 720: OHIF beside Orthanc, and dsr2html in Chromium."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dicom_sr.report.report_inputs import ObjectKind
from tests.dicom_sr import samples
from tests.dicom_sr.gallery import Example
from tests.dicom_sr.test_viewers import npm_peer
from tests.peers import peer


def first_screens(
    examples: Mapping[str, Example], folder: Path, kinds: Sequence[ObjectKind] = ("sr", "sc")
) -> dict[str, dict[str, Any]]:
    """Write a picture of each screen into the folder; its text, and the text that is visible without scrolling.

    The keys are NAME_ohif (the SR), NAME_ohif_picture (the first page as Secondary Capture) and NAME_dsr2html.
    """
    for program, package in (("Orthanc", "orthanc"), ("chromium", "chromium"), ("unshare", "util-linux")):
        peer(program, package)
    shown = []
    for name, example in examples.items():
        for each in example.objects(*kinds):
            path = folder / f"{name}_{each.kind}_{each.dataset.InstanceNumber}.dcm"
            path.write_bytes(each.encoded)
            screen = f"{name}_ohif" if each.kind == "sr" else f"{name}_ohif_picture"
            if each.dataset.InstanceNumber == 1:
                shown.append(f"{screen}={each.dataset.SeriesInstanceUID}")
            if each.kind == "sr":
                page = folder / f"{name}_dsr2html.html"
                subprocess.run([peer("dsr2html", "dcmtk"), path, page], check=True, capture_output=True)
                shown.append(f"{name}_dsr2html={page}")
    script = Path(__file__).parent / "browser_exchange.py"
    dist = npm_peer("ohif") / "dist"
    command = ["unshare", "-n", sys.executable, str(script), str(folder), str(dist), samples.STUDY, *shown]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
