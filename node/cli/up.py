"""`cptdn up` and `cptdn node`: the program as a service."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from node.cli.context import checked_settings_of

PAGES_WITHIN_S = 30.0


def up(
    ctx: typer.Context,
    pages: Annotated[bool, typer.Option(help="Serve the pages, too; they can also run elsewhere.")] = True,
) -> None:
    """Run everything on this machine: broker (if embedded), node, workers, pages. Ctrl-C or SIGTERM stops it cleanly.

    Example: cptdn up --config /etc/cptdn/cptdn.toml
    """
    from node.ledger.database import open_ledger
    from node.runtime.forked_parts import forked_parts
    from node.runtime.local_installation import (
        MODULES,
        MODULES_OF_PAGES,
        PAGES,
        PARTS,
        NotReadyError,
        running_parts,
        wait_for_signal,
        wait_until_ready,
    )
    from node.web.address import address_of

    settings = checked_settings_of(ctx)
    if settings.fhir.receive and not pages:
        typer.echo("[fhir] receive = true: resources are received by the pages' process; start `cptdn web` as well.")
    typer.echo(f"Starting; data are in {settings.storage.root}")
    parts = PARTS | PAGES if pages else PARTS
    # Before the ledger and the broker are opened: a forked process must not have their connections and threads.
    with (
        forked_parts(parts, MODULES + MODULES_OF_PAGES if pages else MODULES) as forked,
        closing(open_ledger(settings.ledger.url or "")) as ledger,
        running_parts(settings, {}, typer.echo, parts=parts, waiting=forked) as supervisor,
    ):
        wait_until_ready(ledger, supervisor)
        if pages:
            try:  # the node is useful without its pages
                wait_until_ready(ledger, supervisor, PAGES_WITHIN_S, tuple(PAGES))
                typer.echo(f"Pages: {address_of(settings)}")
            except NotReadyError as error:
                typer.echo(f"The pages are not ready ({error}); the lines above have the reason.")
        typer.echo(
            f"Ready: {settings.node.ae_title} listens on {settings.node.bind}:{settings.node.port}; Ctrl-C stops it."
        )
        wait_for_signal()
        typer.echo("Stopping.")


def node(ctx: typer.Context) -> None:
    """Run the node alone: DICOM, clinical sources, assessment of cases, and messages to the broker.

    Example: cptdn node --config /etc/cptdn/cptdn.toml
    """
    from node.runtime.local_installation import tune_interpreter, wait_for_signal
    from node.runtime.logging import events_file, start_logging
    from node.runtime.service import running_node
    from node.runtime.supervisor import stop_with_supervisor

    settings = checked_settings_of(ctx)
    start_logging(file=events_file(settings, "node"))
    stop_with_supervisor()
    with running_node(settings):
        # After the start: what is loaded by then lives as long as the process.
        tune_interpreter()
        wait_for_signal()
