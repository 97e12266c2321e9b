"""One member of a bundle's ensemble: the networks of one training, and the distribution of its features.

Each member learned from other patients, with grey values on a scale of its own. Patches are cut once, on the bundle's
scale; a member maps them to its own. Both scales are piecewise linear between the same percentiles, so the result is
that of cutting the patches on the member's scale, up to rounding and to what was clipped at the ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.arrays import Float32Array
from config.bundle_manifest import MANIFEST, TEMPLATES
from config.errors import ModelBundleError
from config.indication.vocabulary import SeriesRole
from workers.bundles.bundle_files import DISTRIBUTIONS, SCORES, WEIGHTS, load_weights
from workers.bundles.feature_distribution import FeatureDistribution
from workers.volumes.intensity import IntensityTemplate, rescaled

if TYPE_CHECKING:
    from workers.features.se_resnet import SequenceNetwork
    from workers.scores.multitask_network import MultitaskNetwork


@dataclass(frozen=True)
class BundleMember:
    """Networks, templates and feature distributions of one training; read on first use and cached.

    Attributes
    ----------
    folder : Path
        Of this member.
    architecture : mapping
        ``backbone`` and ``scores`` of the manifest, the same for all members.
    feature_limits : mapping of str to float
        By role the limit of the feature distance.
    bundle_templates : mapping of str to IntensityTemplate
        By role the scale of the patches that the bundle cuts.
    """

    folder: Path
    architecture: Mapping[str, Any]
    feature_limits: Mapping[str, float]
    bundle_templates: Mapping[str, IntensityTemplate]
    _networks: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def templates(self) -> dict[str, IntensityTemplate]:
        """Intensity template of each role, of the patients that this member learned from."""
        return read_templates(self.folder)

    @cached_property
    def distributions(self) -> dict[str, FeatureDistribution]:
        """Distribution of the training features of each role."""
        from safetensors.numpy import load_file

        tensors = load_file(self.folder / DISTRIBUTIONS)
        return {
            role: FeatureDistribution(
                tensors[f"{role}/mean"], tensors[f"{role}/precision"], float(self.feature_limits[role])
            )
            for role in WEIGHTS
        }

    def patches_on_own_scale(self, role: str, patches: Float32Array) -> Float32Array:
        """Return patches with the grey values of this member's scale.

        Parameters
        ----------
        role : str
            The sequence.
        patches : float32, shape (n, 2, 128, 128)
            As the bundle cuts them; unchanged where both scales are the same.
        """
        return rescaled(patches, self.bundle_templates[role], self.templates[role])

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

            network = SequenceNetwork(self._architecture_of(BackboneArchitecture, "backbone"))
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

            network = MultitaskNetwork(self._architecture_of(ScoresArchitecture, "scores"))
            load_weights(network, self.folder / SCORES)
            self._networks[SCORES] = network.eval()
        cached: MultitaskNetwork = self._networks[SCORES]
        return cached

    def attribution(self, slices: Mapping[str, Float32Array], device: str) -> dict[str, Float32Array]:
        """Compute the Grad-CAM maps of both scores together.

        Parameters
        ----------
        slices : mapping of str to float32, shape (2, 128, 128)
            By role the representative slice, on the bundle's scale.
        device : str
            As in the settings.

        Returns
        -------
        dict of str to float32, shape (128, 128)
            By role, 0..1, the larger of both maps at each pixel.
        """
        from workers.features.extraction import resolve_device
        from workers.scores.grad_cam import grad_cam

        own = {role: self.patches_on_own_scale(role, patch[None])[0] for role, patch in slices.items()}
        networks = {role: self.sequence_network(role) for role in slices}
        return grad_cam(own, networks, self.score_network(), resolve_device(device)).combined()

    def verify(self) -> None:
        """Read all weights, templates and distributions.

        Raises
        ------
        ModelBundleError
            Two parts do not fit each other.
        """
        for role in WEIGHTS:
            network = self.sequence_network(role)
            if len(self.distributions[role].mean) != network.architecture.n_features:
                raise ModelBundleError(
                    f"{self.folder / DISTRIBUTIONS}: expected {network.architecture.n_features} features of {role}, "
                    f"found {len(self.distributions[role].mean)}"
                )
        inputs = self.score_network().architecture.n_features
        outputs = self.sequence_network(SeriesRole.T1W.value).architecture.n_features
        if inputs != outputs:
            raise ModelBundleError(
                f"{self.folder}: the multi-task network takes {inputs} features a sequence, the SE-ResNets give "
                f"{outputs}"
            )
        for role, template in self.templates.items():
            expected = self.bundle_templates[role].kind
            if template.kind != expected:
                raise ModelBundleError(
                    f"{self.folder / TEMPLATES}: expected a template of {role} of the kind {expected}, as the "
                    f"bundle's, found {template.kind}"
                )

    def _architecture_of(self, kind: Any, name: str) -> Any:
        try:
            return kind.from_json(self.architecture[name])
        except (TypeError, ValueError, KeyError) as error:
            raise ModelBundleError(
                f"{MANIFEST} of {self.folder}: expected an architecture of this version, found: {error}"
            ) from error


def read_templates(folder: Path) -> dict[str, IntensityTemplate]:
    """Return the intensity template of each role from the file in a folder.

    Raises
    ------
    ModelBundleError
        The file cannot be read, or one is missing or damaged.
    """
    path = folder / TEMPLATES
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelBundleError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise ModelBundleError(f"{path}: expected a JSON object, found {type(document).__name__}")
    if missing := set(WEIGHTS) - set(document):
        raise ModelBundleError(f"{path}: expected a template of {', '.join(sorted(missing))}")
    return {role: IntensityTemplate.from_json(document[role]) for role in WEIGHTS}
