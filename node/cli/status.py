"""`cptdn status`: one screen of what runs, what waits and what failed."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import typer

from node.cli.context import ledger_of, print_json, print_table, settings_of


def status(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
) -> None:
    """What runs, what waits and what failed, in one screen.

    Example: cptdn status --json
    """
    found = _status(ctx)
    if as_json:
        print_json(found)
        return
    node = found["node"]
    running = ", ".join(f"{p['kind']} (pid {p['pid']})" for p in node["processes"]) or "nothing"
    typer.echo(f"Node {node['ae_title']} on {node['bind']}:{node['port']}; running: {running}")
    typer.echo(f"Model bundle {found['bundle']}; {found['disk_free_gb']:.1f} GB free for storage")
    rows = [
        (title, ", ".join(f"{state} {n}" for state, n in found[key].items() if n) or "none")
        for title, key in (("cases", "cases"), ("computations", "jobs"), ("deliveries", "deliveries"))
    ]
    queues = ", ".join(f"{name} {n}" for name, n in found["queues"].items() if name != "error")
    rows.append(("queues", found["queues"].get("error") or queues))
    print_table(("", ""), rows)


def _status(ctx: typer.Context) -> dict[str, Any]:
    from node.broker import broker_url
    from node.ledger import cases, jobs, outbox, processes, reports
    from node.messages import BrokerUnavailableError
    from node.queue import make_celery, queue_lengths

    settings = settings_of(ctx)
    with ledger_of(ctx).begin() as session:
        found: dict[str, Any] = {
            "node": {
                "ae_title": settings.node.ae_title,
                "bind": settings.node.bind,
                "port": settings.node.port,
                "running": any(process.ready for process in processes.living(session, "node")),
                "processes": [
                    {"kind": p.kind, "host": p.host, "pid": p.pid, "ready": p.ready, **p.info}
                    for p in processes.living(session)
                ],
            },
            "queues": {},
            "cases": cases.count_by_state(session),
            "jobs": jobs.count_by_state(session),
            "deliveries": reports.count_deliveries(session),
            "outbox_empty": outbox.is_empty(session),
        }
    try:
        found["queues"] = queue_lengths(make_celery(broker_url(settings), settings.broker))
    except BrokerUnavailableError as error:
        embedded = settings.broker.url == "embedded"
        missing = "the embedded broker does not run; `cptdn up` starts it"
        found["queues"] = {"error": missing if embedded else f"the broker does not answer: {error}"}
    root = settings.storage.root
    found["disk_free_gb"] = round(shutil.disk_usage(root if root.exists() else root.parent).free / 1e9, 2)
    found["bundle"] = settings.model.bundle
    return found
