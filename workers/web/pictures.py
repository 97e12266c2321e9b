"""Pictures of a study for the pages: slices of a stored series with the contour, and the picture of a report.

    artefacts/<study>/<digest>/series.json    slices, grey window, outlines of the contour by slice
                               <slice>.png    one slice; <slice>-contour.png with the outlines drawn in
    artefacts/<study>/<digest>/page.png       the picture of a report

The digest covers the series' bytes and the contour, so a corrected contour gets pictures of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from pydicom import dcmread

from config.arrays import Float32Array, FloatArray, LabelArray
from config.atomic_files import replacing, write_atomically
from config.errors import CptdnError, InputError
from config.messages.message import message, text_of
from dicom_sr.objects.lossless import rgb_pixels
from node.cases.case_inputs import arrival_order
from node.cases.series_summary import JOINED, OF_SERIES, summarise_series
from node.cases.split_series import join_parts
from node.ledger.cases import get_case
from node.ledger.instances import instances_of_study, paths_of
from node.ledger.jobs import latest_job
from node.ledger.reports import current_report
from node.store.pixel_digests import pixel_digests
from node.store.study_store import StudyStore
from workers.pipeline.context import WorkerContext
from workers.volumes.contour_source import contour_on_series
from workers.volumes.reader import MrSeries, read_series

WIDTH = 512  # pixels of a picture's longer side
DARKEST, BRIGHTEST = 1.0, 99.7  # percentiles of the middle slices: fat and vessels may be white
CONTOUR_COLOUR, HALO = (255, 176, 0), (0, 0, 0)
WINDOW_SLICES = 5


@dataclass(frozen=True)
class _Files:
    """What is read for one picture: files, frame numbers of objects that contain other volumes as well."""

    paths: tuple[Path, ...]
    frames: tuple[tuple[str, tuple[int, ...]], ...]
    is_joined: bool
    is_part: bool


Outlines = list[list[tuple[float, float]]]


@dataclass(frozen=True)
class SeriesFacts:
    """Values that all pictures of one series share; saved as series.json.

    Attributes
    ----------
    n_slices : int
        Slices of the series.
    shown : int
        Slice that is shown first, from 0.
    window : (float, float)
        Grey values that become black and white.
    spacing_yx_mm : (float, float)
        Distance of rows and of columns.
    outlines : dict of str to list of lines
        Slice number -> closed lines of points (x, y) in pixels; whole numbers are pixel centres.
    note : str
        Why there are no outlines; empty where there are some, or no contour was drawn.
    """

    n_slices: int
    shown: int
    window: tuple[float, float]
    spacing_yx_mm: tuple[float, float]
    outlines: dict[str, Outlines]
    note: str


def draw_slice(context: WorkerContext, study: str, series: str, index: int | None, contour: bool) -> dict[str, Any]:
    """Draw one slice of a stored series as PNG, or return the picture that was drawn before.

    Parameters
    ----------
    context : WorkerContext
        Ledger and store.
    study, series : str
        Study Instance UID, and key of the series or volume (see `SeriesSummary.key`).
    index : int, optional
        Slice from 0, limited to the series. By default the representative slice of the report, else the middle of the
        contour, else the middle of the series.
    contour : bool
        Whether the outlines are drawn on it.

    Returns
    -------
    dict
        ``path`` below the storage root, ``index``, ``n_slices``, ``contour_slices`` (first and last with an outline, or
        None), ``note``.

    Raises
    ------
    InputError
        The series is not stored, or cannot be read as a volume.
    """
    files, digest = _series_files(context, study, series)
    chosen = _chosen_contour(context, study, series)
    folder = context.store.artefact_folder(study, _digest_of([digest, chosen]))
    facts = _series_facts(context, study, files, folder, chosen)
    # The number comes from a page, which may be older than the series: the nearest slice is shown.
    at = facts.shown if index is None else min(max(0, index), facts.n_slices - 1)
    outlines = facts.outlines.get(str(at), []) if contour else []
    # A slice without outlines is the same picture either way and is saved once.
    path = folder / f"{at}{'-contour' if outlines else ''}.png"
    if not path.exists():
        _save_png(_picture(_cached_series(files).pixels_zyx([at])[0], facts, outlines), path)
    touched = sorted(int(z) for z in facts.outlines)
    return {
        "path": str(path.relative_to(context.store.root)),
        "index": at,
        "n_slices": facts.n_slices,
        "contour_slices": [touched[0], touched[-1]] if touched else None,
        "note": facts.note,
    }


def draw_page(store: StudyStore, study: str, secondary_capture: str) -> str:
    """Convert the picture of a report to PNG, or return the PNG that was written before.

    Parameters
    ----------
    store : StudyStore
        Where both are.
    study : str
        Study Instance UID.
    secondary_capture : str
        Path of the report's Secondary Capture below the storage root.

    Returns
    -------
    str
        Path of the PNG below the storage root.
    """
    folder = store.artefact_folder(study, _digest_of([secondary_capture]))
    path = folder / "page.png"
    if not path.exists():
        _save_png(Image.fromarray(rgb_pixels(dcmread(store.path(secondary_capture)))), path)
    return str(path.relative_to(store.root))


def _series_files(context: WorkerContext, study: str, series: str) -> tuple[_Files, str]:
    """Return what is read for a series or volume, and the digest of its bytes; `series` is `SeriesSummary.key`."""
    with context.ledger.read() as session:
        rows = instances_of_study(session, study)
        uids = {part.partition(OF_SERIES)[0] for part in series.split(JOINED)}
        rows = [row for row in rows if row.series_instance_uid in uids]
    if not rows:
        raise InputError(message("question.no_series", study=study, series=series))
    files = {row.sop_instance_uid: context.store.path(row.path) for row in rows}
    frames: Mapping[str, tuple[int, ...]] = {}
    arrived = sorted(rows, key=arrival_order)
    digest_of = pixel_digests(files)
    check_count = context.settings.case.series_rules.check_image_count
    summaries = join_parts(
        summarise_series([row.header for row in arrived], digest_of, check_count), [series], check_count
    )
    summary = next((summary for summary in summaries if summary.key == series), None)
    if summary is not None:
        used = {str(header["SOPInstanceUID"]) for header in summary.volume.headers}
        rows, frames = [row for row in rows if row.sop_instance_uid in used], summary.volume.frames
    chosen = _Files(
        tuple(files[row.sop_instance_uid] for row in rows),
        tuple(frames.items()),
        JOINED in series,
        bool(summary is not None and summary.volume_names) or not check_count,
    )
    document = [row.digest for row in rows]
    return chosen, _digest_of([document, chosen.frames] if chosen.frames else document)


def _chosen_contour(context: WorkerContext, study: str, series: str) -> dict[str, Any] | None:
    """Return the contour of the latest computation where that used this series, else that of the case."""
    with context.ledger.read() as session:
        job, case = latest_job(session, study), get_case(session, study)
        request = job.request if job is not None else {}
        roles = [r for r, used in request.get("series", {}).items() if _key_of(used) == series]
        role = roles[0] if roles else None
        contour = request["contours"].get(role) if role else case.assessment.get("contour")
        registration = request.get("registrations", {}).get(role) if role else None
        uids = [used["sop_instance_uid"] for used in (contour, registration) if used and used.get("sop_instance_uid")]
        paths = paths_of(session, uids)
    if not contour or not uids or set(paths) != set(uids):
        return None
    return {
        "kind": contour["kind"],
        "number": str(contour["roi_number"]),
        "path": paths[uids[0]],
        "digest": contour["digest"],
        "registration": paths[uids[1]] if registration else None,
    }


def _key_of(entry: Mapping[str, Any]) -> str:
    """Return the key of the series or volume that a computation used for one role."""
    uid = str(entry["series_instance_uid"])
    others = set(entry.get("other_series", {}).values())
    if others:
        return JOINED.join(sorted({uid, *others}))
    return f"{uid}{OF_SERIES}{entry['volume']}" if entry.get("volume") else uid


@lru_cache(maxsize=6)
def _cached_series(files: _Files) -> MrSeries:
    """Headers of the series in slice order, cached for an operator who goes through its slices."""
    return read_series(
        files.paths,
        frames_of=dict(files.frames),
        is_joined=files.is_joined,
        check_image_count=not files.is_part,
    )


def _series_facts(
    context: WorkerContext, study: str, files: _Files, folder: Path, chosen: dict[str, Any] | None
) -> SeriesFacts:
    saved = folder / "series.json"
    if saved.exists():
        return SeriesFacts(**json.loads(saved.read_text(encoding="utf-8")))
    series = _cached_series(files)
    outlines, note = _outlines(context.store, series, chosen)
    touched = sorted(int(z) for z in outlines)
    middle = touched[len(touched) // 2] if touched else len(series.frames) // 2
    facts = SeriesFacts(
        n_slices=len(series.frames),
        shown=_first_shown(context, study, series, middle),
        window=_window(series),
        spacing_yx_mm=(series.grid.spacing_xyz_mm[1], series.grid.spacing_xyz_mm[0]),
        outlines=outlines,
        note=note,
    )
    write_atomically(saved, json.dumps(asdict(facts)))
    return facts


def _first_shown(context: WorkerContext, study: str, series: MrSeries, otherwise: int) -> int:
    """Return the representative slice, where the current report names one of this series."""
    with context.ledger.read() as session:
        report = current_report(session, study)
    for used in report.result["series"] if report is not None else ():
        if used["series_instance_uid"] in series.series_uids:
            named = (used["representative_sop_instance_uid"], used["representative_frame_number"])
            # Two volumes of one series may have two roles: the slice is in one of them.
            if named in series.slices:
                return series.slices.index(named)
    return otherwise


def _outlines(store: StudyStore, series: MrSeries, chosen: dict[str, Any] | None) -> tuple[dict[str, Outlines], str]:
    """Outlines by slice, and why there are none where the contour cannot be drawn on this series."""
    if chosen is None:
        return {}, ""
    registration = store.path(chosen["registration"]) if chosen["registration"] else None
    try:
        path = store.path(chosen["path"])
        mask_zyx = contour_on_series(path, chosen["kind"], chosen["number"], series, registration).mask_zyx
    except CptdnError as error:  # the series is shown all the same
        return {}, text_of(error)
    touched = np.flatnonzero(mask_zyx.any(axis=(1, 2)))
    return {str(z): _lines(mask_zyx[z]) for z in touched}, ""


def _lines(mask_yx: LabelArray) -> Outlines:
    """Return closed lines half way between pixels inside and outside."""
    from contourpy import contour_generator

    # A border of zeros closes the lines of a mask that reaches the edge of the image.
    padded = np.pad(mask_yx.astype(np.float64), 1)
    lines: list[FloatArray] = contour_generator(z=padded, line_type="Separate").lines(0.5)  # type: ignore[assignment]
    return [[(round(float(x) - 1, 2), round(float(y) - 1, 2)) for x, y in line] for line in lines]


def _window(series: MrSeries) -> tuple[float, float]:
    """Grey values that become black and white, from the middle slices."""
    n = len(series.frames)
    around = sorted(
        {min(n - 1, max(0, n // 2 + step)) for step in range(-(WINDOW_SLICES // 2), WINDOW_SLICES // 2 + 1)}
    )
    low, high = np.percentile(series.pixels_zyx(around), (DARKEST, BRIGHTEST))
    # An image of one grey value has no window; this one makes it black.
    return float(low), float(max(high, low + 1e-6))


def _picture(pixels_yx: Float32Array, facts: SeriesFacts, outlines: Outlines) -> Image.Image:
    low, high = facts.window
    grey = np.round(np.clip((pixels_yx - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    y_mm, x_mm = facts.spacing_yx_mm
    height_mm, width_mm = grey.shape[0] * y_mm, grey.shape[1] * x_mm
    scale = WIDTH / max(height_mm, width_mm)
    size = (max(1, round(width_mm * scale)), max(1, round(height_mm * scale)))
    # Pixels that are not square are resampled to square ones; the longer side in mm gets WIDTH pixels.
    picture = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC)
    if not outlines:
        return picture
    picture = picture.convert("RGB")
    draw = ImageDraw.Draw(picture)
    steps = size[0] / grey.shape[1], size[1] / grey.shape[0]
    # Pixel centres have whole coordinates in the outlines; in a picture the first pixel's centre is at half a pixel.
    placed = [[((x + 0.5) * steps[0], (y + 0.5) * steps[1]) for x, y in line] for line in outlines]
    # A dark line below the coloured one keeps the outline visible on bright tissue.
    for colour, width in ((HALO, 4), (CONTOUR_COLOUR, 2)):
        for line in placed:
            draw.line([*line, line[0]], fill=colour, width=width, joint="curve")
    return picture


def _save_png(picture: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", optimize=False)


def _digest_of(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
