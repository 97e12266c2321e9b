"""Model bundles: everything that was learned, in one folder, identified by one digest.

    manifest.json              what it is, what it may be used for, how it was trained and tested, sha256 of each file
    t1w.safetensors, t2w.safetensors, ce_t1w.safetensors    the SE-ResNet of each sequence
    scores.safetensors         the multi-task network
    distributions.safetensors  mean and precision of the training features, for the out-of-distribution check
    templates.json             intensity landmarks of each sequence
    nomogram.json              the CPTDN
    plausibility.json          limits of the plausibility checks; bundles of earlier versions have none

Weights are safetensors only: reading them runs no code. The bundle's digest is that of the manifest's canonical JSON,
which names the sha256 of every other file. Networks are loaded on first use, so that a bundle can be shown without
torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from config.arrays import Float32Array
from config.bundle_manifest import MANIFEST, TEMPLATES, BundleManifest, read_manifest
from config.bundle_signature import NO_TRUST, Trust, check_signature
from config.errors import ModelBundleError
from config.indication.vocabulary import SeriesRole
from config.settings import BUNDLES
from workers.bundles.bundle_files import (
    DISTRIBUTIONS,
    FILES,
    OPTIONAL_FILES,
    PLAUSIBILITY,
    SCORES,
    WEIGHTS,
    load_weights,
    sha256_of,
)
from workers.bundles.feature_distribution import FeatureDistribution
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import nomogram_of_bundle
from workers.plausibility.limits import PlausibilityLimits, read_limits
from workers.volumes.intensity import IntensityTemplate

if TYPE_CHECKING:
    from workers.features.se_resnet import SequenceNetwork
    from workers.scores.multitask_network import MultitaskNetwork
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
    _networks: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> Path:
        """Folder of the bundle."""
        return self.manifest.folder

    @property
    def digest(self) -> str:
        """``sha256:...`` of the manifest, which contains the digests of all files."""
        return self.manifest.digest

    @property
    def network_digest(self) -> str:
        """``sha256:...`` of all weights and their architecture."""
        # The manifest's digest also changes with a description or the nomogram; this one says whether the networks are
        # the same.
        return _digest_of({name: self._sha256(name) for name in (*WEIGHTS.values(), SCORES)} | self._architecture)

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
        """Intensity template of each role; raises ModelBundleError where one is missing or damaged."""
        document = _json(self.folder / TEMPLATES)
        if missing := set(WEIGHTS) - set(document):
            raise ModelBundleError(f"{self.folder / TEMPLATES}: expected a template of {', '.join(sorted(missing))}")
        return {role: IntensityTemplate.from_json(document[role]) for role in WEIGHTS}

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

    @cached_property
    def distributions(self) -> dict[str, FeatureDistribution]:
        """Distribution of the training features of each role."""
        from safetensors.numpy import load_file

        tensors, limits = load_file(self.folder / DISTRIBUTIONS), self.manifest.content["feature_distance_limit"]
        return {
            role: FeatureDistribution(tensors[f"{role}/mean"], tensors[f"{role}/precision"], float(limits[role]))
            for role in WEIGHTS
        }

    def sequence_network(self, role: str) -> SequenceNetwork:
        """Return the SE-ResNet of one sequence, in evaluation mode.

        Parameters
        ----------
        role : str
            T1w, T2w or CE-T1w.

        Returns
        -------
        SequenceNetwork
            The same one on every call.

        Raises
        ------
        ModelBundleError
            The role is another one, or the weights do not fit the architecture.
        """
        if role not in WEIGHTS:
            raise ModelBundleError(f"expected one of {', '.join(WEIGHTS)}, found {role!r}")
        if role not in self._networks:
            # Imported here: commands that only show a bundle start without torch.
            from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork

            network = SequenceNetwork(
                _architecture_of(BackboneArchitecture, self._architecture["backbone"], self.folder)
            )
            load_weights(network, self.folder / WEIGHTS[role])
            self._networks[role] = network.eval()
        cached: SequenceNetwork = self._networks[role]
        return cached

    def score_network(self) -> MultitaskNetwork:
        """Return the multi-task network, in evaluation mode.

        Returns
        -------
        MultitaskNetwork
            Loaded by the first call.

        Raises
        ------
        ModelBundleError
            Its weights do not fit the architecture.
        """
        if SCORES not in self._networks:
            from workers.scores.multitask_network import MultitaskNetwork, ScoresArchitecture

            network = MultitaskNetwork(_architecture_of(ScoresArchitecture, self._architecture["scores"], self.folder))
            load_weights(network, self.folder / SCORES)
            self._networks[SCORES] = network.eval()
        cached: MultitaskNetwork = self._networks[SCORES]
        return cached

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
            0..1, the larger of both maps at each pixel.
        """
        from workers.features.extraction import resolve_device
        from workers.scores.grad_cam import grad_cam

        slices = {role.value: series.patches[representative[role]] for role, series in study.items()}
        networks = {role: self.sequence_network(role) for role in slices}
        maps = grad_cam(slices, networks, self.score_network(), resolve_device(device)).combined()
        return {role: maps[role.value] for role in study}

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
    for role in WEIGHTS:
        network = bundle.sequence_network(role)
        if len(bundle.distributions[role].mean) != network.architecture.n_features:
            raise ModelBundleError(
                f"{bundle.folder / DISTRIBUTIONS}: expected {network.architecture.n_features} features of {role}, "
                f"found {len(bundle.distributions[role].mean)}"
            )
    inputs = bundle.score_network().architecture.n_features
    outputs = bundle.sequence_network(SeriesRole.T1W.value).architecture.n_features
    if inputs != outputs:
        raise ModelBundleError(
            f"{bundle.folder}: the multi-task network takes {inputs} features a sequence, the SE-ResNets give {outputs}"
        )
    _ = bundle.templates, bundle.nomogram, bundle.plausibility
    return bundle


def known_bundles() -> list[BundleManifest]:
    """Return the manifests of the bundles under config/bundles, sorted by name."""
    return [read_manifest(path.parent.name) for path in sorted(BUNDLES.glob(f"*/{MANIFEST}"))]


def _check_keys(manifest: BundleManifest) -> None:
    needed = {
        "architecture": {"backbone", "scores"},
        "preprocessing": {"spacing_mm", "patch_size"},
        "training_data": {"description"},
        "feature_distance_limit": set(WEIGHTS),
        "metrics": set(),
        "files": set(FILES),
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
    for name in (*FILES, *(name for name in OPTIONAL_FILES if name in files)):
        path, expected = manifest.folder / name, files[name]
        if not path.is_file():
            raise ModelBundleError(f"bundle {manifest.name}: expected the file {path}, found no such file")
        actual = sha256_of(path)
        if actual != expected:
            raise ModelBundleError(
                f"bundle {manifest.name}: {path} was changed: expected sha256 {expected}, found {actual}"
            )


def _architecture_of(kind: Any, document: dict[str, Any], folder: Path) -> Any:
    try:
        return kind.from_json(document)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelBundleError(
            f"{folder / MANIFEST}: expected an architecture of this version, found: {error}"
        ) from error


def _digest_of(document: Mapping[str, Any]) -> str:
    # Sorted and without spaces: the digest does not depend on how the manifest was written.
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelBundleError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise ModelBundleError(f"{path}: expected a JSON object, found {type(document).__name__}")
    return document
