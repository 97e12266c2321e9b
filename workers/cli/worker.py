"""`cptdn worker`: one computing (or delivering) process on the broker."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.context import checked_settings_of


def worker(
    ctx: typer.Context,
    queues: Annotated[
        str, typer.Option(help="Comma-separated: volumes, features, report, delivery, web.")
    ] = "volumes,features,report,delivery,web",
    concurrency: Annotated[int, typer.Option(min=1, help="Tasks at once: processes, or threads for delivery.")] = 1,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda (default: as configured).")] = None,
) -> None:
    """Run one worker on the broker; any number of workers can run, on any number of machines.

    Example: cptdn worker --queues features --concurrency 1 --device cuda
    """
    from node.messaging.messages import Queue
    from node.runtime.logging import events_file, start_logging
    from workers.queue.app import run_worker

    requested = [queue.strip() for queue in queues.split(",")]
    if wrong := [queue for queue in requested if queue not in list(Queue)]:
        raise typer.BadParameter(f"expected queues out of {', '.join(Queue)}; found {', '.join(wrong)}",
                                 param_hint="--queues")  # fmt: skip
    if device not in (None, "auto", "cpu", "cuda"):
        raise typer.BadParameter(f"expected auto, cpu or cuda; found {device}", param_hint="--device")
    settings = checked_settings_of(ctx)
    if device is not None:
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"device": device})})
    start_logging(file=events_file(settings, "worker"))
    run_worker(settings, requested, concurrency)
