"""Sending by name over Celery, and what Celery says about its queues."""

from __future__ import annotations

import socket
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from config.settings import BrokerSettings
from node.messaging.messages import QUEUE_OF_TASK, BrokerUnavailableError, Queue


def make_celery(url: str, broker: BrokerSettings) -> Celery:
    """A Celery application on this broker: JSON only, late acknowledgement, no results (the ledger holds them)."""
    app = Celery("cptdn", broker=url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=Queue.VOLUMES.value,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": broker.visibility_timeout_s,
            # A broker that went away must be noticed in seconds, not when the kernel gives up.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "retry_on_timeout": True,
            # One that vanished without a word (a cable, a firewall) is noticed by the kernel's own questions.
            "socket_keepalive": True,
            "socket_keepalive_options": {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3},
        },
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
    )
    return app


def send(app: Celery, task: str, args: list[Any]) -> None:
    """Give one message to the broker. Raises BrokerUnavailableError when it does not take it."""
    try:
        app.send_task(task, args=args, queue=QUEUE_OF_TASK[task].value, retry=False)
    except (OperationalError, OSError, RedisError) as error:
        raise BrokerUnavailableError(str(error)) from error


def room_in_queues(broker: Redis, most: int) -> dict[str, int]:
    """How many more messages each queue may get so that at most `most` wait in it. Raises BrokerUnavailableError."""
    return {queue: most - waiting for queue, waiting in queue_lengths(broker).items()}


def queue_lengths(broker: Redis) -> dict[str, int]:
    """Messages waiting in each queue. Raises BrokerUnavailableError.

    Asked without Celery: it would try for seconds, and each try leaves a descriptor to the garbage collector.
    """
    try:
        return {queue.value: int(broker.llen(queue.value)) for queue in Queue}
    except (OSError, RedisError) as error:
        raise BrokerUnavailableError(str(error)) from error
