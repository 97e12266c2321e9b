"""The nomogram's inputs: their ranges, and the columns of its terms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from config.arrays import BoolArray, FloatArray
from config.errors import InputError
from config.messages.message import message
from workers.nomogram.points import AGE, EBV, INTERACTION, PREDICTIVE, PROGNOSTIC, TERMS, TREATMENT
from workers.survival.covariates import PatientCovariates

_INPUTS = (AGE, "ebv_dna_gt_threshold", PROGNOSTIC, PREDICTIVE)


def validated_inputs(covariates: PatientCovariates) -> dict[str, FloatArray]:
    """Return the covariates as arrays after checking their ranges.

    Parameters
    ----------
    covariates : PatientCovariates
        Numbers or arrays of one length n.

    Returns
    -------
    dict of str to array, shape (n,)
        By input name.

    Raises
    ------
    InputError
        Names the first patient (from 1) whose value is impossible: age outside 0 to 130 years, EBV DNA category other
        than 0 or 1, a score outside [-1, 1].
    """
    values_by_input = (
        covariates.age_years,
        covariates.ebv_dna_gt_threshold,
        covariates.prognostic_score,
        covariates.predictive_score,
    )
    inputs = {
        name: np.atleast_1d(np.asarray(values, dtype=np.float64))
        for name, values in zip(_INPUTS, values_by_input, strict=True)
    }
    shapes = {values.shape for values in inputs.values()}
    if len(shapes) != 1 or inputs[AGE].ndim != 1:
        raise InputError(f"the inputs of the nomogram must be arrays of one length, found shapes {sorted(shapes)}")
    allowed = (
        (AGE, message("nomogram_input.age"), (inputs[AGE] >= 0) & (inputs[AGE] <= 130)),
        (
            "ebv_dna_gt_threshold",
            message("nomogram_input.ebv_dna"),
            np.isin(inputs["ebv_dna_gt_threshold"], (0.0, 1.0)),
        ),
        (PROGNOSTIC, message("nomogram_input.prognostic"), np.abs(inputs[PROGNOSTIC]) <= 1),
        (PREDICTIVE, message("nomogram_input.predictive"), np.abs(inputs[PREDICTIVE]) <= 1),
    )
    for name, expected, in_range in allowed:  # a NaN is out of range, too: comparisons with it are False
        if not bool(in_range.all()):
            first = int(np.argmin(in_range))
            raise InputError(
                message("nomogram_input.range", n=first + 1, expected=expected, value=float(inputs[name][first]))
            )
    return inputs


def term_columns(inputs: Mapping[str, FloatArray], treated: bool | BoolArray) -> FloatArray:
    """Return the columns of the nomogram's terms under a treatment.

    Parameters
    ----------
    inputs : mapping of str to array, shape (n,)
        From `validated_inputs`.
    treated : bool or bool array, shape (n,)
        True for ICT+CCRT; one value for all patients, or the treatment that each received.

    Returns
    -------
    array, shape (n, 6)
        In the order of `points.TERMS`.
    """
    # One value for all patients or one for each: predictions use both arms, a fit the arm received.
    treatment = np.broadcast_to(np.asarray(treated, dtype=np.float64), inputs[AGE].shape)
    columns = {
        AGE: inputs[AGE],
        PROGNOSTIC: inputs[PROGNOSTIC],
        PREDICTIVE: inputs[PREDICTIVE],
        TREATMENT: treatment,
        EBV: inputs["ebv_dna_gt_threshold"],
        INTERACTION: inputs[PREDICTIVE] * treatment,
    }
    return np.column_stack([columns[term] for term in TERMS])
