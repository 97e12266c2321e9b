"""Packing a bundle: its manifest, from a folder with all other files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.atomic_files import write_atomically
from config.bundle_manifest import INDICATION, MANIFEST, read_indication
from config.bundle_signature import drop_signatures
from config.errors import ModelBundleError
from workers.bundles.bundle import Bundle, verify_bundle
from workers.bundles.bundle_files import NOMOGRAM, OPTIONAL_FILES, files_of, sha256_of
from workers.nomogram.nomogram_file import load_nomogram, load_nomogram_for


def pack_bundle(folder: Path, content: Mapping[str, Any]) -> Bundle:
    """Write the manifest of a folder with all other files, and verify the whole.

    Parameters
    ----------
    folder : Path
        Contains every file of `files_of` for the members in ``architecture``.
    content : mapping
        The manifest without ``files``; where it lacks the indication, that of the nomogram is written into it.

    Returns
    -------
    Bundle
        Verified; signatures of an earlier manifest are removed, since they no longer hold.

    Raises
    ------
    ModelBundleError
        A file is missing or does not fit, or the follow-up of the nomogram's cohort does not reach a horizon.
    """
    needed = files_of(content.get("architecture", {}).get("members"))
    for name in needed:
        if not (folder / name).is_file():
            raise ModelBundleError(f"{folder}: expected the file {name}, found no such file")
    nomogram = folder / NOMOGRAM
    content = {INDICATION: load_nomogram(nomogram).indication.model_dump(mode="json"), **content}
    load_nomogram_for(read_indication(content[INDICATION], str(folder / MANIFEST)), nomogram)
    present = (*needed, *(name for name in OPTIONAL_FILES if (folder / name).is_file()))
    for name in present:
        # safetensors writes files that only their owner can read; a service reads them as another user.
        (folder / name).chmod(0o644)
    document = {**content, "files": {name: sha256_of(folder / name) for name in present}}
    write_atomically(folder / MANIFEST, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    # A signature is of the digest, which has just changed.
    drop_signatures(folder)
    return verify_bundle(folder)
