"""Everything that is said about the followed patients of a bundle, as values and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.vocabulary import TreatmentArm
from workers.validation.calibration import Calibration, calibrate
from workers.validation.follow_up.cohort import FollowedCohort
from workers.validation.follow_up.cusum import (
    FALSE_ALARM_RATE,
    HAZARD_RATIO,
    PER_EVENTS,
    Chart,
    Monitoring,
    expected_until,
    monitor,
)
from workers.validation.follow_up.observed_expected import (
    Agreement,
    ObservedExpected,
    observed_expected,
)
from workers.validation.follow_up.recalibration import ProposedRecalibration, propose_recalibration
from workers.validation.unseen_performance import unseen_performance

EARLY_MONTHS = (12, 24)  # besides the horizons of the nomogram, which the first years do not reach
FEWEST_BEYOND = 20  # patients followed to a horizon; with fewer the Kaplan-Meier estimate there is hardly one
GROUPS = 3


@dataclass(frozen=True)
class PatientFlow:
    """Who is in the evaluation.

    Attributes
    ----------
    n_reported : int
        Patients with a report of the bundle.
    n_decided : int
        Those whose report was there when treatment began.
    n_evaluated : int
        Those with regimen, EBV DNA and follow-up.
    left_out, other_bundles : mapping of str to int
        Patients by reason; patients whose report came from another bundle.
    """

    n_reported: int
    n_decided: int
    n_evaluated: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    other_bundles: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers.

        Returns
        -------
        dict
            As under ``patients`` of ``cptdn followup report --json``.
        """
        return {
            "reported": self.n_reported, "report_before_treatment": self.n_decided, "evaluated": self.n_evaluated,
            "left_out": dict(self.left_out), "other_bundles": dict(self.other_bundles),
        }  # fmt: skip


