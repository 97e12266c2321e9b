"""Questions to a worker whose answer a page waits for: what the pages cannot know without computing.

    page --ANSWER_QUESTION [list, name, values]--> worker --LPUSH list--> page (BLPOP)

The question is a Celery message like any other; the answer is JSON in a short-lived Redis list of the same broker,
because the ledger should not store what is useless a second later. A question that no worker has taken in time expires.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from config.errors import CptdnError, InputError
from config.messages.message import message
from config.messages.stored import from_json, to_json
from config.system_error import reason_of
from node.messaging.broker import redis_of
from node.messaging.messages import ANSWER_QUESTION, Queue

ANSWER_TIMEOUT_S = 8.0  # of numbers
PICTURE_TIMEOUT_S = 30.0  # of pictures: a page asks for several at once, and they come one after the other
EXPIRES_S = 30  # an answer that the page no longer waits for


class NoAnswerError(CptdnError):
    """No worker answered in time, or the broker does not answer."""


class QuestionClient(Protocol):
    """What pages use to ask a question; tests have one without workers."""

    def ask(self, question: str, values: Mapping[str, Any], wait_s: float = ANSWER_TIMEOUT_S) -> Any:
        """Return the answer as JSON values.

        Parameters
        ----------
        question : str
            Its name, see `workers/web`.
        values : mapping
            JSON values.
        wait_s : float
            How long to wait, in seconds.

        Raises
        ------
        NoAnswerError
            When no answer comes in time.
        InputError
            When the worker says that the values do not fit the question.
        """


class WorkerClient:
    """Asks the workers behind the broker; threads share it."""

    def __init__(self, celery: Celery, url: str) -> None:
        self._celery, self._redis = celery, redis_of(url, PICTURE_TIMEOUT_S + 5)

    def ask(self, question: str, values: Mapping[str, Any], wait_s: float = ANSWER_TIMEOUT_S) -> Any:
        """Send the question and wait for its answer, see `QuestionClient.ask`."""
        answers = f"cptdn.answer.{uuid.uuid4().hex}"
        try:
            self._redis.ping()  # fails at once when the broker is down; Celery would retry for seconds
            # It expires when the page stops waiting: workers must not compute answers that are not read.
            self._celery.send_task(
                ANSWER_QUESTION, args=[answers, question, dict(values)], queue=Queue.WEB.value, retry=False,
                expires=wait_s,
            )  # fmt: skip
            response: Any = self._redis.blpop([answers], timeout=wait_s)
        except (OperationalError, RedisError, OSError) as error:
            raise NoAnswerError(message("question.broker", why=reason_of(error))) from error
        if response is None:
            raise NoAnswerError(message("question.late", seconds=wait_s))
        answer = json.loads(response[1])
        if "error" in answer:
            raise InputError(from_json(answer)["error"])
        return answer["answer"]


def send_answer(redis: Redis, answers: str, document: Mapping[str, Any]) -> None:
    """Send an answer to the list that the page reads.

    Parameters
    ----------
    answers : str
        Key of the list, from the question.
    document : mapping
        ``{"answer": ...}``, or ``{"error": text}``, a message, when the values did not fit.
    """
    with redis.pipeline() as pipeline:
        pipeline.lpush(answers, json.dumps(to_json(document), ensure_ascii=False))
        # The page may have stopped waiting: without an expiry its list would stay in the broker.
        pipeline.expire(answers, EXPIRES_S)
        pipeline.execute()
