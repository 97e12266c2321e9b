"""What an evaluation computes."""

from __future__ import annotations

from dataclasses import dataclass

from config.indication.conventions import DAYS_PER_MONTH
from config.indication.nasopharynx import NASOPHARYNX
from workers.nomogram.model import CoxNomogram
from workers.validation.propensity import ESTIMATE
from workers.validation.survival_comparison import HORIZONS_MONTHS

THRESHOLDS = (0.0, 0.02, 0.05)
RESAMPLES, FEWEST_RESAMPLES = 300, 100
PATIENTS_IN_RESAMPLES = 3_000_000
"""In all resamples together; 200,000 patients are then evaluated in minutes."""


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation computes.

    Attributes
    ----------
    endpoint : str
        ``dfs``, ``os``, ``dmfs`` or ``lrrfs``; calibration and net benefit exist for DFS only.
    horizons_months : tuple of float
        When survival and calibration are given.
    thresholds : tuple of float
        Fractions of DFS at the decision horizon from which ICT+CCRT is preferred.
    decision_horizon_months : float
        Horizon of the decision.
    subgroup_columns : tuple of str
        Columns whose values become subgroups.
    risk_cut : float, optional
        Total points above which the risk is high; None: the nomogram's own, the mean of its training patients.
    propensity : str
        How the probability of ICT+CCRT is known: ``estimate``, ``randomised`` or a column (see `propensity`).
    n_bootstrap : int, optional
        Resamples of the patients for the intervals; None: as many as `resamples_of` says.
    refit : bool
        Also fit the comparison models on this cohort, marked as such.
    development : bool
        Also univariate tests, interactions, stepwise selection, fitted on this cohort; includes `refit`.
    """

    endpoint: str = "dfs"
    horizons_months: tuple[float, ...] = HORIZONS_MONTHS
    thresholds: tuple[float, ...] = THRESHOLDS
    decision_horizon_months: float = float(NASOPHARYNX.decision.horizon_months)
    subgroup_columns: tuple[str, ...] = ()
    risk_cut: float | None = None
    propensity: str = ESTIMATE
    n_bootstrap: int | None = None
    refit: bool = False
    development: bool = False

    def risk_cut_of(self, nomogram: CoxNomogram) -> float:
        """Return the total points above which the risk is high."""
        return nomogram.mean_total_points if self.risk_cut is None else self.risk_cut

    def resamples_of(self, n: int) -> int:
        """Return how many resamples the intervals are from.

        Parameters
        ----------
        n : int
            Patients.

        Returns
        -------
        int
            What was asked for; else 300 up to 10,000 patients, and 100 at least beyond.
        """
        if self.n_bootstrap is not None:
            return self.n_bootstrap
        return min(RESAMPLES, max(FEWEST_RESAMPLES, PATIENTS_IN_RESAMPLES // n))

    @property
    def decision_days(self) -> float:
        """Horizon of the decision in days."""
        return self.decision_horizon_months * DAYS_PER_MONTH


USUAL_OPTIONS = EvaluationOptions()
