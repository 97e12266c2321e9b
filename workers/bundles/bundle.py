"""Model bundles: everything that was learned, in one folder, identified by one digest.

    manifest.json              what it is, what it may be used for, how it was trained and tested, sha256 of each file
    templates.json             intensity landmarks of each sequence, on whose scale patches are cut
    nomogram.json              the CPTDN
    plausibility.json          limits of the plausibility checks; bundles of earlier versions have none
    training_patients.json     digests of the training patients; not in every bundle
    member-1/, member-2/ ...   the members of the ensemble; a bundle of an earlier version has these files beside the
                               manifest, as its only member:
        t1w.safetensors, t2w.safetensors, ce_t1w.safetensors    the SE-ResNet of each sequence
        scores.safetensors         the multi-task network
        distributions.safetensors  mean and precision of the training features, for the out-of-distribution check
        templates.json             intensity landmarks of the patients that this member learned from

Weights are safetensors only: reading them runs no code. The bundle's digest is that of the manifest's canonical JSON,
which names the sha256 of every other file. Networks are loaded on first use, so that a bundle can be shown without
torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from config.arrays import Float32Array
from config.bundle_manifest import MANIFEST, BundleManifest, read_manifest
from config.bundle_signature import NO_TRUST, Trust, check_signature
from config.errors import ModelBundleError
from config.indication.vocabulary import SeriesRole
from config.settings import BUNDLES
from workers.bundles.bundle_files import (
    NETWORK_FILES,
    OPTIONAL_FILES,
    PLAUSIBILITY,
    WEIGHTS,
    files_of,
    member_prefixes,
    sha256_of,
)
from workers.bundles.member import BundleMember, read_templates
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import nomogram_of_bundle
from workers.plausibility.limits import PlausibilityLimits, read_limits
from workers.volumes.intensity import IntensityTemplate

if TYPE_CHECKING:
    from workers.volumes.prepared_study import PreparedStudy


class Preprocessing(Protocol):
    """Everything that determines the patches: a bundle, or a training before there is one."""

    @property
    def templates(self) -> Mapping[str, IntensityTemplate]:
        """Intensity template of each role."""

    @property
    def spacing_mm(self) -> float:
        """In-plane pixel spacing of the patches in mm."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle; templates, distributions and networks are read on first use and cached.

    Attributes
    ----------
    manifest : BundleManifest
        Name, version, intended use, architecture, and the sha256 of each file.
    """

    manifest: BundleManifest

    @property
    def folder(self) -> Path:
        """Folder of the bundle."""
        return self.manifest.folder

    @property
    def digest(self) -> str:
        """``sha256:...`` of the manifest, which contains the digests of all files."""
        return self.manifest.digest

    @property
    def n_members(self) -> int:
        """Number of trainings whose scores are averaged."""
        return len(member_prefixes(self.manifest.n_members))

    @cached_property
    def members(self) -> tuple[BundleMember, ...]:
        """The members of the ensemble."""
        limits = self.manifest.content["feature_distance_limit"]
        return tuple(
            BundleMember(self.folder / prefix, self._architecture, limits, self.templates)
            for prefix in member_prefixes(self.manifest.n_members)
        )

    @property
    def network_digest(self) -> str:
        """``sha256:...`` of all weights and their architecture."""
        # The manifest's digest also changes with a description or the nomogram; this one says whether the networks are
        # the same.
        names = (f"{prefix}{name}" for prefix in member_prefixes(self.manifest.n_members) for name in NETWORK_FILES)
        return _digest_of({name: self._sha256(name) for name in names} | self._architecture)

    @property
    def preprocessing_digest(self) -> str:
        """``sha256:...`` of everything that determines the patches; bundles that agree share prepared studies."""
        return self.manifest.preprocessing_digest

    @property
    def training_population(self) -> str:
        """One sentence on the patients it was trained on."""
        return str(self.manifest.content["training_data"]["description"])

    @property
    def spacing_mm(self) -> float:
        """In-plane pixel spacing of the patches in mm."""
        return float(self.manifest.content["preprocessing"]["spacing_mm"])

    @cached_property
    def templates(self) -> dict[str, IntensityTemplate]:
        """Intensity template of each role, on whose scale patches are cut."""
        return read_templates(self.folder)

    @cached_property
    def nomogram(self) -> CoxNomogram:
        """The CPTDN."""
        return nomogram_of_bundle(self.manifest)

    @cached_property
    def plausibility(self) -> PlausibilityLimits | None:
        """Limits of the plausibility checks; None for a bundle without them, whose studies are not checked."""
        # By the manifest and not by the folder: a file that was added or removed later changes no report.
        listed = PLAUSIBILITY in self.manifest.content["files"]
        return read_limits(self.folder / PLAUSIBILITY) if listed else None

    def feature_distance(self, role: str, features: Sequence[Float32Array]) -> float:
        """Return the distance of one patient's features from those of the training, the mean over the members.

        Parameters
        ----------
        role : str
            The sequence.
        features : sequence of float32, shape (c,) each
            Of each member.
        """
        pairs = zip(self.members, features, strict=True)
        return float(np.mean([member.distributions[role].distance(own) for member, own in pairs]))

    def feature_limit(self, role: str) -> float:
        """Return the largest distance of a sequence's features that is not out of distribution."""
        return float(self.manifest.content["feature_distance_limit"][role])

    def attribution(
        self, study: PreparedStudy, representative: Mapping[SeriesRole, int], device: str = "cpu"
    ) -> dict[SeriesRole, Float32Array]:
        """Compute the Grad-CAM maps of both scores together on the representative slices.

        Parameters
        ----------
        study : PreparedStudy
            The three prepared series.
        representative : mapping of SeriesRole to int
            Row of the representative slice among each series' patches.
        device : str
            As in the settings.

        Returns
        -------
        dict of SeriesRole to float32, shape (128, 128)
            0..1, the larger of both maps at each pixel, the mean over the members.
        """
        slices = {role.value: series.patches[representative[role]] for role, series in study.items()}
        maps = [member.attribution(slices, device) for member in self.members]
        return {role: np.mean([each[role.value] for each in maps], axis=0, dtype=np.float32) for role in study}

    @property
    def _architecture(self) -> dict[str, Any]:
        architecture: dict[str, Any] = self.manifest.content["architecture"]
        return architecture

    def _sha256(self, name: str) -> str:
        return str(self.manifest.content["files"][name])


