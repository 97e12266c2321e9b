"""The type of an indication: what a model answers, for whom, and by which rule.

A model bundle carries the profile that it was fitted with in its manifest; a site's settings may not contradict it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.indication.vocabulary import Endpoint, SeriesRole, TreatmentArm


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageGate(_Part):
    """The clinical stage that the model was fitted on."""

    t: str = Field(pattern="^T(is|[0-4][a-d]?)$")
    n: str = Field(pattern="^N[0-3][a-c]?$")
    m: str = Field(pattern="^M[01][a-c]?$")
    edition: str = Field(pattern="^[1-9][0-9]?$")  # of AJCC/UICC

    @property
    def text(self) -> str:
        """The stage as it is written, for example ``T3N1M0``."""
        return f"{self.t}{self.n}{self.m}"


class Biomarker(_Part):
    """A laboratory value that enters the model as a category: above a threshold, or not."""

    name: str
    specimen: str
    unit: str
    threshold: float = Field(gt=0)  # in `unit`
    threshold_inclusive: bool = False  # True: a value equal to the threshold counts as above it


class DecisionRule(_Part):
    """The experimental arm is recommended where its survival at the horizon exceeds the other's by more than this."""

    horizon_months: int = Field(gt=0)
    threshold: float = Field(0.0, ge=-1, le=1)  # a difference of two probabilities


class Indication(_Part):
    """One disease and one treatment decision, as one value.

    Attributes
    ----------
    arms : pair of TreatmentArm
        First the arm with the added treatment, then the comparator; a difference is the first minus the second.
    series_roles : tuple of SeriesRole
        The series that a study must have, in the order in which people read them.
    feature_order : tuple of SeriesRole
        The order in which the networks' features are concatenated.
    endpoints : tuple of Endpoint
        All endpoints of a cohort, the primary one first.
    horizons_months : tuple of int
        When survival is reported, in months, ascending; the decision horizon is one of them.
    """

    name: str
    disease: str
    stage: StageGate
    arms: tuple[TreatmentArm, TreatmentArm]
    series_roles: tuple[SeriesRole, ...] = Field(min_length=1)
    feature_order: tuple[SeriesRole, ...]
    biomarker: Biomarker
    endpoints: tuple[Endpoint, ...] = Field(min_length=1)
    horizons_months: tuple[int, ...] = Field(min_length=1)
    decision: DecisionRule

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if set(self.feature_order) != set(self.series_roles):
            raise ValueError(f"expected feature_order to name {', '.join(self.series_roles)}, each once")
        if self.arms[0] == self.arms[1]:
            raise ValueError(f"expected two different arms, found {self.arms[0]} twice")
        # Reports and drawings place the columns in this order and take the last one as the end of the follow-up.
        if list(self.horizons_months) != sorted(set(self.horizons_months)) or self.horizons_months[0] <= 0:
            raise ValueError(f"expected ascending positive horizons_months, found {_listed(self.horizons_months)}")
        if self.decision.horizon_months not in self.horizons_months:
            raise ValueError(
                f"expected the decision horizon to be one of {_listed(self.horizons_months)}, "
                f"found {self.decision.horizon_months}"
            )
        return self

    def with_horizons(self, horizons_months: tuple[int, ...], decision_horizon_months: int) -> Self:
        """Return the same indication with other horizons, for a cohort of another follow-up.

        Parameters
        ----------
        horizons_months : tuple of int
            In months, ascending, > 0.
        decision_horizon_months : int
            One of them.

        Raises
        ------
        ValueError
            The horizons are not ascending and positive, or the decision horizon is not one of them.
        """
        decision = {**self.decision.model_dump(), "horizon_months": decision_horizon_months}
        content = {**self.model_dump(), "horizons_months": horizons_months, "decision": decision}
        try:
            return type(self).model_validate(content)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error

    @property
    def primary_endpoint(self) -> Endpoint:
        """The endpoint that the nomogram predicts."""
        return self.endpoints[0]

    @property
    def component_endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints that the networks predict one by one; the primary one is their maximum."""
        return self.endpoints[1:]

    @property
    def learned_endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints in the column order of the networks' outcomes: the components, then the primary one."""
        return (*self.component_endpoints, self.primary_endpoint)


def _listed(values: Iterable[int]) -> str:
    return ", ".join(map(str, values)) or "none"
