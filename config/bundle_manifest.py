"""The manifest of a model bundle: what it is, what it may be used for, and the digest that names it.

Read without torch, so that a node can say which model is configured; `workers.bundles` loads what the manifest names.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.bundle_admission import Admission, judge_bundle
from config.bundle_origin import demonstration_signs
from config.errors import ModelBundleError
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.profile import Indication
from config.settings import BUNDLES

MANIFEST = "manifest.json"
INDICATION = "indication"  # key of the manifest, and of a nomogram.json
TEMPLATES = "templates.json"  # intensity landmarks of each sequence


@dataclass(frozen=True)
class BundleManifest:
    """The manifest of a bundle, as it was read.

    Attributes
    ----------
    folder : Path
        The bundle.
    digest : str
        ``sha256:`` and the digest of the manifest's canonical JSON, which contains the sha256 of every other file of
        the bundle: it names the whole.
    content : dict
        The whole JSON object.
    demonstration : bool
        Whether any sign says that it learned from phantoms (`bundle_origin`), whatever the key ``demonstration`` says.
    indication : Indication
        What the model was fitted with. A manifest without it was made when there was only NASOPHARYNX.
    """

    folder: Path
    name: str
    version: str
    intended_use: str
    demonstration: bool
    digest: str
    content: dict[str, Any]
    indication: Indication

    @cached_property
    def admission(self) -> Admission:
        """The verdict over its figures, judged now and not read from the file."""
        return judge_bundle(self.content)

    @property
    def n_members(self) -> int | None:
        """Number of members of the ensemble; None for a bundle of an earlier version, with one network a sequence."""
        n: int | None = self.content.get("architecture", {}).get("members")
        return n

    @property
    def preprocessing_digest(self) -> str:
        """``sha256:`` digest of everything that shapes patches: bundles that agree here can share cached patches."""
        return manifest_digest({"templates": self.content["files"][TEMPLATES]} | self.content["preprocessing"])


def bundle_folder(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle: that of a name below config/bundles, else the path itself.

    Parameters
    ----------
    name_or_path : str or Path
        A name below config/bundles, or a folder.

    Returns
    -------
    Path
        Need not exist; a name takes precedence over a folder of the same name.
    """
    named = BUNDLES / str(name_or_path)
    return named if named.is_dir() else Path(name_or_path)


def bundle_reference(name_or_path: str | Path) -> str:
    """Return a bundle's name below config/bundles, or its absolute path: both mean the same in every process.

    Parameters
    ----------
    name_or_path : str or Path
        A name below config/bundles, or a folder, which may be relative to the working folder.

    Returns
    -------
    str
        For the ledger and for other processes, whose working folder may be another one.
    """
    folder = bundle_folder(name_or_path).resolve()
    return folder.name if folder.parent == BUNDLES.resolve() else str(folder)


def manifest_digest(content: dict[str, Any]) -> str:
    """Return ``sha256:`` and the digest of the canonical JSON.

    Parameters
    ----------
    content : dict
        JSON values.

    Returns
    -------
    str
        64 hexadecimal digits of SHA-256 after the prefix.
    """
    return "sha256:" + hashlib.sha256(canonical_json(content)).hexdigest()


def canonical_json(content: dict[str, Any]) -> bytes:
    """Return the one form of equal content, which is digested and signed: sorted keys, no blanks, UTF-8.

    Parameters
    ----------
    content : dict
        JSON values.

    Returns
    -------
    bytes
        Equal for equal content, whatever the order and the blanks of the file that it was read from.
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_manifest(name_or_path: str | Path) -> BundleManifest:
    """Read a bundle's manifest; the files that it names are not looked at.

    Parameters
    ----------
    name_or_path : str or Path
        A name below config/bundles, or a folder.

    Raises
    ------
    ModelBundleError
        There is no such bundle, or a key of the manifest is missing or wrong; the sentence names the place.
    """
    folder = bundle_folder(name_or_path)
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = sorted(each.parent.name for each in BUNDLES.glob(f"*/{MANIFEST}"))
        raise ModelBundleError(
            f"no model bundle {str(name_or_path)!r}: expected a folder with {MANIFEST}, or one of {', '.join(known)}"
        ) from error
    except ValueError as error:
        raise ModelBundleError(f"{path} is not JSON: {error}") from error
    kinds = {"name": str, "version": str, "intended_use": str, "demonstration": bool}
    for key, kind in kinds.items():
        found = content.get(key) if isinstance(content, dict) else None
        if not isinstance(found, kind):
            raise ModelBundleError(f"{path}: expected {key!r} as {kind.__name__}, found {found!r}")
    return BundleManifest(
        folder,
        name=content["name"],
        version=content["version"],
        intended_use=content["intended_use"],
        demonstration=bool(demonstration_signs(content)),
        digest=manifest_digest(content),
        content=content,
        indication=read_indication(content[INDICATION], str(path)) if INDICATION in content else NASOPHARYNX,
    )


def read_indication(document: Any, where: str) -> Indication:
    """Return the indication that a manifest or a nomogram contains.

    Parameters
    ----------
    document : JSON value
        The object under ``indication``.
    where : str
        The file, for error messages.

    Raises
    ------
    ModelBundleError
        The object has another form, or names what this version of the program does not compute with.
    """
    try:
        indication = Indication.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join((INDICATION, *(str(part) for part in first["loc"])))
        message = first["msg"].removeprefix("Value error, ")
        found = f", found {first['input']!r}" if isinstance(first["input"], str | int | float | list) else ""
        raise ModelBundleError(f"{where}: [{place}] {message[:1].lower()}{message[1:]}{found}") from error
    # Stage, biomarker and horizons may differ from one bundle to another; these four are built into networks and
    # report.
    for name in ("arms", "series_roles", "feature_order", "endpoints"):
        expected, found = getattr(NASOPHARYNX, name), getattr(indication, name)
        if found != expected:  # networks, report and codes are made for these
            raise ModelBundleError(
                f"{where}: [{INDICATION}.{name}] expected {', '.join(expected)}, which this version of the program "
                f"computes with, found {', '.join(found)}"
            )
    return indication
