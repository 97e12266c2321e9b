"""`cptdn up` and `cptdn node`: the program as a service."""

from __future__ import annotations

import sys

import typer

from node.cli.context import settings_of

SWITCH_INTERVAL_S = 0.001  # a fifth of Python's own: with many senders at work, an echo is still answered soon


def up(ctx: typer.Context) -> None:
    """Run everything on this machine: broker (if embedded), node and workers. Ctrl-C or SIGTERM stops it cleanly.

    Example: cptdn up --config /etc/cptdn/cptdn.toml
    """
    from node.ledger.database import open_ledger
    from node.running import everything, wait_for_signal, wait_until_ready

    settings = settings_of(ctx)
    ledger = open_ledger(settings.ledger.url or "")
    typer.echo(f"Starting; data stands in {settings.storage.root}")
    with everything(settings, {}, typer.echo) as supervisor:
        wait_until_ready(ledger, supervisor)
        typer.echo(
            f"Ready: {settings.node.ae_title} listens on {settings.node.bind}:{settings.node.port}; Ctrl-C stops it."
        )
        wait_for_signal()
        typer.echo("Stopping.")
    ledger.close()


def node(ctx: typer.Context) -> None:
    """Run the node alone: the DICOM side, the looks at cases, and the outbox to the broker.

    Example: cptdn node --config /etc/cptdn/cptdn.toml
    """
    from node.logging import start_logging
    from node.running import wait_for_signal
    from node.service import running_node
    from node.supervisor import follow_lifeline

    start_logging()
    follow_lifeline()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with running_node(settings_of(ctx)):
        wait_for_signal()
