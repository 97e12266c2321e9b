"""From RTSTRUCT to mask, and the whole preparation of a patient, against peers that do the same.

Mask: 40 slices of 512 x 512, reading of series headers and structure set included. Preparation: three such series read,
masked, resampled to the patches' spacing in plane, standardised, cut to 128 x 128 around the tumour.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from tests.benchmarks.measuring import Options, Result, interleaved, timed
from tests.benchmarks.peers import INSTALLED_BY, PeerFailedError, PipPeers, pip_peers
from tests.benchmarks.studies import large_study, lenient
from workers.bundles.bundle import load_bundle
from workers.phantoms.dicom_study import WrittenStudy, write_study
from workers.phantoms.population import draw_patient, published_nomogram
from workers.pipeline.computation import prepare_study
from workers.training.dicom_images import patient_images
from workers.volumes.contours import RoiMask, roi_on_series
from workers.volumes.reader import read_series
from workers.volumes.rtstruct import read_rtstruct, roi_named

ROI = "GTVp"
CONTOURED = "CE-T1w"
CURVE = (10, 20, 40, 80)
Mask = NDArray[np.bool_]


def run(options: Options) -> Result:
    """Milliseconds of masks and preparations, their ratios, and Dice against plastimatch."""
    result = Result("contours")
    with TemporaryDirectory() as temporary, pip_peers(Path(temporary)) as peers:
        root = Path(temporary)
        study = large_study(root / "study")
        _masks(study, root, peers, options, result)
        _preparations(study, root, peers, options, result)
        for n in CURVE[:2] if options.quick else CURVE:
            one = write_study(
                draw_patient(2, n, published_nomogram()), root / f"of{n}", f"C{n}", roles=[CONTOURED], n_slices=n,
                matrix=256,
            )  # fmt: skip
            times = [timed(lambda one=one: our_mask(one))() for _ in range(5)]  # type: ignore[misc]
            result.curve.setdefault("mask, ms by number of slices", {})[str(n)] = round(min(times) * 1e3, 2)
    return result


def our_mask(study: WrittenStudy) -> RoiMask:
    series = read_series(study.series[CONTOURED])
    return roi_on_series(roi_named(read_rtstruct(study.rtstruct), ROI), series)


def _masks(study: WrittenStudy, root: Path, peers: PipPeers | None, options: Options, result: Result) -> None:
    folder = str(study.series[CONTOURED][0].parent)
    contestants: dict[str, Callable[[], float]] = {"ours": timed(lambda: our_mask(study))}
    if shutil.which("plastimatch"):
        contestants["plastimatch"] = timed(lambda: _plastimatch(study, root / "plastimatch"))
    else:
        result.absent["plastimatch"] = "Debian package plastimatch"
    asked = {"series": folder, "rtstruct": str(study.rtstruct)}
    _add_peer(contestants, "rt-utils", peers, result, out=str(root / "rt_utils.npy"), **asked)
    _add_peer(contestants, "dcmrtstruct2nii", peers, result, folder=str(root / "dcmrtstruct2nii"), **asked)
    found = interleaved(contestants, options.rounds(11))
    for name, times in found.items():
        result.figure(f"{name}: contour to mask", [s * 1e3 for s in times], "ms")
    for name, goal in (("plastimatch", 6.0), ("rt-utils", 2.0)):
        if name in found:
            faster = result.ratio(f"mask: {name} / ours", found[name], found["ours"])
            result.at_least(f"mask: {name} / ours", faster, goal)
    mask = sitk.GetArrayFromImage(our_mask(study).mask) > 0
    if "plastimatch" in found:
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(root / "plastimatch" / f"{ROI}.nrrd"))) > 0
        result.at_least("mask: Dice with plastimatch", dice(mask, theirs), 0.9999)
    if "rt-utils" in found:
        theirs = np.load(root / "rt_utils.npy")
        result.figure("mask: Dice of rt-utils with ours", [dice(mask, theirs)], "Dice")


def _plastimatch(study: WrittenStudy, out: Path) -> None:
    subprocess.run(
        ["plastimatch", "convert", "--input", str(study.rtstruct), "--referenced-ct",
         str(study.series[CONTOURED][0].parent), "--xor-contours", "--output-prefix", str(out),
         "--prefix-format", "nrrd"],
        check=True, capture_output=True,
    )  # fmt: skip


def dice(one: Mask, other: Mask) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def _preparations(study: WrittenStudy, root: Path, peers: PipPeers | None, options: Options, result: Result) -> None:
    bundle, case = load_bundle("demonstration"), lenient().case
    images = patient_images(study.folder, "BENCH-1")
    contestants: dict[str, Callable[[], float]] = {
        "ours": timed(lambda: prepare_study(images.request, images.files, bundle, case))
    }
    asked = {
        "series": {role: str(paths[0].parent) for role, paths in study.series.items()},
        "rtstruct": str(study.rtstruct), "folder": str(root), "spacing_mm": bundle.spacing_mm,
        "landmarks": {role: _landmarks(template.standard) for role, template in bundle.templates.items()},
    }  # fmt: skip
    for name in ("torchio", "monai"):
        _add_peer(contestants, name, peers, result, **asked)
    found = interleaved(contestants, options.rounds(7))
    for name, times in found.items():
        result.figure(f"{name}: whole preparation of a patient", [s * 1e3 for s in times], "ms")
    for name in ("torchio", "monai"):
        if name in found:
            faster = result.ratio(f"preparation: {name} / ours", found[name], found["ours"])
            result.at_least(f"preparation: {name} / ours", faster, 5.0)
    result.figure("floor: reading the files of a patient", [_reading(study) * 1e3 for _ in range(5)], "ms")


def _landmarks(standard: tuple[float, ...]) -> list[float]:
    """Our template at the thirteen quantiles that TorchIO uses, on its scale of 0..100."""
    at = np.linspace(0, len(standard) - 1, 13)
    return (np.interp(at, np.arange(len(standard)), standard) / 20.48).tolist()


def _reading(study: WrittenStudy) -> float:
    begin = time.perf_counter()
    for path in study.files:
        path.read_bytes()
    return time.perf_counter() - begin


def _add_peer(
    contestants: dict[str, Callable[[], float]], task: str, peers: PipPeers | None, result: Result, **request: object
) -> None:
    """A peer from PyPI as a contestant, where it is installed and does its work."""
    if peers is None:
        result.absent[task] = INSTALLED_BY
        return
    try:
        peers.ask(task, **request)
    except PeerFailedError as error:
        result.absent[task] = str(error)
        return
    contestants[task] = lambda: float(peers.ask(task, **request)["seconds"])
