"""`cptdn status`: what runs, what is queued and what failed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from config.who_and_when import local_time
from node.cli.context import ledger_of, print_json, print_table, settings_of


def status(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
) -> None:
    """Show what runs, what is queued and what failed.

    Example: cptdn status --json
    """
    from node.runtime.overview import overview

    document = overview(settings_of(ctx), ledger_of(ctx))
    if as_json:
        print_json(document)
        return
    node = document["node"]
    running = ", ".join(f"{p['kind']} (pid {p['pid']})" for p in node["processes"]) or "nothing"
    typer.echo(f"Node {node['ae_title']} on {node['bind']}:{node['port']}; running: {running}")
    typer.echo(f"Model bundle {document['bundle']}; {document['disk_free_gb']:.1f} GB free for storage")
    for process in node["processes"]:
        for work in process.get("failing", ()):
            since = local_time(datetime.fromisoformat(work["since"]))
            whose = f"{work['name']} of {process['kind']} (pid {process['pid']})"
            typer.echo(f"  FAILS: {whose} since {since}: {work['error']}")
    admission = document["bundle_admission"]
    if admission["texts"]:
        typer.echo(f"  {admission['state']}: {' '.join(admission['texts'])}")
    rows = [
        (title, ", ".join(f"{state} {n}" for state, n in document[key].items() if n) or "none")
        for title, key in (("cases", "cases"), ("computations", "jobs"), ("deliveries", "deliveries"))
    ]
    if kept := document["delivery_backlog"]["kept_studies"]:
        gigabytes = document["delivery_backlog"]["kept_gb"]
        rows.append(("images kept", f"{kept} studies, {gigabytes:.2f} GB, until their deliveries have ended"))
    rows.append(("objects come by", "; ".join(document["sources"])))
    queues = ", ".join(f"{name} {n}" for name, n in document["queues"].items() if name != "error")
    rows.append(("queues", document["queues"].get("error") or queues))
    if document["discarded"]:
        rows.append(("discarded objects", ", ".join(f"{name} {n}" for name, n in document["discarded"].items())))
    print_table(("", ""), rows)