@dataclass(frozen=True)
class FollowUpEvaluation:
    """The report.

    Attributes
    ----------
    bundle : mapping
        Name, version, digest.
    agreement, firm_agreement : Agreement
        Of all whose regimen is known, and of those to whom a regimen was advised for certain.
    patients : FollowedCohort or None
        None where no patient can be evaluated; the further figures are then empty.
    performance : dict
        As of `unseen_performance`.
    calibration : mapping of int to Calibration
        By month.
    monitoring : Monitoring or None
        The charts.
    proposal : ProposedRecalibration or None
        None where nothing has signalled, or `no_proposal` says why there is none.
    """

    bundle: Mapping[str, str]
    flow: PatientFlow
    agreement: Agreement
    firm_agreement: Agreement
    patients: FollowedCohort | None = None
    groups: tuple[ObservedExpected, ...] = ()
    performance: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[int, Calibration] = field(default_factory=dict)
    monitoring: Monitoring | None = None
    proposal: ProposedRecalibration | None = None
    no_proposal: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``cptdn followup report --json``.

        Returns
        -------
        dict
            Keys without a value yet are there with null or empty.
        """
        return {
            "bundle": dict(self.bundle),
            "patients": self.flow.to_json(),
            "agreement": {"all": self.agreement.to_json(), "firm": self.firm_agreement.to_json()},
            "observed_expected": [group.to_json() for group in self.groups],
            "calibration": dict(self.performance),
            "calibration_groups": {
                str(month): [group.to_json() for group in calibration.groups]
                for month, calibration in self.calibration.items()
            },
            "monitoring": None if self.monitoring is None else monitoring_to_json(self.monitoring, self.patients),
            "recalibration": None if self.proposal is None else proposal_to_json(self.proposal),
            "no_recalibration_because": self.no_proposal or None,
        }


def evaluate_follow_up(
    bundle: Mapping[str, str],
    flow: PatientFlow,
    agreements: tuple[Agreement, Agreement],
    patients: FollowedCohort | None,
    n_bootstrap: int = 100,
) -> FollowUpEvaluation:
    """Evaluate the followed patients of a bundle.

    Parameters
    ----------
    bundle : mapping
        Name, version and digest, for the report.
    flow : PatientFlow
        Who is evaluated.
    agreements : pair of Agreement
        Of all, and of firm recommendations.
    patients : FollowedCohort or None
        None without any.
    n_bootstrap : int
        Resamples for the intervals of calibration.

    Returns
    -------
    FollowUpEvaluation
        Equal arguments give an equal one.
    """
    if patients is None or not len(patients):
        return FollowUpEvaluation(bundle, flow, *agreements, no_proposal="no patient can be evaluated")
    months = _months(patients)
    survival = {month: _survival(patients, month) for month in months}
    # Without a horizon that anybody reached there are still the slope and the C-index, which need none.
    decision = months[-1] if months else EARLY_MONTHS[0]
    performance = unseen_performance(
        patients.risk, survival or {decision: _survival(patients, decision)}, patients.days, patients.event,
        patients.treated, n_bootstrap=n_bootstrap, decision_month=decision,
    )  # fmt: skip
    monitoring = monitor(patients)
    proposal, reason = _proposal(patients, monitoring)
    return FollowUpEvaluation(
        bundle,
        flow,
        *agreements,
        patients=patients,
        groups=tuple(observed_expected(patients)),
        performance={**performance, "months": list(months), "intercept_month": decision},
        calibration={
            month: calibrate(survival[month], patients.outcome, month * DAYS_PER_MONTH, GROUPS) for month in months
        },
        monitoring=monitoring,
        proposal=proposal,
        no_proposal=reason,
    )


def _proposal(patients: FollowedCohort, monitoring: Monitoring) -> tuple[ProposedRecalibration | None, str]:
    if not monitoring.detected:
        return None, "no chart has signalled"
    try:
        return propose_recalibration(patients, monitoring), ""
    except InputError as error:
        return None, str(error)


def _months(patients: FollowedCohort) -> list[int]:
    last = float(patients.nomogram.event_days[-1])
    months = sorted({*EARLY_MONTHS, *patients.nomogram.indication.horizons_months})
    return [
        month
        for month in months
        if month * DAYS_PER_MONTH < last
        and (patients.days >= month * DAYS_PER_MONTH).sum() >= FEWEST_BEYOND
        and (patients.event & (patients.days <= month * DAYS_PER_MONTH)).any()
    ]


def _survival(patients: FollowedCohort, month: int) -> Any:
    by_arm = patients.nomogram.dfs_by_arm(patients.covariates, [month])
    return np.where(patients.treated, by_arm[TreatmentArm.ICT_CCRT][:, 0], by_arm[TreatmentArm.CCRT][:, 0])


def monitoring_to_json(monitoring: Monitoring, patients: FollowedCohort | None) -> dict[str, Any]:
    """Return limits, present values and signals; days are ISO 8601.

    Parameters
    ----------
    monitoring : Monitoring
        The charts.
    patients : FollowedCohort or None
        Of the same report; with them each signal says after how many expected events it came.
    """
    return {
        "false_alarm_rate": 2 * FALSE_ALARM_RATE,
        "per_expected_events": PER_EVENTS,
        "hazard_ratio": HAZARD_RATIO,
        "detected": monitoring.detected,
        "charts": {chart.name: _chart_to_json(chart, patients) for chart in monitoring.charts},
    }


def _chart_to_json(chart: Chart, patients: FollowedCohort | None) -> dict[str, Any]:
    at = None
    if chart.signal_day is not None and patients is not None:
        at = round(float(expected_until(patients, np.array([chart.signal_day]))[0]), 1)
    return {
        "value": round(float(chart.value[-1]), 3),
        "limit": round(chart.limit, 3),
        "signal": _iso(chart.signal_day),
        "change_since": _iso(chart.change_day),
        "expected_events_at_signal": at,
    }


def proposal_to_json(proposal: ProposedRecalibration) -> dict[str, Any]:
    """Return the three numbers of a recalibration and what they rest on.

    Returns
    -------
    dict
        As under ``recalibration`` of ``cptdn followup report --json``; ``since`` is ISO 8601 or None.
    """
    return {
        **proposal.recalibration.to_json(),
        "n": proposal.n,
        "n_events": proposal.n_events,
        "n_events_since": proposal.n_events_since,
        "since": _iso(proposal.since_day),
        "slope_p": proposal.slope_p,
        "estimated_effect_slope": proposal.estimated_effect_slope,
    }


def _iso(day: int | None) -> str | None:
    return None if day is None else date.fromordinal(day).isoformat()
