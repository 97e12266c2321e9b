"""Writing a phantom cohort: one table, the truth behind it, and the patches of every patient.

DIR/cohort.csv              canonical columns of a cohort
DIR/truth.csv               latent scores, true linear predictor and 5-year DFS of both arms
DIR/patches/<patient_id>.npz   bags t1w, t2w, ce_t1w: (n, 2, 128, 128) uint8, image and mask of 0..255
DIR/patches/templates.json  the intensity templates that the patches were standardised with
DIR/phantoms.json           seed, number, scanners: how to make the same again
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.atomic_files import replacing
from workers.phantoms.images import (
    OTHER_SCANNERS,
    ROLES,
    TRAINING_SCANNERS,
    Grid,
    ScannerRange,
    Subject,
    Tumour,
    draw_subject,
    grid_of,
    render,
    tissues,
    tumour_mask,
)
from workers.phantoms.population import PhantomPatient, Truth, draw_patient, patient_rng, published_nomogram
from workers.training.cohort_origin import PHANTOM
from workers.training.patch_store import ORIGIN_KEY, PATCH_KEYS
from workers.volumes.intensity import IntensityTemplate
from workers.volumes.landmarks import landmarks_of
from workers.volumes.patches import extract_patches

R = TypeVar("R")
Scan = tuple[dict[str, NDArray[np.float32]], NDArray[np.uint8], float]  # see `scan`

SPACING_MM = 1.0
TEMPLATE_PATIENTS = 150
SCANS_KEPT = 24  # of some 8 MB each, so that the patients of a small cohort are not drawn a second time
SCANNERS: dict[str, ScannerRange] = {"training": TRAINING_SCANNERS, "other": OTHER_SCANNERS}
HISTOGRAM_SECTIONS_MM = (-45.0, -25.0, 25.0, 45.0)  # sections beyond the tumour, for landmarks like a whole stack's


@dataclass(frozen=True)
class PhantomCohort:
    """Which phantoms: an equal description always gives equal images.

    Attributes
    ----------
    size, seed : int
        Number of patients, and their seed.
    cohort : str
        Label in the column cohort.
    scanners : {"training", "other"}
        "other": gain, gamma, noise, bias and blur outside the training range.
    truth : Truth
        How survival depends on the latents.
    """

    size: int
    seed: int
    cohort: str = "training"
    scanners: str = "training"
    truth: Truth = field(default_factory=Truth)

    def patients(self) -> list[PhantomPatient]:
        """Draw all patients."""
        nomogram = published_nomogram()
        return [draw_patient(self.seed, i, nomogram, self.cohort, self.truth) for i in range(self.size)]


def subject_of(patient: PhantomPatient, seed: int, number: int) -> Subject:
    """Return anatomy and tumour of a phantom patient."""
    record = patient.record
    return draw_subject(
        patient.prognostic, patient.predictive, record["sex"], record["tumour_volume_ml"], patient_rng(seed, number, 1)
    )


def tumour_grid(tumour: Tumour, scanner: ScannerRange, rng: np.random.Generator) -> Grid:
    """Return sections through the tumour at this scanner's spacing, and a few beyond it for the histogram.

    Parameters
    ----------
    tumour : Tumour
        Of the subject.
    scanner : ScannerRange
        Range from which spacing and thickness are drawn.
    rng : numpy Generator
        Of this scan.

    Returns
    -------
    Grid
        Pixel centres in mm; z ascending, not evenly spaced beyond the tumour.
    """
    spacing, thickness = rng.uniform(*scanner.spacing_mm), rng.uniform(*scanner.thickness_mm)
    reach = float(tumour.radii_mm[2])
    # Slices do not meet the tumour's centre by design: their phase is drawn.
    centre = float(tumour.centre_mm[2]) + rng.uniform(-thickness / 2, thickness / 2)
    full = grid_of(spacing, thickness, (centre - reach - thickness, centre + reach + thickness))
    angles = np.zeros(1, dtype=np.float32)
    inside = [z for z in full.z_mm if tumour.outline(float(z), angles, drawn=True) is not None]
    beyond = [centre + z for z in HISTOGRAM_SECTIONS_MM if abs(z) > reach]
    return Grid(full.x_mm, full.y_mm, np.sort(np.array([*inside, *beyond], dtype=np.float32)))


def scan(patient: PhantomPatient, seed: int, number: int, scanner: ScannerRange) -> Scan:
    """Return the three series of a phantom patient.

    Returns
    -------
    images : dict of str to float32 array, shape (slices, rows, columns)
        Grey values by role.
    mask : uint8 array, shape (slices, rows, columns)
        The observer's contour.
    spacing_mm : float
        In the plane.
    """
    subject = subject_of(patient, seed, number)
    rng = patient_rng(seed, number, 2)
    grid = tumour_grid(subject.tumour, scanner, rng)
    labels = tissues(subject.head, grid)
    images = {role: render(subject, role, grid, labels, scanner, rng) for role in ROLES}
    return images, tumour_mask(subject.tumour, grid), float(grid.x_mm[1] - grid.x_mm[0])


def phantom_patches(
    number: int,
    cohort: PhantomCohort,
    nomogram: Mapping[str, Any],
    templates: Mapping[str, IntensityTemplate],
    spacing_mm: float = SPACING_MM,
    scans: dict[int, Scan] | None = None,
) -> tuple[PhantomPatient, dict[str, NDArray[np.uint8]]]:
    """Draw one phantom patient and cut its patches.

    Parameters
    ----------
    number : int
        Of the patient in the cohort.
    cohort : PhantomCohort
        Seed, scanners, truth.
    nomogram : mapping
        From `published_nomogram`.
    templates : mapping of str to IntensityTemplate
        By role.
    spacing_mm : float
        In-plane spacing of the patches.
    scans : dict of int to scan, optional
        Scans of some patients by number, as `scan` returns them; one that is used is removed.

    Returns
    -------
    patient : PhantomPatient
        Facts and truth.
    patches : dict of str to uint8 array, shape (n, 2, 128, 128)
        By role, image and mask of 0..255.
    """
    patient = draw_patient(cohort.seed, number, nomogram, cohort.cohort, cohort.truth)
    known = (scans or {}).pop(number, None)
    images, mask, spacing = known or scan(patient, cohort.seed, number, SCANNERS[cohort.scanners])
    bags = {}
    for role, image in images.items():
        standardise = templates[role].map_of(image, landmarks_of(image))
        patches, _ = extract_patches(image, mask, (spacing, spacing), spacing_mm, standardise=standardise)
        # One byte: its steps of 1/255 are far below the noise of the phantoms' scanners, and a cohort of thousands
        # stays small.
        bags[role] = np.round(patches * 255).astype(np.uint8)
    return patient, bags


def _landmarks(
    number: int, cohort: PhantomCohort, nomogram: Mapping[str, Any], scans: dict[int, Scan] | None
) -> dict[str, NDArray[Any]]:
    patient = draw_patient(cohort.seed, number, nomogram, cohort.cohort, cohort.truth)
    drawn = scan(patient, cohort.seed, number, SCANNERS[cohort.scanners])
    if scans is not None and len(scans) < SCANS_KEPT:
        scans[number] = drawn
    return {role: landmarks_of(image) for role, image in drawn[0].items()}


def fit_templates(
    cohort: PhantomCohort, processes: int = 1, scans: dict[int, Scan] | None = None
) -> dict[str, IntensityTemplate]:
    """Learn intensity templates from the first phantoms of a cohort, by role; `scans` gets the first `SCANS_KEPT`."""
    work = partial(_landmarks, cohort=cohort, nomogram=published_nomogram(), scans=scans)
    landmarks = list(_mapped(work, range(min(cohort.size, TEMPLATE_PATIENTS)), processes))
    return {role: IntensityTemplate.from_landmarks([row[role] for row in landmarks]) for role in ROLES}


def write_cohort(
    cohort: PhantomCohort,
    out: Path,
    templates: Mapping[str, IntensityTemplate] | None = None,
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write table, truth and patches; patches that exist are left as they are, so an interrupted call can be repeated.

    Parameters
    ----------
    cohort : PhantomCohort
        What to write.
    out : Path
        Folder, created if necessary.
    templates : mapping of str to IntensityTemplate, optional
        Those of a bundle, for phantoms that a model is tested on; by default learned from this cohort.
    processes : int
        That draw in parallel.
    progress : callable
        Called with finished and all patients.
    """
    patches = out / "patches"
    patches.mkdir(parents=True, exist_ok=True)
    templates_file = patches / "templates.json"
    if templates is None and templates_file.is_file():
        templates = templates_from(json.loads(templates_file.read_text(encoding="utf-8")))
    scans: dict[int, Scan] | None = {} if processes <= 1 else None  # other processes do not share it
    templates = templates or fit_templates(cohort, processes, scans)
    templates_file.write_text(
        json.dumps({ORIGIN_KEY: PHANTOM, **{role: t.to_json() for role, t in templates.items()}}, indent=1),
        encoding="utf-8",
    )
    patients = write_tables(cohort, out)
    missing = [i for i, p in enumerate(patients) if not (patches / f"{p.record['patient_id']}.npz").is_file()]
    work = partial(
        _write_patches, cohort=cohort, nomogram=published_nomogram(), templates=templates, folder=patches, scans=scans
    )
    for done, _ in enumerate(_mapped(work, missing, processes), start=len(patients) - len(missing) + 1):
        progress(done, len(patients))


