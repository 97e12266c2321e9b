"""`cptdn ready`: the health check of container engines and service managers."""

from __future__ import annotations

import socket
from typing import Annotated, Literal

import typer

from node.cli.context import ledger_of, print_json


def ready(
    ctx: typer.Context,
    kind: Annotated[Literal["node", "worker", "web"], typer.Argument(help="Which part of the program.")],
    anywhere: Annotated[bool, typer.Option("--anywhere", help="On any machine, not only on this one.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check whether a process of this kind is alive and ready on this machine: exit code 0, else 1.

    Example: cptdn ready worker
    """
    from config.errors import InputError
    from node.runtime.health import ready_processes

    here = socket.gethostname()
    # migrate=False: a health check that runs every few seconds must neither change nor lock the schema.
    processes = ready_processes(ledger_of(ctx, migrate=False), kind, None if anywhere else here)
    if as_json:
        print_json(processes)
    elif processes:
        typer.echo(f"{kind}: {len(processes)} ready")
    if not processes:
        where = "any machine" if anywhere else here
        raise InputError(f"no {kind} is ready on {where}; `cptdn doctor` explains")
