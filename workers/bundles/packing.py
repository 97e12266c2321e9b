"""Packing a bundle: its manifest, from a folder with all other files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.atomic_files import write_atomically
from config.bundle_admission import ADMISSION, COX_MODEL, judge_bundle, widest_hazard_ratio
from config.bundle_manifest import INDICATION, MANIFEST, read_indication
from config.bundle_origin import demonstration_signs
from config.bundle_signature import drop_signatures
from config.errors import ModelBundleError
from config.trial_evidence import EFFECT
from workers.bundles.bundle import Bundle, verify_bundle
from workers.bundles.bundle_files import NOMOGRAM, OPTIONAL_FILES, files_of, sha256_of
from workers.nomogram.mean_effect import mean_effects
from workers.nomogram.nomogram_file import load_nomogram, load_nomogram_for
from workers.nomogram.published_case_mix import published_case_mix


def pack_bundle(folder: Path, content: Mapping[str, Any]) -> Bundle:
    """Write the manifest of a folder with all other files, and verify the whole.

    Parameters
    ----------
    folder : Path
        Contains every file of `files_of` for the members in ``architecture``.
    content : mapping
        The manifest without ``files``; where it lacks the indication, that of the nomogram is written into it. What
        follows from the nomogram and the verdict over the figures are always written anew.

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
    document = {**_judged(content, folder), "files": {name: sha256_of(folder / name) for name in present}}
    write_atomically(folder / MANIFEST, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    # A signature is of the digest, which has just changed.
    drop_signatures(folder)
    return verify_bundle(folder)


def _judged(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the manifest with what follows from the nomogram, and with the verdict over all figures."""
    nomogram = load_nomogram(folder / NOMOGRAM)
    fit, errors = nomogram.document.get("fit", {}), nomogram.document.get("se", {})
    cox = {
        "parameters": len(nomogram.coefficients),
        "n": fit.get("n"),
        "events": fit.get("events"),
        "widest_hazard_ratio": widest_hazard_ratio(errors, nomogram.training_ranges),
    }
    effect = {**content.get(EFFECT, {}), "published_case_mix": mean_effects(nomogram, published_case_mix())}
    # The keys of the manifest that follow from others are written anew, so that none of them is out of date.
    document = {**{name: value for name, value in content.items() if name != ADMISSION}, COX_MODEL: cox, EFFECT: effect}
    document["demonstration"] = bool(demonstration_signs(document))
    return {**document, ADMISSION: judge_bundle(document).to_json()}
