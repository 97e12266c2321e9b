"""What is fitted on the evaluated cohort where it is asked for: univariate tests, stepwise selection, models.

Nothing here belongs to the tested nomogram; every result names the patients that it was fitted on.

References: Zhong et al., EBioMedicine 2021;70:103522, section 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.errors import InputError
from config.indication.vocabulary import TreatmentArm
from workers.survival.cohort import TRAINING, Cohort
from workers.survival.cox_models import (
    CPTDN_TERMS,
    CohortModel,
    FactorTest,
    complete_cases,
    design_matrix,
    fit_terms,
    model_to_json,
    univariate,
)
from workers.survival.proportional_hazards import ProportionalHazards, proportional_hazards_test
from workers.survival.stepwise import Selection, clinical_candidates, cptdn_candidates, stepwise_aic


@dataclass(frozen=True)
class Development:
    """Univariate tests, stepwise selections and comparison models on the training patients.

    Attributes
    ----------
    label : str
        ``training`` or ``all``.
    univariate : sequence of FactorTest
        Each factor alone and with the treatment.
    selections : mapping of str to Selection
        Stepwise searches by name.
    models : mapping of str to CohortModel
        Comparison models by name.
    proportional_hazards : ProportionalHazards or None
        Of the CPTDN fitted here.
    not_fitted : mapping of str to str
        What could not be fitted, with the reason.
    """

    label: str
    univariate: Sequence[FactorTest]
    selections: Mapping[str, Selection]
    models: Mapping[str, CohortModel]
    proportional_hazards: ProportionalHazards | None
    not_fitted: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON of ``--development``."""
        hazards = self.proportional_hazards
        return {
            "cohort": self.label,
            "fitted_on": "this cohort",
            "univariate": {test.factor: test.to_json() for test in self.univariate},
            "stepwise": {name: selection.to_json() for name, selection in self.selections.items()},
            "models": {name: model_to_json(model.fit) for name, model in self.models.items()},
            "proportional_hazards": {"p": hazards.p_by_term, "p_global": hazards.p_global} if hazards else None,
            "not_fitted": dict(self.not_fitted),
        }


def develop(
    training: Cohort, models: Mapping[str, CohortModel], not_fitted: Mapping[str, str], endpoint: str
) -> Development:
    """Fit what the paper's development section contains.

    Parameters
    ----------
    training : Cohort
        The patients to fit.
    models : mapping of str to CohortModel
        Comparison models that were fitted on them.
    not_fitted : mapping of str to str
        Those that could not be fitted, with the reason.
    endpoint : str
        Of the univariate tests and the stepwise searches.

    Returns
    -------
    Development
        With the reason of everything that could not be fitted.
    """
    searches: dict[str, tuple[Cohort, list[str]]] = {
        "clinical_all": (training, clinical_candidates(training)),
        # Zhong et al. 2021, section 2.5: the clinical models of one arm are selected within it.
        "clinical_ccrt": (training.arm(TreatmentArm.CCRT), clinical_candidates(training)),
        "clinical_ict_ccrt": (training.arm(TreatmentArm.ICT_CCRT), clinical_candidates(training)),
        "cptdn": (training, cptdn_candidates(training)),
    }
    selections: dict[str, Selection] = {}
    reasons = dict(not_fitted)
    for name, (part, candidates) in searches.items():
        try:
            selections[name] = stepwise_aic(part, candidates, endpoint)
        except InputError as error:
            reasons[f"stepwise {name}"] = str(error)
    hazards = None
    if "cptdn" in models:
        x = design_matrix(training, CPTDN_TERMS)
        complete = complete_cases(x)
        outcome = training.outcome("dfs").where(complete)
        # Fitted here, not taken from the nomogram: the test needs the rows of the fit.
        fit = fit_terms(training, CPTDN_TERMS)
        hazards = proportional_hazards_test(fit, x[complete], outcome.durations_days, outcome.event_observed)
    return Development(
        label=TRAINING if set(training.labels) == {TRAINING} else "all",
        univariate=univariate(training, endpoint),
        selections=selections,
        models=models,
        proportional_hazards=hazards,
        not_fitted=reasons,
    )
