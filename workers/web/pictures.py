"""Pictures of a study for the pages: slices of a stored series with the contour on them, and the page of a report.

    artefacts/<study>/<digest>/series.json    slices, grey window, outlines of the contour by slice
                               <slice>.png    one slice; <slice>-contour.png with the outlines drawn in
    artefacts/<study>/<digest>/page.png       the report's picture

The digest covers the series' bytes and the contour, so a corrected contour has pictures of its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import dcmread

from config.atomic_files import replacing, write_atomically
from config.errors import CptdnError, InputError
from node.ledger.cases import get_case
from node.ledger.instances import instances_of_study, paths_of
from node.ledger.jobs import latest_job
from node.ledger.reports import current_report
from node.store.study_store import StudyStore
from workers.pipeline.context import WorkerContext
from workers.volumes.contours import roi_on_series
from workers.volumes.reader import MrSeries, read_series
from workers.volumes.registrations import read_registration
from workers.volumes.rtstruct import read_rtstruct
from workers.volumes.segmentations import read_segment, segment_on_series

WIDTH = 512  # pixels of a picture's longer side
DARKEST, BRIGHTEST = 1.0, 99.7  # percentiles of the middle slices
CONTOUR_COLOUR, HALO = (255, 176, 0), (0, 0, 0)
WINDOW_SLICES = 5

Outlines = list[list[tuple[float, float]]]


@dataclass(frozen=True)
class SeriesFacts:
    """What all pictures of one series share. outlines : slice number -> closed lines in pixels (x, y)."""

    n_slices: int
    shown: int
    window: tuple[float, float]
    spacing_yx_mm: tuple[float, float]
    outlines: dict[str, Outlines]
    note: str


def draw_slice(context: WorkerContext, study: str, series: str, index: int | None, contour: bool) -> dict[str, Any]:
    """A picture of one slice.

    index : from 0; None: the representative slice of the report, else the tumour's middle, else the series' middle.
    Returns its path below the storage root, the slice, how many there are, and those that the contour touches.
    Raises InputError when the series is not stored or cannot be read as a volume.
    """
    files, digest = _files(context, study, series)
    used = _contour(context, study, series)
    folder = context.store.artefact_folder(study, _digest_of([digest, used]))
    facts = _facts(context, study, files, folder, used)
    at = facts.shown if index is None else min(max(0, index), facts.n_slices - 1)
    outlines = facts.outlines.get(str(at), []) if contour else []
    path = folder / f"{at}{'-contour' if outlines else ''}.png"
    if not path.exists():
        _write(_picture(_series(files).pixels_zyx([at])[0], facts, outlines), path)
    touched = sorted(int(z) for z in facts.outlines)
    return {
        "path": str(path.relative_to(context.store.root)),
        "index": at,
        "n_slices": facts.n_slices,
        "contour_slices": [touched[0], touched[-1]] if touched else None,
        "note": facts.note,
    }


def draw_page(store: StudyStore, study: str, secondary_capture: str) -> str:
    """The page of a report (a Secondary Capture) as PNG; its path below the storage root."""
    folder = store.artefact_folder(study, _digest_of([secondary_capture]))
    path = folder / "page.png"
    if not path.exists():
        _write(Image.fromarray(dcmread(store.path(secondary_capture)).pixel_array), path)
    return str(path.relative_to(store.root))


def _files(context: WorkerContext, study: str, series: str) -> tuple[tuple[Path, ...], str]:
    with context.ledger.begin() as session:
        rows = [row for row in instances_of_study(session, study) if row.series_instance_uid == series]
    if not rows:
        raise InputError(f"study {study} has no series {series}")
    return tuple(context.store.path(row.path) for row in rows), _digest_of([row.digest for row in rows])


def _contour(context: WorkerContext, study: str, series: str) -> dict[str, Any] | None:
    """The contour on this series: of the latest computation where that used the series, else that of the case."""
    with context.ledger.begin() as session:
        job, case = latest_job(session, study), get_case(session, study)
        request = job.request if job is not None else {}
        role = next((r for r, one in request.get("series", {}).items() if one["series_instance_uid"] == series), None)
        found = request["contours"].get(role) if role else case.assessment.get("contour")
        registration = request.get("registrations", {}).get(role) if role else None
        uids = [one["sop_instance_uid"] for one in (found, registration) if one and one.get("sop_instance_uid")]
        paths = paths_of(session, uids)
    if not found or not uids or set(paths) != set(uids):
        return None
    return {
        "kind": found["kind"],
        "number": str(found["roi_number"]),
        "path": paths[uids[0]],
        "digest": found["digest"],
        "registration": paths[uids[1]] if registration else None,
    }


@lru_cache(maxsize=6)
def _series(files: tuple[Path, ...]) -> MrSeries:
    """Headers of the series in slice order; a person who leafs through it reads them once."""
    return read_series(files)


def _facts(
    context: WorkerContext, study: str, files: tuple[Path, ...], folder: Path, used: dict[str, Any] | None
) -> SeriesFacts:
    kept = folder / "series.json"
    if kept.exists():
        return SeriesFacts(**json.loads(kept.read_text(encoding="utf-8")))
    series = _series(files)
    outlines, note = _outlines(context.store, series, used)
    touched = sorted(int(z) for z in outlines)
    middle = touched[len(touched) // 2] if touched else len(series.frames) // 2
    facts = SeriesFacts(
        n_slices=len(series.frames),
        shown=_representative(context, study, series, middle),
        window=_window(series),
        spacing_yx_mm=(series.grid.spacing_xyz_mm[1], series.grid.spacing_xyz_mm[0]),
        outlines=outlines,
        note=note,
    )
    write_atomically(kept, json.dumps(asdict(facts)))
    return facts


def _representative(context: WorkerContext, study: str, series: MrSeries, otherwise: int) -> int:
    """The slice with the highest predicted risk, where the current report names one of this series."""
    with context.ledger.begin() as session:
        report = current_report(session, study)
    for used in report.result["series"] if report is not None else ():
        if used["series_instance_uid"] == series.series_instance_uid:
            wanted = (used["representative_sop_instance_uid"], used["representative_frame_number"])
            places = [z for z, ref in enumerate(series.slices) if (ref.sop_instance_uid, ref.frame_number) == wanted]
            return places[0] if places else otherwise
    return otherwise


def _outlines(store: StudyStore, series: MrSeries, used: dict[str, Any] | None) -> tuple[dict[str, Outlines], str]:
    """Outlines by slice, and why there are none where the contour does not reach this series."""
    if used is None:
        return {}, ""
    try:
        mask = _mask(store, series, used)
    except (CptdnError, StopIteration) as error:
        return {}, str(error)
    mask_zyx = sitk.GetArrayViewFromImage(mask)
    touched = np.flatnonzero(mask_zyx.any(axis=(1, 2)))
    return {str(z): _lines(mask_zyx[z]) for z in touched}, ""


def _mask(store: StudyStore, series: MrSeries, used: dict[str, Any]) -> sitk.Image:
    path = store.path(used["path"])
    if used["kind"] == "SEG":
        return segment_on_series(read_segment(path, used["number"]), series).mask
    roi = next(roi for roi in read_rtstruct(path) if str(roi.number) == used["number"])
    links = [read_registration(store.path(used["registration"]))] if used["registration"] else []
    return roi_on_series(roi, series, links).mask


def _lines(mask_yx: NDArray[np.uint8]) -> Outlines:
    """Closed lines half way between pixels inside and outside."""
    from contourpy import contour_generator

    padded = np.pad(mask_yx.astype(np.float64), 1)
    found: list[NDArray[np.float64]] = contour_generator(z=padded, line_type="Separate").lines(0.5)  # type: ignore[assignment]
    return [[(round(float(x) - 1, 2), round(float(y) - 1, 2)) for x, y in line] for line in found]


def _window(series: MrSeries) -> tuple[float, float]:
    """Grey values that become black and white."""
    n = len(series.frames)
    around = sorted(
        {min(n - 1, max(0, n // 2 + step)) for step in range(-(WINDOW_SLICES // 2), WINDOW_SLICES // 2 + 1)}
    )
    low, high = np.percentile(series.pixels_zyx(around), (DARKEST, BRIGHTEST))
    return float(low), float(max(high, low + 1e-6))


def _picture(pixels_yx: NDArray[np.float32], facts: SeriesFacts, outlines: Outlines) -> Image.Image:
    low, high = facts.window
    grey = np.round(np.clip((pixels_yx - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    y_mm, x_mm = facts.spacing_yx_mm
    height_mm, width_mm = grey.shape[0] * y_mm, grey.shape[1] * x_mm
    scale = WIDTH / max(height_mm, width_mm)
    size = (max(1, round(width_mm * scale)), max(1, round(height_mm * scale)))
    picture = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC)
    if not outlines:
        return picture
    picture = picture.convert("RGB")
    draw = ImageDraw.Draw(picture)
    steps = size[0] / grey.shape[1], size[1] / grey.shape[0]
    placed = [[((x + 0.5) * steps[0], (y + 0.5) * steps[1]) for x, y in line] for line in outlines]
    for colour, width in ((HALO, 4), (CONTOUR_COLOUR, 2)):
        for line in placed:
            draw.line([*line, line[0]], fill=colour, width=width, joint="curve")
    return picture


def _write(picture: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", optimize=False)


def _digest_of(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
