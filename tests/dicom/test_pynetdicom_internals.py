"""Private names of pynetdicom: all of them are there, and only one module uses them."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from socket import socket
from typing import cast

import pynetdicom
import pytest
from pynetdicom import AE, _config
from pynetdicom.association import MODE_REQUESTOR, Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AssociationSocket, RequestHandler

from tests.peers import PROJECT

MODULE = PROJECT / "node/dicom/network/pynetdicom_internals.py"
ROOMS = [PROJECT / room for room in ("node/dicom", "node/small_pacs", "node/conformance", "node/workflow")]


def owners() -> dict[str, object]:
    """What has the names: objects, since many are set by a constructor only."""
    assoc = Association(AE(), MODE_REQUESTOR)
    return {
        "pynetdicom._config": _config, "AE": AE(), "Association": assoc,
        "DULServiceProvider": DULServiceProvider(assoc),
        "AssociationSocket": AssociationSocket(assoc, client_socket=cast(socket, object())),
        "RequestHandler": RequestHandler, "C_STORE_RQ": C_STORE_RQ(), "C_STORE": C_STORE(),
    }  # fmt: skip


NAMES = {
    "pynetdicom._config": (
        "LOG_HANDLER_LEVEL", "LOG_REQUEST_IDENTIFIERS", "LOG_RESPONSE_IDENTIFIERS", "STORE_SEND_CHUNKED_DATASET",
    ),
    "AE": ("_servers", "_create_socket"),
    "Association": ("_reactor_checkpoint", "_is_paused", "_run_reactor", "_kill", "_abort_nonblocking"),
    "DULServiceProvider": (
        "_idle_timer", "_run_loop_delay", "_kill_thread", "_is_transport_event", "_read_pdu_data",
    ),
    "AssociationSocket": ("_is_connected", "_create_socket", "_shutdown_socket"),
    "RequestHandler": ("_create_association",),
    "C_STORE_RQ": ("_data_set_file",),
    "C_STORE": ("_dataset_file",),
}  # fmt: skip


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in NAMES.items() for name in names])
def test_pynetdicom_has_each_private_name_that_the_node_uses(owner: str, name: str) -> None:
    assert hasattr(owners()[owner], name), (
        f"pynetdicom {pynetdicom.__version__} has no {owner}.{name} any more; node/dicom/network/"
        f"pynetdicom_internals.py uses it and says what for: adapt that function, then raise the pin in pyproject.toml"
    )


def private_names(path: Path) -> Iterator[tuple[str, int]]:
    """Attributes and functions of a module whose name begins with one underscore, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield node.attr, node.lineno
        if isinstance(node, ast.FunctionDef) and node.name.startswith("_"):
            yield node.name, node.lineno


def test_the_list_above_is_complete() -> None:
    own = {"_DataSetFile"}
    used = {name for name, _ in private_names(MODULE)} - own - {"__init__"}
    assert used <= {name for names in NAMES.values() for name in names}


def test_no_other_module_uses_a_private_name_of_pynetdicom() -> None:
    private = {name for names in NAMES.values() for name in names if name.startswith("_")}
    uses = [
        f"{path.relative_to(PROJECT)}:{line}: {name}"
        for room in ROOMS
        for path in sorted(room.rglob("*.py"))
        if path != MODULE
        for name, line in private_names(path)
        if name in private
    ]
    assert uses == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_no_other_module_imports_a_private_module_of_pynetdicom(room: Path) -> None:
    for path in sorted(room.rglob("*.py")):
        if path != MODULE:
            text = path.read_text(encoding="utf-8")
            assert "pynetdicom._" not in text
            assert "import _config" not in text


def test_the_pin_is_the_version_that_was_checked() -> None:
    assert "pynetdicom==3.0.*" in (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert importlib.import_module("pynetdicom").__version__.startswith("3.0.")
