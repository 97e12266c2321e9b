"""The follow-up and treatment that the losses use, from the columns of a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from config.indication.nasopharynx import NASOPHARYNX
from config.indication.vocabulary import TreatmentArm
from workers.training.losses import Outcomes

# Column order of Outcomes.
OUTCOME_ENDPOINTS = tuple(endpoint.value for endpoint in NASOPHARYNX.learned_endpoints)
NEEDED_ENDPOINTS = (NASOPHARYNX.primary_endpoint.value,)


def learned_endpoints(columns: Mapping[str, Sequence[Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which endpoints a cohort can be learned from, and which it has no columns of.

    Parameters
    ----------
    columns : mapping of str to sequence
        Canonical cohort columns by name.

    Returns
    -------
    learned, left_out : tuple of str
        Of `OUTCOME_ENDPOINTS`, in that order.
    """
    present = [name for name in OUTCOME_ENDPOINTS if f"{name}_days" in columns and f"{name}_event" in columns]
    return tuple(present), tuple(name for name in OUTCOME_ENDPOINTS if name not in present)


def outcomes_from_columns(columns: Mapping[str, Sequence[Any]]) -> Outcomes:
    """Convert canonical cohort columns to tensors.

    Parameters
    ----------
    columns : mapping of str to sequence, length n
        ``<endpoint>_days``, ``<endpoint>_event`` and ``treatment``; a data frame, or lists by name. Endpoints other
        than `NEEDED_ENDPOINTS` may be absent.

    Returns
    -------
    Outcomes
        Columns in the order of `OUTCOME_ENDPOINTS`; an absent endpoint is a column without events, which has no term in
        the loss.
    """
    treated = np.asarray(columns["treatment"]) == TreatmentArm.ICT_CCRT.value
    learned, _ = learned_endpoints(columns)
    # Many sites record DFS alone. The Cox loss of a column without events is 0 with a zero gradient, so the prognosis
    # is then learned by DFS, the largest of its three outputs, alone.
    durations = np.zeros((len(treated), len(OUTCOME_ENDPOINTS)), dtype=np.float32)
    events = np.zeros(durations.shape, dtype=bool)
    for column, name in enumerate(OUTCOME_ENDPOINTS):
        if name in learned:
            # Whole days up to 2^24 are exact in float32, so ties stay ties.
            durations[:, column] = np.asarray(columns[f"{name}_days"], dtype=np.float32)
            events[:, column] = np.asarray(columns[f"{name}_event"], dtype=np.float64) > 0
    return Outcomes(
        # T is +1 and -1, not 1 and 0: the modified covariate method needs both arms on opposite sides (Tian et al.
        # 2014).
        torch.from_numpy(durations),
        torch.from_numpy(events),
        torch.from_numpy(np.where(treated, 1.0, -1.0)).float(),
    )
