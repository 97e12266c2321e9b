"""Which patients make a batch, who is kept back for early stopping, and the folds of a cross-validation."""

from __future__ import annotations

import numpy as np

from config.arrays import BoolArray, IndexArray

PAPER_EVENT_SHARE = 27 / 64  # 27 of 64 patients in a batch had the event


def epoch_batches(
    event_observed: BoolArray, batch_size: int, event_share: float | None, rng: np.random.Generator
) -> list[IndexArray]:
    """One epoch of batches, every batch with its share of events.

    event_observed : (n,). event_share : share of patients with the event in each batch (the paper: 27 of 64, events
    drawn again and again while each censored patient comes once); None: the cohort's own share, everybody once.
    Returns index arrays into the patients. A cohort without events, or with nothing else, gets plain batches.
    """
    events, censored = np.flatnonzero(event_observed), np.flatnonzero(~event_observed)
    if event_share is None or not len(events) or not len(censored):
        return _stratified(events, censored, batch_size, rng)
    n_events = min(max(1, round(batch_size * event_share)), batch_size - 1)
    n_censored = batch_size - n_events
    rest = rng.permutation(censored)
    n_batches = max(1, len(rest) // n_censored)
    drawn = _endless(events, n_batches * n_events, rng)
    return [
        np.concatenate([rest[i * n_censored : (i + 1) * n_censored], drawn[i * n_events : (i + 1) * n_events]])
        for i in range(n_batches)
    ]


def _stratified(
    events: IndexArray, censored: IndexArray, batch_size: int, rng: np.random.Generator
) -> list[IndexArray]:
    """Everybody once, events spread evenly over the batches."""
    n_batches = max(1, round((len(events) + len(censored)) / batch_size))
    shuffled = np.concatenate([rng.permutation(events), rng.permutation(censored)])
    return [shuffled[i::n_batches] for i in range(n_batches)]


def _endless(rows: IndexArray, n: int, rng: np.random.Generator) -> IndexArray:
    """n draws that go through all rows before any comes again."""
    rounds = -(-n // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:n]


def validation_split(
    event_observed: BoolArray, treated: BoolArray, share: float, rng: np.random.Generator
) -> BoolArray:
    """(n,) True for the patients kept for early stopping: the same share of every event-by-arm group."""
    chosen = np.zeros(len(event_observed), dtype=np.bool_)
    for event in (False, True):
        for arm in (False, True):
            group = np.flatnonzero((event_observed == event) & (treated == arm))
            chosen[rng.permutation(group)[: round(share * len(group))]] = True
    return chosen


def stratified_folds(
    event_observed: BoolArray, treated: BoolArray, n_folds: int, rng: np.random.Generator
) -> IndexArray:
    """(n,) fold of each patient, 1..n_folds: folds of one size, each with its share of every event-by-arm group."""
    folds = np.zeros(len(event_observed), dtype=np.intp)
    given = 0
    for event in (True, False):
        for arm in (True, False):
            group = rng.permutation(np.flatnonzero((event_observed == event) & (treated == arm)))
            folds[group] = (given + np.arange(len(group))) % n_folds + 1
            given += len(group)
    return folds
