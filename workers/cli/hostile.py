"""Parts of `cptdn bundle` that need patients: calibration, the hostile suite, and the reason of an activation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from config.errors import InputError, ModelBundleError
from node.cli.context import print_table
from node.cli.progress import progress

if TYPE_CHECKING:
    from config.bundle_manifest import BundleManifest
    from workers.bundles.bundle import Bundle
    from workers.hostile.record import VerificationRecord
    from workers.hostile.study_volumes import StudyVolumes

# Other phantoms than those of training, tests and calibration, and than those (5151, 6161) on which the checks were
# adjusted. The phantoms of other scanners have the next seed.
SUITE_SEED = 7301
MORE_UNTOUCHED = 2  # for each patient of the suite: 2 % needs more studies than 95 % does


def calibrated(folder: Path, images: Path | None, phantoms: int, seed: int, rate: float) -> tuple[Bundle, int]:
    """Calibrate a bundle on stored patients or on phantoms.

    Parameters
    ----------
    folder : Path
        Of the bundle.
    images : Path, optional
        One DICOM folder for each patient.
    phantoms, seed : int
        Number of phantoms, in place of images, and their seed.
    rate : float
        False-alarm rate of the deep features.

    Returns
    -------
    bundle : Bundle
        Packed again.
    n : int
        Number of patients.

    Raises
    ------
    InputError
        Neither or both of images and phantoms; phantoms for a bundle that is not a demonstration.
    """
    from workers.bundles.bundle import verify_bundle
    from workers.hostile.calibration import calibrated_bundle, measure_patients
    from workers.hostile.phantom_volumes import phantoms_of_all_geometries

    if (images is None) == (not phantoms):
        raise InputError("expected either --images DIR or --phantoms N")
    bundle = verify_bundle(folder)
    studies: Iterator[StudyVolumes]
    if images is None:
        require_demonstration(bundle.manifest)
        # Of both ranges: the limits of a demonstration must not depend on how noisy its scanners were drawn.
        studies, n = (
            chain(
                phantoms_of_all_geometries(seed, 0, phantoms // 2),
                phantoms_of_all_geometries(seed, phantoms // 2, phantoms, "other"),
            ),
            phantoms,
        )
        description: dict[str, Any] = {
            "description": "synthetic phantoms of both ranges of scanners and of several geometries that the networks "
            "did not learn from, no patient",
            "seed": seed,
        }
    else:
        studies, n = _stored(images)
        description = {"description": f"the patients of {images.name}"}
    with progress("measured", n) as advance:
        measured = measure_patients(studies, bundle, progress=advance)
    return calibrated_bundle(bundle, measured, description, rate), n


def with_limits(
    bundle: Bundle,
    images: Path,
    cohort: Path,
    report_progress: Callable[[str, int, int, str], None],
    without: Collection[str] = (),
) -> Bundle:
    """Take the limits of plausibility of a bundle that was just trained from its training patients.

    Parameters
    ----------
    bundle : Bundle
        Just packed.
    images : Path
        Where the training's images are; saved patches show no whole head, and give no limits.
    cohort : Path
        The training's table.
    report_progress : callable
        Stage, done, total, note.
    without : collection of str
        Patients of the table that were left out.

    Returns
    -------
    Bundle
        With limits, or as it was where there are none to take; stderr then says why.
    """
    from workers.hostile.calibration import plausible_bundle
    from workers.hostile.stored_volumes import stored_volumes
    from workers.survival.cohort import TRAINING, read_cohort

    patients = read_cohort(cohort, need_scores=False, without=without).labelled(TRAINING).patient_ids
    folders = [images / patient for patient in patients if (images / patient).is_dir()]
    if len(folders) < len(patients):
        typer.echo("no limits of plausibility: the images are saved patches; run cptdn bundle calibrate", err=True)
        return bundle
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        report_progress("plausibility", done, len(folders), "")

    try:
        return plausible_bundle(bundle, stored_volumes(folders), {"description": bundle.training_population}, advance)
    except ModelBundleError as error:
        typer.echo(f"no limits of plausibility: {error}", err=True)
        return bundle


def measured_record(bundle: Bundle, n: int, images: Path | None, seed: int = SUITE_SEED) -> VerificationRecord:
    """Run the hostile suite of a bundle and write its record where the folder can be written to.

    Parameters
    ----------
    bundle : Bundle
        Verified.
    n : int
        Patients of the suite; as many again twice are scored untouched.
    images : Path, optional
        Validation patients, one DICOM folder each; a demonstration bundle takes phantoms.
    seed : int
        Of the phantoms of the training's scanners and of the draws; those of other scanners have the next one.

    Returns
    -------
    VerificationRecord
        Of this run.

    Raises
    ------
    InputError
        No images for a bundle that is not a demonstration, or fewer than two patients.
    """
    from workers.hostile.phantom_volumes import phantoms_of_all_geometries
    from workers.hostile.record import new_record, write_record
    from workers.hostile.suite import n_studies, run_suite

    others: Iterator[StudyVolumes] = iter(())
    n_other = 0
    if images is None:
        require_demonstration(bundle.manifest)
        available = n_other = n * (1 + MORE_UNTOUCHED)
        everyone = phantoms_of_all_geometries(seed, 0, available)
        others = phantoms_of_all_geometries(seed + 1, 0, n_other, "other")
        patients_text = f"synthetic phantoms of several geometries, seeds {seed} and {seed + 1}"
    else:
        everyone, available = _stored(images)
        patients_text = f"the patients of {images.name}"
    if min(n, available) < 2:
        raise InputError(f"expected at least 2 patients for the hostile suite, found {min(n, available)}")
    n = min(n, available)
    patients = [next(everyone) for _ in range(n)]
    with progress("measured", n_studies(n, available - n, n_other)) as advance:
        shares = run_suite(bundle, patients, everyone, others, seed, advance)
    record = new_record(bundle.manifest, patients_text, shares)
    try:
        write_record(bundle.folder, record)
    except OSError as error:
        typer.echo(f"the record could not be written into {bundle.folder}: {error.strerror}", err=True)
    return record


def require_demonstration(manifest: BundleManifest) -> None:
    """Refuse phantoms for a bundle that is for patients."""
    if not manifest.demonstration:
        raise InputError(f"expected --images DIR with patients for the bundle {manifest.name}, found none")


def required_reason(manifest: BundleManifest, because: str | None) -> str | None:
    """Return the reason that an activation records; None for a bundle that needs none.

    Parameters
    ----------
    manifest : BundleManifest
        Of the bundle that is to be activated.
    because : str or None
        What the operator gave.

    Raises
    ------
    ModelBundleError
        The bundle was not measured or misses the stated rates, and no reason was given.
    """
    from workers.hostile.record import read_record

    record = read_record(manifest)
    given = (because or "").strip()
    if given or (record is not None and not record.below):
        return given or None
    if record is None:
        found = "found no record of this digest; run cptdn bundle verify --hostile 40"
    else:
        found = f"found too few or too many stopped: {', '.join(record.below)}"
    raise ModelBundleError(
        f"the bundle {manifest.name} expected a record of its hostile suite that meets the stated rates, {found}, or "
        "give a reason with --because TEXT"
    )


def print_record(record: VerificationRecord | None) -> None:
    """Print the shares of a record, and whether they are as required."""
    if record is None:
        typer.echo("Hostile suite: no record of this digest; run cptdn bundle verify --hostile 40")
        return
    rows = []
    for share in record.shares:
        required = "stated only"
        if share.at_least is not None:
            required = f"at least {share.at_least:.0%}"
        elif share.at_most is not None:
            required = f"at most {share.at_most:.0%}"
        rows.append(
            (
                share.kind,
                str(share.n),
                str(share.stopped),
                f"{share.share:.1%}",
                required,
                "" if share.meets else "missed",
            )
        )
    print_table(("made from validation patients", "n", "stopped", "share", "required", ""), rows)
    typer.echo(f"Hostile suite of {record.created} on {record.patients}")
    verdict = "meets" if not record.below else "misses"
    typer.echo(f"The bundle {verdict} the stated rates" + (f": {', '.join(record.below)}" if record.below else "."))


def _stored(images: Path) -> tuple[Iterator[StudyVolumes], int]:
    from workers.hostile.stored_volumes import patient_folders, stored_volumes

    folders = patient_folders(images)
    return stored_volumes(folders), len(folders)
