"""Batches made ahead of the network: gathering and augmentation never hold a GPU up.

Threads, not processes: patches are memory-mapped and the operations on them leave the interpreter's lock, so nothing is
copied between processes and no shared memory is needed in a container. What a batch holds depends on its item alone,
never on the thread that makes it: whatever the number of threads, a training on a CPU ends with the same weights.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

AHEAD_PER_LOADER = 2
MOST_LOADERS = 8  # on a GPU, where nobody says otherwise


@dataclass(frozen=True)
class BatchLoader:
    """Makes batches in order and hands them out on the device.

    n_loaders : threads that work ahead; 0: each batch is made when it is asked for.
    """

    device: torch.device
    n_loaders: int = 0

    def batches(self, make: Callable[[T], Tensor], items: Iterable[T]) -> Iterator[Tensor]:
        """`make(item)` for each item, in the order of the items, channels last on the device.

        make : called in a thread; must not depend on which batches were made before. Its error is raised here.
        """
        if self.n_loaders == 0:
            for item in items:
                yield self._on_device(make(item))
            return
        with ThreadPoolExecutor(self.n_loaders, "loader") as pool:
            waiting: deque[Future[Tensor]] = deque()
            try:
                for item in items:
                    waiting.append(pool.submit(self._made, make, item))
                    if len(waiting) > AHEAD_PER_LOADER * self.n_loaders:
                        yield self._on_device(waiting.popleft().result())
                while waiting:
                    yield self._on_device(waiting.popleft().result())
            finally:
                for future in waiting:
                    future.cancel()

    def _made(self, make: Callable[[T], Tensor], item: T) -> Tensor:
        batch = make(item).contiguous(memory_format=torch.channels_last)
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def _on_device(self, batch: Tensor) -> Tensor:
        moved = batch.to(self.device, non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last)


ON_CPU = BatchLoader(torch.device("cpu"))


def default_loader_count(device: torch.device) -> int:
    """How many threads load where nobody says otherwise: none beside a CPU that is busy with the network itself."""
    return 0 if device.type == "cpu" else max(1, min(MOST_LOADERS, len(os.sched_getaffinity(0)) - 1))


def seeded_generator(*numbers: int) -> torch.Generator:
    """A generator whose stream is that of these numbers alone, e.g. the seed of a training and the number of a step."""
    word = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(word) & (2**63 - 1))
