"""Batches prepared ahead of the network, so that gathering and augmentation do not stall a GPU.

Threads, not processes: patches are memory-mapped and the operations on them release the interpreter lock, so nothing is
copied between processes and a container needs no shared memory. The content of a batch depends on its item alone,
never on the thread that prepares it: with any number of threads, a training on a CPU ends with the same weights.
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
MOST_LOADERS = 8  # default limit beside a GPU


@dataclass(frozen=True)
class BatchLoader:
    """Prepares batches in order and returns them on the device.

    Attributes
    ----------
    device : torch.device
        Where the network computes.
    n_loaders : int
        Threads that work ahead; 0: each batch is prepared when it is requested.
    """

    device: torch.device
    n_loaders: int = 0

    def batches(self, make: Callable[[T], Tensor], items: Iterable[T]) -> Iterator[Tensor]:
        """Yield ``make(item)`` for each item, in the order of the items, channels last on the device.

        Parameters
        ----------
        make : callable
            Called in a thread; must not depend on which batches were prepared before. Its error is raised here.
        items : iterable
            One per batch.

        Yields
        ------
        Tensor, shape (n, c, h, w)
            On the device.
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
                    # The limit bounds the memory of prepared batches, and the queue keeps their order whatever thread
                    # is first.
                    if len(waiting) > AHEAD_PER_LOADER * self.n_loaders:
                        yield self._on_device(waiting.popleft().result())
                while waiting:
                    yield self._on_device(waiting.popleft().result())
            finally:
                # An error or an early end of the epoch: batches that no step will use are not prepared.
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
    """Return the default number of loader threads: none on a CPU, which the network keeps busy."""
    return 0 if device.type == "cpu" else max(1, min(MOST_LOADERS, len(os.sched_getaffinity(0)) - 1))


def seeded_generator(*numbers: int) -> torch.Generator:
    """Return a generator whose stream depends on these numbers alone.

    Parameters
    ----------
    *numbers : int
        For example seed and step of a training; each >= 0.

    Returns
    -------
    torch.Generator
        On the CPU; streams of different numbers are independent.
    """
    word = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(word) & (2**63 - 1))
