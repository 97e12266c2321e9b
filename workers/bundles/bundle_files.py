"""Names of the files of a bundle, their digests, and the weights in them.

A member of an ensemble has a folder of its own; a bundle of an earlier version is one member, whose files are beside
the manifest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from config.bundle_manifest import MANIFEST, TEMPLATES
from config.errors import ModelBundleError
from config.indication.nasopharynx import NASOPHARYNX

if TYPE_CHECKING:  # names and digests need no torch
    from torch import Tensor, nn

WEIGHTS = {role.value: f"{role.file_stem}.safetensors" for role in NASOPHARYNX.series_roles}
SCORES, DISTRIBUTIONS, NOMOGRAM = "scores.safetensors", "distributions.safetensors", "nomogram.json"
PLAUSIBILITY = "plausibility.json"
TRAINING_PATIENTS = "training_patients.json"
COMPARISON_MODELS = "comparison_models.json"  # written by `workers.survival.comparison_models`
SHARED_FILES = (TEMPLATES, NOMOGRAM)
"""What all members have in common."""
NETWORK_FILES = (*WEIGHTS.values(), SCORES)
MEMBER_FILES = (*NETWORK_FILES, DISTRIBUTIONS, TEMPLATES)
OPTIONAL_FILES = (PLAUSIBILITY, TRAINING_PATIENTS, COMPARISON_MODELS)
"""What bundles of earlier versions do not have; in the manifest where it is present."""


def member_prefixes(n_members: int | None) -> tuple[str, ...]:
    """Return the folder of each member below that of the bundle, with a slash.

    Parameters
    ----------
    n_members : int or None
        None for a bundle of an earlier version: one member, whose files are beside the manifest.
    """
    return ("",) if n_members is None else tuple(f"member-{number}/" for number in range(1, n_members + 1))


def files_of(n_members: int | None) -> tuple[str, ...]:
    """Return the names of all files that a bundle must have, in the order of the manifest."""
    members = (f"{prefix}{name}" for prefix in member_prefixes(n_members) for name in MEMBER_FILES)
    return tuple(dict.fromkeys((*members, *SHARED_FILES)))


def save_weights(network: nn.Module, path: Path) -> None:
    """Save the weights of a network as safetensors, in half the size.

    Parameters
    ----------
    network : torch.nn.Module
        On any device.
    path : Path
        Overwritten.
    """
    from safetensors.torch import save_file

    # Matrices in half precision do not change a rounded score; biases, norms and running statistics are small, and sums
    # of many features depend on them.
    def stored(tensor: Tensor) -> Tensor:
        halved = tensor.ndim > 1 and tensor.is_floating_point()
        return (tensor.half() if halved else tensor).detach().cpu().contiguous()

    save_file({name: stored(tensor) for name, tensor in network.state_dict().items()}, path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Load weights into a network.

    Parameters
    ----------
    network : torch.nn.Module
        Of the architecture that was saved; its tensors keep their types.
    path : Path
        As `save_weights` wrote it.

    Raises
    ------
    ModelBundleError
        The file is no safetensors file, or a tensor is missing, unknown or of another shape; the message names it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelBundleError(f"{path} is not a safetensors file: {error}") from error
    expected = network.state_dict()
    # Names first; shapes can be compared only where both have the tensor.
    wrong = sorted(set(expected) ^ set(tensors)) or sorted(
        name for name in expected if expected[name].shape != tensors[name].shape
    )
    if wrong:
        first = wrong[0]
        raise ModelBundleError(
            f"{path} does not fit the architecture in {MANIFEST}: tensor {first}: "
            f"expected {_shape(expected.get(first))}, found {_shape(tensors.get(first))}"
        )
    # Back to the types of the network: matrices are saved in half precision.
    network.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()})


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _shape(tensor: Tensor | None) -> str:
    return "no such tensor" if tensor is None else str(tuple(tensor.shape))
