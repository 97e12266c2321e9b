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


def outcomes_from_columns(columns: Mapping[str, Sequence[Any]]) -> Outcomes:
    """Convert canonical cohort columns to tensors.

    Parameters
    ----------
    columns : mapping of str to sequence, length n
        ``<endpoint>_days``, ``<endpoint>_event`` and ``treatment``; a data frame, or lists by name.

    Returns
    -------
    Outcomes
        Columns in the order of `OUTCOME_ENDPOINTS`.
    """
    # Whole days up to 2^24 are exact in float32, so ties stay ties.
    durations = np.column_stack([np.asarray(columns[f"{name}_days"], dtype=np.float32) for name in OUTCOME_ENDPOINTS])
    events = np.column_stack([np.asarray(columns[f"{name}_event"], dtype=np.float64) > 0 for name in OUTCOME_ENDPOINTS])
    treated = np.asarray(columns["treatment"]) == TreatmentArm.ICT_CCRT.value
    return Outcomes(
        # T is +1 and -1, not 1 and 0: the modified covariate method needs both arms on opposite sides (Tian et al.
        # 2014).
        torch.from_numpy(durations),
        torch.from_numpy(events),
        torch.from_numpy(np.where(treated, 1.0, -1.0)).float(),
    )
