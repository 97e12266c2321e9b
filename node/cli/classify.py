"""`cptdn classify`: the role of each series, with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import InputError
from node.cli.context import print_json, print_table, settings_of

if TYPE_CHECKING:
    from config.settings import SeriesRules

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
# Preamble and prefix: a shorter file cannot be DICOM (PS3.10 section 7.1).
SMALLEST_FILE_BYTES = 132
_JSON_NAMES = {dict: "an object", list: "a list", str: "a text", int: "a number", float: "a number", type(None): "null"}


def classify(
    ctx: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH...", help="DICOM files or folders.")] = None,
    headers: Annotated[
        Path | None, typer.Option("--headers", metavar="FILE.json", help="A list of header objects instead of files.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show series roles from headers: T1w, T2w, CE-T1w, other, or ambiguous, each with its reason.

    A list of headers is classified header by header (weighting and contrast). Files are classified as the node would
    classify their studies: plane, slices and the other series of the study count, too.

    Example: cptdn classify /data/study1
    Example: cptdn classify --headers headers.json --json
    """
    rules = settings_of(ctx).case.series_rules
    if (headers is None) == (not paths):
        found_instead = "both" if paths else "neither"
        raise typer.BadParameter(f"expected DICOM files or folders, or --headers FILE.json, found {found_instead}")
    found = _of_headers(headers, rules) if headers is not None else _of_files(paths or [], rules)
    if as_json:
        print_json(found)
        return
    print_table(
        ("series", "role", "confidence", "reason"),
        [(one["id"], one["role"], f"{one['confidence']:.2f}", one["reason"]) for one in found],
    )


def _of_headers(path: Path, rules: SeriesRules) -> list[dict[str, Any]]:
    from node.cases.series_roles import classify_header

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"expected a JSON list of header objects in {path}, found no JSON: {error}") from error
    if not isinstance(document, list):
        kind = _JSON_NAMES.get(type(document), "something else")
        raise InputError(f"expected a JSON list of header objects in {path}, found {kind}")
    for place, one in enumerate(document, start=1):
        if not isinstance(one, dict):
            kind = _JSON_NAMES.get(type(one), "something else")
            raise InputError(f"expected header objects in {path}, found {kind} in place {place}")
    found = []
    for number, one in enumerate(document):
        # A table of test cases has the expected role beside each header; it must not be visible to the rules.
        header = {key: value for key, value in one.items() if key != "label" and not key.startswith("_")}
        decision = classify_header(header, rules).to_json()
        found.append({"id": one.get("id", number), **{k: decision[k] for k in ("role", "confidence", "reason")}})
    return found


def _of_files(paths: Sequence[Path], rules: SeriesRules) -> list[dict[str, Any]]:
    from node.cases.series_context import classify_series
    from node.cases.series_summary import summarise_series
    from node.cases.split_series import join_parts
    from node.store.pixel_digests import pixel_digests

    studies: dict[str, list[dict[str, Any]]] = {}
    files: dict[str, Path] = {}
    for path, header in _read(paths):
        files[str(header.get("SOPInstanceUID") or "")] = path
        if header.get("Modality", "MR") not in ("RTSTRUCT", "SEG", "REG"):
            studies.setdefault(str(header.get("StudyInstanceUID") or ""), []).append(header)
    if not studies:
        named = ", ".join(str(path) for path in paths)
        raise InputError(f"expected DICOM images in {named}, found none")
    found = []
    for headers in studies.values():
        summaries = summarise_series(headers, pixel_digests(files), rules.check_image_count)
        series = join_parts(summaries, check_image_count=rules.check_image_count)
        for summary, decision in zip(series, classify_series(series, rules), strict=True):
            found.append({
                "id": summary.key,
                **decision.to_json(),
                "description": str(summary.header.get("SeriesDescription") or ""),
                "n_instances": summary.n_instances,
                "n_slices": summary.n_slices,
            })  # fmt: skip
    return found


def _read(paths: Iterable[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield all DICOM files with their headers; other files are skipped."""
    import warnings

    from pydicom.errors import InvalidDicomError

    from node.cases.headers import UNREADABLE, header_of
    from node.dicom.headers.conforming import read_conforming

    for path in _files(paths):
        with warnings.catch_warnings():
            # pydicom warns of each invalid value of each slice; the reasons of the roles say what matters of it.
            warnings.simplefilter("ignore")
            try:
                yield path, header_of(read_conforming(path, stop_before_pixels=True))
            except (InvalidDicomError, *UNREADABLE):
                continue


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise InputError(f"expected a DICOM file or a folder, found nothing at {path}")
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (one for one in found if one.is_file() and one.stat().st_size > SMALLEST_FILE_BYTES)
