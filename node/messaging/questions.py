"""Questions to a worker that wait for their answer: what the pages cannot know without computing.

    page --ANSWER_QUESTION [list, name, values]--> worker --LPUSH list--> page (BLPOP)

The question is a Celery message like any other; the answer is JSON in a short-lived Redis list of the same broker,
since the ledger must not hold what nobody needs a second later. A question that nobody took in time expires.
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
from node.messaging.broker import redis_of
from node.messaging.messages import ANSWER_QUESTION, Queue

ANSWER_TIMEOUT_S = 8.0  # for numbers
PICTURE_TIMEOUT_S = 30.0  # for pictures: several are asked for at once, and they come one after the other
KEPT_S = 30


class NoAnswerError(CptdnError):
    """No worker answered, or the broker is away: what was asked for cannot be shown now."""


class QuestionClient(Protocol):
    """Whoever can be asked."""

    def ask(self, question: str, values: Mapping[str, Any], wait_s: float = ANSWER_TIMEOUT_S) -> Any:
        """The answer as JSON values. Raises NoAnswerError, or InputError where the values do not fit."""


class WorkerClient:
    """The workers behind the broker; threads share it."""

    def __init__(self, celery: Celery, url: str) -> None:
        self._celery, self._redis = celery, redis_of(url, PICTURE_TIMEOUT_S + 5)

    def ask(self, question: str, values: Mapping[str, Any], wait_s: float = ANSWER_TIMEOUT_S) -> Any:
        answers = f"cptdn.answer.{uuid.uuid4().hex}"
        try:
            self._redis.ping()  # a broker that is away is told at once; Celery would look for it for seconds
            self._celery.send_task(
                ANSWER_QUESTION, args=[answers, question, dict(values)], queue=Queue.WEB.value, retry=False,
                expires=wait_s,
            )  # fmt: skip
            found: Any = self._redis.blpop([answers], timeout=wait_s)
        except (OperationalError, RedisError, OSError) as error:
            raise NoAnswerError(f"the broker does not answer: {error}") from error
        if found is None:
            raise NoAnswerError(f"no worker answered within {wait_s:g} s; is a worker of the queue `web` running?")
        answer = json.loads(found[1])
        if "error" in answer:
            raise InputError(answer["error"])
        return answer["answer"]


def send_answer(redis: Redis, answers: str, document: Mapping[str, Any]) -> None:
    """Put an answer where the asker waits for it; nobody fetches it after a while."""
    with redis.pipeline() as pipeline:
        pipeline.lpush(answers, json.dumps(document, ensure_ascii=False))
        pipeline.expire(answers, KEPT_S)
        pipeline.execute()
