"""A new revision of a bundle: the same networks with another nomogram, which names the bundle that it came from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.errors import InputError
from config.trial_evidence import EFFECT
from config.version import software_version
from workers.bundles.bundle import Bundle
from workers.bundles.bundle_files import NOMOGRAM, OPTIONAL_FILES, files_of
from workers.bundles.packing import pack_bundle
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import write_nomogram

PARENT = "parent"  # key of the manifest: name, version and digest of the bundle that a revision came from
RECALIBRATION = "recalibration"  # key of the manifest: what was changed, and on which patients it rests


def require_empty(folder: Path) -> None:
    """Refuse a folder that has files: a revision never overwrites a bundle.

    Raises
    ------
    InputError
        Naming the folder.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"expected a new or an empty folder for the revision, found files in {folder}")


def write_revision(
    parent: Bundle,
    nomogram: CoxNomogram,
    folder: Path,
    version: str,
    recalibration: Mapping[str, Any],
    metrics: Mapping[str, Any],
    effect: Mapping[str, Any],
) -> Bundle:
    """Write a bundle with another nomogram, pack and verify it.

    Parameters
    ----------
    parent : Bundle
        Its other files are copied.
    nomogram : CoxNomogram
        Of the revision.
    folder : Path
        Of the revision; must not exist, or be empty.
    version : str
        Of the revision; the name stays that of the parent.
    recalibration : mapping
        What was changed and on which patients it rests, for the manifest.
    metrics : mapping
        Group of patients -> figures, added to those of the parent.
    effect : mapping
        Mean effect by group in place of the parent's, which the new nomogram does not have.

    Returns
    -------
    Bundle
        Verified; its admission is judged by the figures of the parent and of the new group.

    Raises
    ------
    InputError
        The folder is in use.
    ModelBundleError
        The files do not fit each other.
    """
    require_empty(folder)
    content = dict(parent.manifest.content)
    names = (*files_of(parent.manifest.n_members), *(name for name in OPTIONAL_FILES if name in content["files"]))
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name != NOMOGRAM:
            shutil.copyfile(parent.folder / name, target)
    write_nomogram(nomogram, folder)
    content |= {
        "version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        PARENT: {"name": parent.manifest.name, "version": parent.manifest.version, "digest": parent.digest},
        RECALIBRATION: {**recalibration, "software": software_version()},
        "metrics": {**content["metrics"], **metrics},
        EFFECT: dict(effect),
    }
    content.pop("files")
    return pack_bundle(folder, content)
