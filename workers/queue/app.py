"""A worker process from start to end: open the ledger, load the model, serve the queues by Celery."""

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
from node.runtime.supervisor import stop_with_supervisor
from workers.pipeline.context import WorkerContext
from workers.queue.drawing_process import DrawingProcess
from workers.queue.tasks import register

log = structlog.get_logger(__name__)


def run_worker(settings: Settings, queues: Sequence[str], concurrency: int) -> None:
    """Serve queues until SIGTERM; tasks that have started are finished first.

    Parameters
    ----------
    settings : Settings
        Of this site.
    queues : sequence of str
        Names of queues: volumes, features, report, delivery, web.
    concurrency : int
        Tasks at once. One runs in this process; several run in child processes, or in threads when the worker only
        delivers, because deliveries wait for the network.
    """
    delivers_only = set(queues) == {Queue.DELIVERY.value}
    computes = bool(set(queues) - {Queue.DELIVERY.value, Queue.WEB.value})
    pool = "threads" if delivers_only else ("solo" if concurrency == 1 else "prefork")
    context, drawing_process = WorkerContext(settings), DrawingProcess()
    if computes and pool == "solo" and (os.cpu_count() or 1) > 1:
        context.start_drawing = drawing_process.start
    # The drawing process loads its libraries while this process loads torch. Before any thread: it is forked then.
    wait_for_drawing = context.start_drawing(preload_drawing)
    # A supervisor that was killed cannot stop its children; they notice its end themselves.
    stop_with_supervisor()
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
            # Not weak: nothing else refers to the function, and Celery would lose it.
            worker_process_init.connect(lambda **_: _warm_up(context, wait_for_drawing), weak=False)
            if pool == "solo":
                _warm_up(context, wait_for_drawing)
        elif Queue.WEB.value in queues:
            from workers.web.web_queries import warm_up

            warm_up(context)
        worker_ready.connect(lambda **_: beat.ready(), weak=False)
        # No gossip and no mingle: reading the messages of other workers blocks for ever when a broker comes back. No
        # heartbeat of Celery: the ledger has one.
        app.Worker(
            queues=list(queues), concurrency=concurrency, pool=pool, loglevel="WARNING", quiet=True,
            without_gossip=True, without_mingle=True, without_heartbeat=True,
        ).start()  # fmt: skip
    drawing_process.close()
    context.tracer.close()
    ledger.close()


def _warm_up(context: WorkerContext, wait_for_drawing: Callable[[], None]) -> None:
    """Load the model bundle and the libraries of the reports, so that the first study does not wait for them."""
    from workers.pipeline.computation import warm_up
    from workers.queue import steps

    log.debug("imported", modules=[steps.__name__])
    preload_building()
    try:
        bundle = context.bundle(context.settings.model.bundle)
        warm_up(bundle, context.settings.model.device)
    except ModelBundleError as error:
        # The worker stays, and each job fails with this sentence, which the pages show; a worker that ended would not.
        log.error("the model bundle cannot be used", error=str(error))
    else:
        log.info("the model is warm", bundle=bundle.digest)
    wait_for_drawing()
    # Models and modules stay for the life of the process: the collector no longer visits them with every report.
    gc.collect()
    gc.freeze()


def _device(settings: Settings) -> str:
    from workers.features.extraction import resolve_device

    return str(resolve_device(settings.model.device))