def load_bundle(name_or_path: str | Path, trust: Trust = NO_TRUST) -> Bundle:
    """Load a bundle after checking its signature and the sha256 of all files.

    Parameters
    ----------
    name_or_path : str or Path
        A name under config/bundles, or a folder.
    trust : Trust
        Which signatures are required and trusted.

    Returns
    -------
    Bundle
        Its networks are read on first use.

    Raises
    ------
    ModelBundleError
        A file is missing or changed, the manifest is incomplete, or no trusted key has signed it; the message names the
        file, the expected and the found value.
    """
    manifest = read_manifest(name_or_path)
    check_signature(manifest, trust)  # first: nothing of a bundle that is not trusted is read
    _check_keys(manifest)
    _check_files(manifest)
    return Bundle(manifest)


def verify_bundle(name_or_path: str | Path, trust: Trust = NO_TRUST) -> Bundle:
    """Load a bundle and read everything in it: templates, nomogram, weights against their architecture.

    Parameters
    ----------
    name_or_path, trust
        As of `load_bundle`.

    Returns
    -------
    Bundle
        With all its networks loaded.

    Raises
    ------
    ModelBundleError
        As of `load_bundle`, or when two parts do not fit each other.
    """
    bundle = load_bundle(name_or_path, trust)
    for member in bundle.members:
        member.verify()
    _ = bundle.templates, bundle.nomogram, bundle.plausibility
    return bundle


def known_bundles() -> list[BundleManifest]:
    """Return the manifests of the bundles under config/bundles, sorted by name."""
    return [read_manifest(path.parent.name) for path in sorted(BUNDLES.glob(f"*/{MANIFEST}"))]


def _check_keys(manifest: BundleManifest) -> None:
    members = manifest.n_members
    if members is not None and not (isinstance(members, int) and members > 0):
        raise ModelBundleError(
            f"{manifest.folder / MANIFEST}: expected 'architecture.members' as a number from 1, found {members!r}"
        )
    needed = {
        "architecture": {"backbone", "scores"},
        "preprocessing": {"spacing_mm", "patch_size"},
        "training_data": {"description"},
        "feature_distance_limit": set(WEIGHTS),
        "metrics": set(),
        "files": set(files_of(manifest.n_members)),
    }
    for key, inner in needed.items():
        value = manifest.content.get(key)
        if not isinstance(value, dict) or not inner <= set(value):
            found = ", ".join(sorted(value)) if isinstance(value, dict) else repr(value)
            raise ModelBundleError(
                f"{manifest.folder / MANIFEST}: expected {key!r} with {', '.join(sorted(inner)) or 'contents'}, "
                f"found {found}"
            )


def _check_files(manifest: BundleManifest) -> None:
    # Hashed at every load: a weight that was changed on disk would give plausible scores.
    files = manifest.content["files"]
    for name in (*files_of(manifest.n_members), *(name for name in OPTIONAL_FILES if name in files)):
        path, expected = manifest.folder / name, files[name]
        if not path.is_file():
            raise ModelBundleError(f"bundle {manifest.name}: expected the file {path}, found no such file")
        actual = sha256_of(path)
        if actual != expected:
            raise ModelBundleError(
                f"bundle {manifest.name}: {path} was changed: expected sha256 {expected}, found {actual}"
            )


def _digest_of(document: Mapping[str, Any]) -> str:
    # Sorted and without spaces: the digest does not depend on how the manifest was written.
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
