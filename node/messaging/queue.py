"""Celery and Redis as this program uses them: sending tasks by name, and the lengths of queues."""

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
    """Return a Celery application on this broker: JSON only, late acknowledgement, no results (the ledger has them).

    Parameters
    ----------
    url : str
        From `node.messaging.broker.broker_url`.
    broker : BrokerSettings
        `visibility_timeout_s` is how long a worker may have a message before Redis gives it to another one.
    """
    app = Celery("cptdn", broker=url, set_as_current=False)
    app.conf.update(
        # JSON only: with pickle, a process that can write to the broker could run code in the workers.
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # A message is confirmed after its step, so a worker that dies does not lose it; each step may run twice.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=Queue.VOLUMES.value,
        # One message for each process of a worker: one with a long step must not keep others that an idle worker could
        # take.
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": broker.visibility_timeout_s,
            # A broker that does not answer must be noticed in seconds, not when TCP gives up after many minutes.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "retry_on_timeout": True,
            # A broker behind a pulled cable or a firewall closes nothing: TCP keep-alive notices it.
            "socket_keepalive": True,
            "socket_keepalive_options": {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3},
        },
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
    )
    return app


def send(app: Celery, task: str, args: list[Any]) -> None:
    """Send one message to the broker.

    Raises
    ------
    BrokerUnavailableError
        When it does not accept the message.
    """
    try:
        app.send_task(task, args=args, queue=QUEUE_OF_TASK[task].value, retry=False)
    except (OperationalError, OSError, RedisError) as error:
        raise BrokerUnavailableError(str(error)) from error


def room_in_queues(broker: Redis, most: int) -> dict[str, int]:
    """Return how many more messages each queue may get until `most` wait in it; negative when more wait already.

    Raises
    ------
    BrokerUnavailableError
        When the broker does not answer.
    """
    return {queue: most - waiting for queue, waiting in queue_lengths(broker).items()}


def queue_lengths(broker: Redis) -> dict[str, int]:
    """Return the number of messages that wait in each queue.

    redis-py and not Celery: Celery would retry for seconds, and each retry leaves a descriptor to the garbage
    collector.

    Raises
    ------
    BrokerUnavailableError
        When the broker does not answer.
    """
    try:
        return {queue.value: int(broker.llen(queue.value)) for queue in Queue}
    except (OSError, RedisError) as error:
        raise BrokerUnavailableError(str(error)) from error
