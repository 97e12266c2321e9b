"""Model bundles: everything that was learned, in one folder, named by one digest.

    manifest.json              what it is, what it may be used for, how it was trained and tested, sha256 of each file
    t1w.safetensors, t2w.safetensors, ce_t1w.safetensors    one SE-ResNet a sequence
    scores.safetensors         the multi-task network
    distributions.safetensors  mean and precision of the training features, for seeing what is unlike them
    templates.json             intensity landmarks of each sequence
    nomogram.json              the CPTDN

Weights are safetensors only: reading them runs no code. The bundle's digest is that of the manifest's canonical JSON,
which names the sha256 of every other file. Networks are loaded when first asked for, so that a bundle can be shown
without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from config.arrays import Float32Array
from config.atomic_files import write_atomically
from config.bundle_manifest import INDICATION, MANIFEST, TEMPLATES, BundleManifest, read_indication, read_manifest
from config.bundle_signature import NO_TRUST, Trust, check_signature, drop_signatures
from config.errors import ModelBundleError
from config.indication.nasopharynx import NASOPHARYNX
from config.indication.vocabulary import SeriesRole
from config.settings import BUNDLES
from workers.nomogram.model import CoxNomogram
from workers.nomogram.nomogram_file import load_nomogram, load_nomogram_for, nomogram_of_bundle
from workers.volumes.intensity import IntensityTemplate

if TYPE_CHECKING:
    from torch import Tensor, nn

    from workers.features.se_resnet import SequenceNetwork
    from workers.scores.multitask_network import MultitaskNetwork
    from workers.volumes.prepared_study import PreparedStudy


WEIGHTS = {role.value: f"{role.file_stem}.safetensors" for role in NASOPHARYNX.series_roles}
SCORES, DISTRIBUTIONS, NOMOGRAM = "scores.safetensors", "distributions.safetensors", "nomogram.json"
FILES = (*WEIGHTS.values(), SCORES, DISTRIBUTIONS, TEMPLATES, NOMOGRAM)


class Preprocessing(Protocol):
    """What shapes patches: a bundle, or a training before there is one."""

    @property
    def templates(self) -> Mapping[str, IntensityTemplate]: ...

    @property
    def spacing_mm(self) -> float: ...


@dataclass(frozen=True)
class FeatureDistribution:
    """Where the training patients' features of one sequence lay.

    mean : (c,). precision : (c, c) inverse of the shrunk covariance. limit : distances beyond it are unlike training.
    """

    mean: Float32Array
    precision: Float32Array
    limit: float

    def distance(self, features: Float32Array) -> float:
        """Mahalanobis distance of one patient's features (c,), divided by the square root of c."""
        apart = np.asarray(features, dtype=np.float64) - self.mean
        return float(np.sqrt(max(float(apart @ self.precision @ apart), 0.0) / len(apart)))


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. What is heavy is read on first use and then kept."""

    manifest: BundleManifest
    _networks: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> Path:
        return self.manifest.folder

    @property
    def digest(self) -> str:
        """`sha256:...` of the manifest, which holds the digests of all files."""
        return self.manifest.digest

    @property
    def network_digest(self) -> str:
        """Of all weights and their architecture."""
        return _digest_of({name: self._sha256(name) for name in (*WEIGHTS.values(), SCORES)} | self._architecture)

    @property
    def preprocessing_digest(self) -> str:
        """Of everything that shapes patches: bundles that agree here can share kept patches."""
        return self.manifest.preprocessing_digest

    @property
    def training_population(self) -> str:
        """One sentence: on whom it was trained."""
        return str(self.manifest.content["training_data"]["description"])

    @property
    def spacing_mm(self) -> float:
        """In-plane pixel spacing of the patches."""
        return float(self.manifest.content["preprocessing"]["spacing_mm"])

    @cached_property
    def templates(self) -> dict[str, IntensityTemplate]:
        """Intensity template by role."""
        document = _json(self.folder / TEMPLATES)
        if missing := set(WEIGHTS) - set(document):
            raise ModelBundleError(f"{self.folder / TEMPLATES}: expected a template of {', '.join(sorted(missing))}")
        return {role: IntensityTemplate.from_json(document[role]) for role in WEIGHTS}

    @cached_property
    def nomogram(self) -> CoxNomogram:
        return nomogram_of_bundle(self.manifest)

    @cached_property
    def distributions(self) -> dict[str, FeatureDistribution]:
        """Distribution of the training features by role."""
        from safetensors.numpy import load_file

        tensors, limits = load_file(self.folder / DISTRIBUTIONS), self.manifest.content["feature_distance_limit"]
        return {
            role: FeatureDistribution(tensors[f"{role}/mean"], tensors[f"{role}/precision"], float(limits[role]))
            for role in WEIGHTS
        }

    def sequence_network(self, role: str) -> SequenceNetwork:
        """The SE-ResNet of one sequence, in evaluation mode."""
        if role not in WEIGHTS:
            raise ModelBundleError(f"expected one of {', '.join(WEIGHTS)}, found {role!r}")
        if role not in self._networks:
            from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork

            network = SequenceNetwork(_built(BackboneArchitecture, self._architecture["backbone"], self.folder))
            load_weights(network, self.folder / WEIGHTS[role])
            self._networks[role] = network.eval()
        found: SequenceNetwork = self._networks[role]
        return found

    def score_network(self) -> MultitaskNetwork:
        """The multi-task network, in evaluation mode."""
        if SCORES not in self._networks:
            from workers.scores.multitask_network import MultitaskNetwork, ScoresArchitecture

            network = MultitaskNetwork(_built(ScoresArchitecture, self._architecture["scores"], self.folder))
            load_weights(network, self.folder / SCORES)
            self._networks[SCORES] = network.eval()
        found: MultitaskNetwork = self._networks[SCORES]
        return found

    def attribution(
        self, material: PreparedStudy, representative: Mapping[SeriesRole, int], device: str = "cpu"
    ) -> dict[SeriesRole, Float32Array]:
        """Grad-CAM of both scores together on the representative slices, by role: (128, 128) in 0..1."""
        from workers.features.extraction import resolve_device
        from workers.scores.grad_cam import grad_cam

        slices = {role.value: one.patches[representative[role]] for role, one in material.items()}
        networks = {role: self.sequence_network(role) for role in slices}
        maps = grad_cam(slices, networks, self.score_network(), resolve_device(device)).combined()
        return {role: maps[role.value] for role in material}

    @property
    def _architecture(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest.content["architecture"]
        return found

    def _sha256(self, name: str) -> str:
        return str(self.manifest.content["files"][name])


def load_bundle(name_or_path: str | Path, trust: Trust = NO_TRUST) -> Bundle:
    """A bundle whose files are all there and unchanged.

    name_or_path : a name under config/bundles, or a folder. trust : whose signatures count; asked before anything else.
    Raises ModelBundleError naming the file, what was expected and what was found.
    """
    manifest = read_manifest(name_or_path)
    check_signature(manifest, trust)
    _check_keys(manifest)
    _check_files(manifest)
    return Bundle(manifest)


def verify_bundle(name_or_path: str | Path, trust: Trust = NO_TRUST) -> Bundle:
    """`load_bundle`, and then everything in it is read: templates, nomogram, weights against their architecture."""
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
    _ = bundle.templates, bundle.nomogram
    return bundle


def known_bundles() -> list[BundleManifest]:
    """Manifests of the bundles under config/bundles, by name."""
    return [read_manifest(path.parent.name) for path in sorted(BUNDLES.glob(f"*/{MANIFEST}"))]


def pack_bundle(folder: Path, content: Mapping[str, Any]) -> Bundle:
    """Write the manifest of a folder that holds all other files, and verify the whole.

    content : the manifest without `files`; where it lacks the indication, that of the nomogram is written into it.
    Raises ModelBundleError when a file is missing or does not fit, or the follow-up does not reach a horizon.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise ModelBundleError(f"{folder}: expected the file {name}, found no such file")
    place = folder / NOMOGRAM
    content = {INDICATION: load_nomogram(place).indication.model_dump(mode="json"), **content}
    load_nomogram_for(read_indication(content[INDICATION], str(folder / MANIFEST)), place)
    for name in FILES:
        (folder / name).chmod(0o644)  # safetensors writes for its owner alone; a service reads as another user
    document = {**content, "files": {name: sha256_of(folder / name) for name in FILES}}
    write_atomically(folder / MANIFEST, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    drop_signatures(folder)
    return verify_bundle(folder)


def save_weights(network: nn.Module, path: Path) -> None:
    """Weights in half precision, biases, norms and running statistics in single: half the size, the same scores."""
    from safetensors.torch import save_file

    def kept(tensor: Tensor) -> Tensor:
        halved = tensor.ndim > 1 and tensor.is_floating_point()
        return (tensor.half() if halved else tensor).detach().cpu().contiguous()

    save_file({name: kept(tensor) for name, tensor in network.state_dict().items()}, path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network; raises ModelBundleError naming the tensors expected and found where they do not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelBundleError(f"{path} is not a safetensors file: {error}") from error
    expected = network.state_dict()
    wrong = sorted(set(expected) ^ set(found)) or sorted(
        name for name in expected if expected[name].shape != found[name].shape
    )
    if wrong:
        first = wrong[0]
        raise ModelBundleError(
            f"{path} does not fit the architecture in {MANIFEST}: tensor {first}: "
            f"expected {_shape(expected.get(first))}, found {_shape(found.get(first))}"
        )
    network.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in found.items()})


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _shape(tensor: Tensor | None) -> str:
    return "no such tensor" if tensor is None else str(tuple(tensor.shape))


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
        found = manifest.content.get(key)
        if not isinstance(found, dict) or not inner <= set(found):
            have = ", ".join(sorted(found)) if isinstance(found, dict) else repr(found)
            raise ModelBundleError(
                f"{manifest.folder / MANIFEST}: expected {key!r} with {', '.join(sorted(inner)) or 'contents'}, "
                f"found {have}"
            )


def _check_files(manifest: BundleManifest) -> None:
    for name in FILES:
        path, expected = manifest.folder / name, manifest.content["files"][name]
        if not path.is_file():
            raise ModelBundleError(f"bundle {manifest.name}: expected the file {path}, found no such file")
        found = sha256_of(path)
        if found != expected:
            raise ModelBundleError(
                f"bundle {manifest.name}: {path} was changed: expected sha256 {expected}, found {found}"
            )


def _built(kind: Any, document: dict[str, Any], folder: Path) -> Any:
    try:
        return kind.from_json(document)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelBundleError(f"{folder / MANIFEST}: no architecture of ours: {error}") from error


def _digest_of(document: Mapping[str, Any]) -> str:
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
