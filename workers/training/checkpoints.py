"""Checkpoints that survive a kill: all state of a training, written under a temporary name, synced, renamed.

Tensors are in a safetensors file, everything else in its header as JSON: no pickle, which would execute code on load.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from config.atomic_files import replacing
from config.errors import InputError

STRUCTURE = "structure"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a nested state of dicts, lists, tuples, tensors and plain values.

    After the return the state is on the disk; a kill before leaves the previous checkpoint whole.

    Parameters
    ----------
    path : Path
        A .safetensors file; its folder is created if necessary.
    state : mapping
        Plain values must be JSON values; keys may be numbers.
    """
    tensors: dict[str, Tensor] = {}
    structure = _described(state, "", tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as temporary:
        save_file(tensors, temporary, metadata={STRUCTURE: json.dumps(structure)})


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read the state that was saved.

    Returns
    -------
    dict or None
        None where there is no checkpoint.

    Raises
    ------
    InputError
        The file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            structure = json.loads(file.metadata()[STRUCTURE])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a checkpoint of a training: {error}") from error
    state: dict[str, Any] = _restored(structure, tensors)
    return state


def _described(value: Any, name: str, tensors: dict[str, Tensor]) -> list[Any]:
    """Return [kind, content] of a value; tensors are collected under their name."""
    if isinstance(value, Tensor):
        # Cloned: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return ["tensor", name]
    if isinstance(value, Mapping):
        # A list of pairs, because JSON turns the optimizer's integer keys into strings.
        return ["dict", [[key, _described(item, f"{name}/{key}", tensors)] for key, item in value.items()]]
    if isinstance(value, (list, tuple)):
        items = [_described(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
        return ["tuple" if isinstance(value, tuple) else "list", items]
    return ["plain", value]


def _restored(described: list[Any], tensors: Mapping[str, Tensor]) -> Any:
    kind, content = described
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _restored(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_restored(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content
