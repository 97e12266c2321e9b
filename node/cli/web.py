"""`cptdn web`: the pages alone."""

from __future__ import annotations

import typer

from node.cli.context import checked_settings_of


def web(ctx: typer.Context) -> None:
    """Serve the pages: work list, cases, calculator, model, deliveries, health. `cptdn up` starts them too.

    Example: cptdn web --config /etc/cptdn/cptdn.toml
    """
    from node.runtime.logging import events_file, start_logging
    from node.runtime.supervisor import stop_with_supervisor
    from node.web.server import run_web

    settings = checked_settings_of(ctx)
    start_logging(file=events_file(settings, "web"))
    stop_with_supervisor()
    run_web(settings)
