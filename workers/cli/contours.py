"""`cptdn contours`: the ROIs of an RTSTRUCT as masks on a series, before any network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import CptdnError, IneligibleStudyError, InputError
from node.cli.context import print_json, print_table

if TYPE_CHECKING:
    from node.cases.series_summary import SeriesSummary
    from workers.volumes.contours import RoiMask
    from workers.volumes.reader import MrSeries
    from workers.volumes.rtstruct import Roi


def contours(
    ctx: typer.Context,
    rtstruct: Annotated[Path, typer.Argument(metavar="RTSTRUCT", help="The file with the drawn contours.")],
    series_folder: Annotated[Path, typer.Argument(metavar="SERIES_FOLDER", help="The images of one series.")],
    roi: Annotated[str | None, typer.Option("--roi", metavar="NAME", help="One ROI by name or number.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="MASK.nii.gz", help="Write the mask (NIfTI, NRRD, ...).")
    ] = None,
    registration: Annotated[
        list[Path] | None, typer.Option("--registration", metavar="FILE", help="A Spatial Registration, where needed.")
    ] = None,
    series_uid: Annotated[
        str | None, typer.Option("--series", metavar="UID", help="Which series, where the folder has several.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Turn the ROIs of an RTSTRUCT into masks on a series' grid and print volume, slices and centroid.

    Without --roi every ROI of the structure set is listed, those that give no mask with the reason.

    Example: cptdn contours rtstruct.dcm series/ --roi GTVp --out gtvp.nii.gz
    """
    from workers.volumes.registrations import read_registration
    from workers.volumes.rtstruct import read_rtstruct, roi_named

    rois = read_rtstruct(rtstruct)
    chosen = rois if roi is None else [roi_named(rois, roi)]
    if out is not None and len(chosen) != 1:
        raise typer.BadParameter(f"--out writes the mask of one ROI, found {len(chosen)}; name one with --roi")
    series = _series_of(series_folder, rois, series_uid)
    registrations = [read_registration(path) for path in registration or []]
    rows = [_row(each, series, registrations, out, single=roi is not None) for each in chosen]
    document = {
        "series_instance_uid": series.series_instance_uid,
        "findings": [{"code": f.code, "text": f.text} for f in series.findings],
    }
    if as_json:
        print_json({**rows[0], "series": document} if roi is not None else {**document, "rois": rows})
        return
    for finding in document["findings"]:
        typer.echo(f"series: {finding['text']}")  # type: ignore[index]
    _print_rows(rows)


def _series_of(folder: Path, rois: list[Roi], series_uid: str | None) -> MrSeries:
    """Read the series of the folder; of several the named one, or the only one that the contours refer to."""
    from workers.volumes.reader import series_in

    series_paths = series_in(folder)
    named = {uid for roi in rois for contour in roi.contours for uid in contour.sop_instance_uids}
    if series_uid is not None:
        if series_uid not in series_paths:
            raise InputError(f"expected series {series_uid} in {folder}, found {', '.join(series_paths)}")
        return _volume_of(series_paths[series_uid], named)
    if len(series_paths) == 1:
        return _volume_of(next(iter(series_paths.values())), named)
    # Contours name the images that they were drawn on (PS3.3 C.8.8.6), so a folder of a whole study often needs no
    # option.
    referred = [uid for uid, paths in series_paths.items() if named & _instances(paths)]
    if len(referred) != 1:
        raise InputError(
            f"expected one series in {folder}, found {len(series_paths)} ({', '.join(series_paths)}); "
            "name one with --series"
        )
    return _volume_of(series_paths[referred[0]], named)


def _volume_of(paths: list[Path], named: set[str]) -> MrSeries:
    """Read a series; of several volumes the one that the contours name, else the first: a mask needs no grey values."""
    from dataclasses import replace

    from node.cases.chosen_volumes import series_request
    from node.cases.headers import header_of
    from node.cases.series_summary import summarise_series
    from node.dicom.headers.conforming import read_conforming
    from node.store.pixel_digests import pixel_digests
    from workers.volumes.chosen_series import read_chosen
    from workers.volumes.findings import Finding
    from workers.volumes.parsing import PARSE_ERRORS
    from workers.volumes.reader import read_series

    try:
        headers = [header_of(read_conforming(path, stop_before_pixels=True)) for path in paths]
    except (CptdnError, *PARSE_ERRORS):
        return read_series(paths)  # which names the damaged file
    files = {str(header.get("SOPInstanceUID")): path for header, path in zip(headers, paths, strict=True)}
    volumes = summarise_series(headers, pixel_digests(files))
    if len(volumes) == 1 and not volumes[0].volume.left_out:
        return read_series(paths)

    def n_named(summary: SeriesSummary) -> int:
        return sum(str(header.get("SOPInstanceUID")) in named for header in summary.volume.headers)

    chosen = max(volumes, key=n_named)
    series = read_chosen(series_request(chosen, dict.fromkeys(files, ""), ""), files)
    if not chosen.volume.name:
        return series
    text = f"the series contains {len(volumes)} volumes; the mask is on the grid of {chosen.volume.name}"
    return replace(series, findings=(*series.findings, Finding("volume_of_series", text)))


def _instances(paths: list[Path]) -> set[str]:
    from pydicom import dcmread

    return {str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for path in paths}


def _row(roi: Roi, series: MrSeries, registrations: list[Any], out: Path | None, *, single: bool) -> dict[str, Any]:
    """Return the row of one ROI; an ROI without a mask is an error (`single`), or a row with the reason."""
    from workers.volumes.contours import roi_on_series

    row: dict[str, Any] = {"roi_number": roi.number, "roi_name": roi.name, "roi_type": roi.roi_type}
    try:
        # Here an operator examines one structure set, so contours that name their slices are drawn in spite of another
        # frame of reference; the finding says so.
        mask = roi_on_series(roi, series, registrations, trust_images=True)
    except IneligibleStudyError as error:
        if single:
            raise
        return {**row, "error": {"code": error.code, "text": error.text}}
    if out is not None:
        _write(mask, out)
    return {
        **row,
        "volume_ml": round(mask.volume_ml, 4),
        "mask_volume_ml": round(mask.mask_volume_ml, 4),
        "n_slices": mask.n_slices,
        "centroid_lps_mm": [round(c, 3) for c in mask.centroid_lps_mm],
        "findings": [{"code": f.code, "text": f.text} for f in mask.findings],
    }


def _write(mask: RoiMask, out: Path) -> None:
    import SimpleITK as sitk

    try:
        sitk.WriteImage(mask.mask, str(out), useCompression=True)
    except RuntimeError as error:
        raise InputError(f"cannot write the mask to {out}: expected a folder that exists and an image suffix such as "
                         ".nii.gz or .nrrd") from error  # fmt: skip


def _print_rows(rows: list[dict[str, Any]]) -> None:
    cells = []
    for row in rows:
        name = [str(row["roi_number"]), row["roi_name"], row["roi_type"]]
        if "error" in row:
            cells.append([*name, "-", "-", "-", row["error"]["text"]])
            continue
        centroid = ", ".join(f"{c:.1f}" for c in row["centroid_lps_mm"])
        notes = "; ".join(finding["text"] for finding in row["findings"])
        cells.append([*name, f"{row['volume_ml']:.2f}", str(row["n_slices"]), centroid, notes])
    print_table(["number", "name", "type", "volume mL", "slices", "centroid LPS mm", "remarks"], cells)
