"""`cptdn ready`: the question that a container engine or a service manager asks again and again."""

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
    """Whether such a process of this machine lives and can work: exit code 0, else 1. For health checks.

    Example: cptdn ready worker
    """
    from config.errors import InputError
    from node.ledger.processes import live_processes

    here = socket.gethostname()
    with ledger_of(ctx, migrate=False).begin() as session:
        found = [one for one in live_processes(session, kind) if one.ready and (anywhere or one.host == here)]
        rows = [{"kind": one.kind, "host": one.host, "pid": one.pid, **one.info} for one in found]
    if as_json:
        print_json(rows)
    elif rows:
        typer.echo(f"{kind}: {len(rows)} ready")
    if not rows:
        where = "any machine" if anywhere else here
        raise InputError(f"no {kind} is ready on {where}; `cptdn doctor` explains")
