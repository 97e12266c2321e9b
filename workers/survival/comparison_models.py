"""Comparison models with fixed coefficients, and the file in which they travel beside a nomogram.

The file contains coefficients, standard errors and baseline hazards as fitted on the training cohort, no patient. An
evaluation applies them as they are; a model that was fitted on the evaluated patients would look better than it is.

References: Zhong et al., EBioMedicine 2021;70:103522, section 2.5; TRIPOD+AI, BMJ 2024;385:e078378.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.arrays import FloatArray
from config.atomic_files import write_atomically
from config.errors import InputError, ModelBundleError
from config.indication.vocabulary import TreatmentArm
from workers.survival.cohort import Cohort
from workers.survival.cox_models import COMPARED_MODELS, CohortModel, design_matrix, fit_compared_models

FILE_NAME = "comparison_models.json"
SCHEMA = 1
NOMOGRAM = "cptdn"
"""The comparison model with the terms of the nomogram; it does not travel, since the nomogram itself does."""


@dataclass(frozen=True)
class ComparisonModel:
    """A Cox model of p terms with fixed coefficients.

    Attributes
    ----------
    name : str
        Of `cox_models.COMPARED_MODELS`.
    terms : tuple of str, length p
        Columns of a cohort, ``treatment_ict``, products.
    arm : TreatmentArm or None
        The arm whose patients it was fitted on; None: both.
    coefficients, standard_errors : array, shape (p,)
        Log hazard ratios per unit.
    event_days, cumulative_hazard : array, shape (k,)
        Steps of the baseline of x = 0.
    n, n_events : int
        Of the fit.
    aic : float
        Of the fit.
    """

    name: str
    terms: tuple[str, ...]
    arm: TreatmentArm | None
    coefficients: FloatArray
    standard_errors: FloatArray
    event_days: FloatArray
    cumulative_hazard: FloatArray
    n: int
    n_events: int
    aic: float

    def risk(self, cohort: Cohort) -> FloatArray:
        """Return the uncentred linear predictor.

        Parameters
        ----------
        cohort : Cohort
            n patients.

        Returns
        -------
        array, shape (n,)
            Rises with risk; NaN where a factor is unknown.
        """
        return design_matrix(cohort, self.terms) @ self.coefficients

    def survival(self, cohort: Cohort, days: float) -> FloatArray:
        """Return predicted survival at a time.

        Parameters
        ----------
        cohort : Cohort
            n patients.
        days : float
            Days since the start of follow-up.

        Returns
        -------
        array, shape (n,)
            Probability of no event by then; NaN where a factor is unknown.
        """
        step = int(np.searchsorted(self.event_days, days, side="right"))
        hazard = float(self.cumulative_hazard[step - 1]) if step else 0.0
        return np.exp(-hazard * np.exp(self.risk(cohort)))

    def to_json(self) -> dict[str, Any]:
        """Return the form in which the model is stored."""
        return {
            "terms": list(self.terms),
            "arm": None if self.arm is None else self.arm.value,
            "coefficients": self.coefficients.tolist(),
            "standard_errors": self.standard_errors.tolist(),
            "baseline": {"days": self.event_days.tolist(), "cumulative_hazard": self.cumulative_hazard.tolist()},
            "n": self.n,
            "n_events": self.n_events,
            "aic": self.aic,
        }


@dataclass(frozen=True)
class ComparisonModels:
    """Comparison models and where they were fitted.

    Attributes
    ----------
    models : mapping of str to ComparisonModel
        By name.
    not_fitted : mapping of str to str
        Reason why a model could not be fitted.
    fitted_on : str
        The cohort in words, without its folder.
    endpoint : str
        Which follow-up.
    """

    models: Mapping[str, ComparisonModel]
    not_fitted: Mapping[str, str]
    fitted_on: str
    endpoint: str = "dfs"

    def to_json(self) -> dict[str, Any]:
        """Return the document of the file."""
        return {
            "schema": SCHEMA,
            "fitted_on": self.fitted_on,
            "endpoint": self.endpoint,
            "models": {name: model.to_json() for name, model in self.models.items()},
            "not_fitted": dict(self.not_fitted),
        }


def fixed_model(model: CohortModel) -> ComparisonModel:
    """Return what of a fitted model is needed to apply it to other patients."""
    fit, baseline = model.fit, model.baseline
    return ComparisonModel(
        name=model.name,
        terms=model.specification.terms,
        arm=model.specification.arm,
        coefficients=fit.coefficients,
        standard_errors=fit.standard_errors,
        event_days=baseline.event_days,
        cumulative_hazard=baseline.cumulative_hazard,
        n=fit.n,
        n_events=fit.n_events,
        aic=fit.aic,
    )


def fit_comparison_models(cohort: Cohort, fitted_on: str, endpoint: str = "dfs") -> ComparisonModels:
    """Fit the models that are compared with the nomogram; the nomogram's own terms are left out.

    Parameters
    ----------
    cohort : Cohort
        The training patients, with the scores that the nomogram is fitted on.
    fitted_on : str
        The cohort in words, for tables and figures.
    endpoint : str
        Which follow-up.

    Returns
    -------
    ComparisonModels
        With the reason of each that could not be fitted.
    """
    others = {name: specification for name, specification in COMPARED_MODELS.items() if name != NOMOGRAM}
    fitted, not_fitted = fit_compared_models(cohort, endpoint, others)
    return ComparisonModels(
        {name: fixed_model(model) for name, model in fitted.items()}, not_fitted, fitted_on, endpoint
    )


def write_comparison_models(models: ComparisonModels, nomogram_digest: str, folder: Path) -> Path:
    """Write the comparison models beside their nomogram, whole or not at all.

    Parameters
    ----------
    models : ComparisonModels
        Fitted on the nomogram's training cohort.
    nomogram_digest : str
        Of the nomogram in the same folder, with which they are read.
    folder : Path
        Exists.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    InputError
        It cannot be written.
    """
    path = folder / FILE_NAME
    document = {"nomogram": nomogram_digest, **models.to_json()}
    try:
        write_atomically(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"cannot write the comparison models into {folder}: {error.strerror}") from error
    return path


def read_comparison_models(folder: Path, nomogram_digest: str) -> ComparisonModels | None:
    """Read the comparison models of a nomogram.

    Parameters
    ----------
    folder : Path
        That of the nomogram.
    nomogram_digest : str
        Of the nomogram there.

    Returns
    -------
    ComparisonModels or None
        None where the folder has no such file, as with nomograms of earlier versions.

    Raises
    ------
    ModelBundleError
        The file is damaged, of a later schema, or belongs to another nomogram.
    """
    path = folder / FILE_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelBundleError(f"cannot read the comparison models {path}: {error}") from error
    try:
        if document["schema"] != SCHEMA:
            raise ModelBundleError(f"{path}: expected the schema {SCHEMA}, found {document['schema']!r}")
        if document["nomogram"] != nomogram_digest:
            raise ModelBundleError(
                f"{path}: expected comparison models of the nomogram {nomogram_digest}, found those of "
                f"{document['nomogram']}; fit the nomogram again, or remove this file"
            )
        return ComparisonModels(
            models={name: _model(name, each) for name, each in document["models"].items()},
            not_fitted=dict(document["not_fitted"]),
            fitted_on=str(document["fitted_on"]),
            endpoint=str(document["endpoint"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelBundleError(f"{path} has no comparison models: {type(error).__name__} {error}") from error


def _model(name: str, document: Mapping[str, Any]) -> ComparisonModel:
    def column(values: Any) -> FloatArray:
        return np.asarray(values, dtype=np.float64)

    model = ComparisonModel(
        name=name,
        terms=tuple(map(str, document["terms"])),
        arm=None if document["arm"] is None else TreatmentArm(document["arm"]),
        coefficients=column(document["coefficients"]),
        standard_errors=column(document["standard_errors"]),
        event_days=column(document["baseline"]["days"]),
        cumulative_hazard=column(document["baseline"]["cumulative_hazard"]),
        n=int(document["n"]),
        n_events=int(document["n_events"]),
        aic=float(document["aic"]),
    )
    # Lengths that differ would be found only when a cohort is evaluated, as an error of the arithmetic.
    if not len(model.terms) == len(model.coefficients) == len(model.standard_errors):
        raise ValueError(f"{name}: one coefficient and one standard error for each term")
    if model.event_days.shape != model.cumulative_hazard.shape or bool((np.diff(model.event_days) <= 0).any()):
        raise ValueError(f"{name}: one cumulative hazard for each of the ascending event days")
    return model
