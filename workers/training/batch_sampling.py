"""Which patients make a batch, which ones validate, and the folds of a cross-validation."""

from __future__ import annotations

import numpy as np

from config.arrays import BoolArray, IndexArray

PAPER_EVENT_SHARE = 27 / 64  # 27 of 64 patients in a batch had the event


def epoch_batches(
    event_observed: BoolArray, batch_size: int, event_share: float | None, rng: np.random.Generator
) -> list[IndexArray]:
    """Return one epoch of batches, each with its share of events.

    Parameters
    ----------
    event_observed : bool array, shape (n,)
        Of the training patients.
    batch_size : int
        Patients per batch.
    event_share : float or None
        Share of patients with the event in each batch (the paper: 27 of 64): events are drawn repeatedly, each censored
        patient once. None: the cohort's own share, each patient once.
    rng : numpy Generator
        Source of the order.

    Returns
    -------
    list of int array
        Positions of patients. A cohort without events, or with events only, gets plain batches.

    References
    ----------
    Zhong et al. 2021, supplement.
    """
    events, censored = np.flatnonzero(event_observed), np.flatnonzero(~event_observed)
    if event_share is None or not len(events) or not len(censored):
        return _stratified(events, censored, batch_size, rng)
    n_events = min(max(1, round(batch_size * event_share)), batch_size - 1)
    n_censored = batch_size - n_events
    rest = rng.permutation(censored)
    # An epoch is one pass over the censored patients (but for an incomplete batch); events are fewer and are drawn
    # again.
    n_batches = max(1, len(rest) // n_censored)
    drawn = _endless(events, n_batches * n_events, rng)
    return [
        np.concatenate([rest[i * n_censored : (i + 1) * n_censored], drawn[i * n_events : (i + 1) * n_events]])
        for i in range(n_batches)
    ]


def _stratified(
    events: IndexArray, censored: IndexArray, batch_size: int, rng: np.random.Generator
) -> list[IndexArray]:
    """Return batches with each patient once and the events spread evenly."""
    n_batches = max(1, round((len(events) + len(censored)) / batch_size))
    shuffled = np.concatenate([rng.permutation(events), rng.permutation(censored)])
    # Every n-th of events followed by censored: each batch has its share of both, and none is without events unless
    # there are fewer events than batches.
    return [shuffled[i::n_batches] for i in range(n_batches)]


def _endless(rows: IndexArray, n: int, rng: np.random.Generator) -> IndexArray:
    """Draw n rows; each is drawn once before any is drawn again."""
    rounds = -(-n // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:n]


def validation_split(
    event_observed: BoolArray, treated: BoolArray, share: float, rng: np.random.Generator
) -> BoolArray:
    """Choose the patients for early stopping: the same share of every event-by-arm group.

    Parameters
    ----------
    event_observed, treated : bool array, shape (n,)
        Event, and ICT+CCRT.
    share : float
        In [0, 1].
    rng : numpy Generator
        Source of the choice.

    Returns
    -------
    bool array, shape (n,)
        True for a validation patient.
    """
    validating = np.zeros(len(event_observed), dtype=np.bool_)
    for event in (False, True):
        for arm in (False, True):
            group = np.flatnonzero((event_observed == event) & (treated == arm))
            # Within each group of event and arm: by chance alone a small validation set can have no event in one arm.
            validating[rng.permutation(group)[: round(share * len(group))]] = True
    return validating


def stratified_folds(
    event_observed: BoolArray, treated: BoolArray, n_folds: int, rng: np.random.Generator
) -> IndexArray:
    """Assign patients to folds of equal size, each with its share of every event-by-arm group.

    Parameters
    ----------
    event_observed, treated : bool array, shape (n,)
        Event, and ICT+CCRT.
    n_folds : int
        Number of folds.
    rng : numpy Generator
        Source of the order.

    Returns
    -------
    int array, shape (n,)
        Fold of each patient, 1 to n_folds.
    """
    folds = np.zeros(len(event_observed), dtype=np.intp)
    assigned = 0
    for event in (True, False):
        for arm in (True, False):
            group = rng.permutation(np.flatnonzero((event_observed == event) & (treated == arm)))
            # The count continues from group to group, so that the remainders do not all go to the first folds.
            folds[group] = (assigned + np.arange(len(group))) % n_folds + 1
            assigned += len(group)
    return folds
