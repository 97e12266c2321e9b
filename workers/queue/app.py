"""A worker process from start to end: warm model, heartbeat, Celery."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence

import structlog
from celery.signals import worker_process_init, worker_ready

from config.errors import ModelBundleError
from config.settings import Settings
from dicom_sr.objects.preloading import preload_building, preload_drawing
from node.audit.forwarding import forwarding
from node.audit.recorder import audited, open_audit
from node.ledger.database import open_ledger
from node.ledger.processes import heartbeat
from node.messaging.broker import broker_url
from node.messaging.messages import Queue
from node.messaging.queue import make_celery
from workers.pipeline.context import WorkerContext
from workers.queue.drawing_process import DrawingProcess
from workers.queue.tasks import register

log = structlog.get_logger(__name__)


def run_worker(settings: Settings, queues: Sequence[str], concurrency: int) -> None:
    """Serve these queues until SIGTERM; what is begun is finished first.

    One task at a time runs in this very process; several run in child processes, or in threads where they only deliver
    (they wait for the network then).
    """
    delivers_only = set(queues) == {Queue.DELIVERY.value}
    computes = bool(set(queues) - {Queue.DELIVERY.value, Queue.WEB.value})
    pool = "threads" if delivers_only else ("solo" if concurrency == 1 else "prefork")
    context, beside = WorkerContext(settings), DrawingProcess()
    if computes and pool == "solo" and (os.cpu_count() or 1) > 1:
        context.start = beside.start
    ready_to_draw = context.start(preload_drawing)  # over there while this process loads its own libraries
    ledger = open_ledger(settings.ledger.url or "")
    app = make_celery(broker_url(settings), settings.broker)
    register(app, context, queues)
    device = _device(settings) if computes else "none"
    audit = open_audit(settings, "worker")
    with (
        forwarding(settings, audit.trail),
        audited(audit),
        heartbeat(ledger, "worker", queues=list(queues), device=device) as beat,
    ):
        if computes:
            worker_process_init.connect(lambda **_: _warm_up(context, ready_to_draw), weak=False)
            if pool == "solo":
                _warm_up(context, ready_to_draw)
        elif Queue.WEB.value in queues:
            from workers.web.web_queries import warm_up

            warm_up(context)
        worker_ready.connect(lambda **_: beat.ready(), weak=False)
        # Workers tell each other nothing: the reading of such news blocks for ever when a broker comes back.
        app.Worker(
            queues=list(queues), concurrency=concurrency, pool=pool, loglevel="WARNING", quiet=True,
            without_gossip=True, without_mingle=True, without_heartbeat=True,
        ).start()  # fmt: skip
    beside.close()
    context.tracer.close()
    ledger.close()


def _warm_up(context: WorkerContext, ready_to_draw: Callable[[], None]) -> None:
    """Load the bundle and run a first inference, and read what reports need, so that the first patient does not wait
    for it. What is there then stays, so the garbage collector need not look at it again with every report.

    A bundle that cannot be loaded is no reason to stop: the worker stays, and each job says what is wrong.
    """
    from workers.pipeline.computation import warm_up
    from workers.queue import steps

    log.debug("imported", modules=[steps.__name__])
    preload_building()
    try:
        bundle = context.bundle(context.settings.model.bundle)
        warm_up(bundle, context.settings.model.device)
    except ModelBundleError as error:
        log.error("the model bundle cannot be used", error=str(error))
    else:
        log.info("the model is warm", bundle=bundle.digest)
    ready_to_draw()
    gc.collect()
    gc.freeze()


def _device(settings: Settings) -> str:
    from workers.features.extraction import resolve_device

    return str(resolve_device(settings.model.device))