def write_tables(cohort: PhantomCohort, out: Path) -> list[PhantomPatient]:
    """Write cohort.csv, truth.csv and phantoms.json of a cohort; return its patients."""
    out.mkdir(parents=True, exist_ok=True)
    patients = cohort.patients()
    _write_csv(out / "cohort.csv", [patient.record for patient in patients])
    _write_csv(out / "truth.csv", [truth_row(patient) for patient in patients])
    (out / "phantoms.json").write_text(json.dumps(asdict(cohort), indent=1), encoding="utf-8")
    return patients


def templates_from(document: Mapping[str, Any]) -> dict[str, IntensityTemplate]:
    """Return templates by role from the JSON of templates.json."""
    return {role: IntensityTemplate.from_json(document[role]) for role in ROLES}


def truth_row(patient: PhantomPatient) -> dict[str, Any]:
    """Return the row of truth.csv."""
    return {
        "patient_id": patient.record["patient_id"],
        "prognostic": round(patient.prognostic, 6),
        "predictive": round(patient.predictive, 6),
        "linear_predictor": round(patient.linear_predictor, 6),
        "dfs_60_ccrt": round(patient.dfs_60[0], 6),
        "dfs_60_ict_ccrt": round(patient.dfs_60[1], 6),
    }


def _write_patches(
    number: int,
    cohort: PhantomCohort,
    nomogram: Mapping[str, Any],
    templates: Mapping[str, IntensityTemplate],
    folder: Path,
    scans: dict[int, Scan] | None,
) -> None:
    patient, bags = phantom_patches(number, cohort, nomogram, templates, scans=scans)
    target = folder / f"{patient.record['patient_id']}.npz"
    with replacing(target) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **{ORIGIN_KEY: np.array(PHANTOM)}, **{PATCH_KEYS[role]: bag for role, bag in bags.items()})  # type: ignore[arg-type]


def _mapped(work: Callable[[int], R], numbers: Sequence[int] | range, processes: int) -> Iterator[R]:
    """Yield results in order, computed by one or more processes; few are pending, so memory is bounded."""
    if processes <= 1:
        yield from map(work, numbers)
        return
    # Spawned: a fork of a process whose libraries have started threads can deadlock.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for block in _blocks(numbers, 64 * processes):
            yield from pool.map(work, block, chunksize=8)


def _blocks(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    rest = iter(numbers)
    while block := list(islice(rest, size)):
        yield block


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
