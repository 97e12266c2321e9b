"""Tables of the decision page: policy values, calibration of the benefit, restricted means, what was assumed."""

from __future__ import annotations

from workers.validation.benefit import GAINS, POLICIES, Benefit
from workers.validation.benefit_figures import ESTIMATES
from workers.validation.display_text import interval_text
from workers.validation.estimates import Figure
from workers.validation.report_table import ReportTable

CALIBRATION = {
    "slope": "calibration slope of the benefit (1 is ideal, 0: the prediction says nothing)",
    "intercept": "calibration intercept of the benefit (0 is ideal)",
    "mean_predicted": "mean predicted difference, ICT+CCRT minus CCRT",
    "mean_observed": "mean observed difference (doubly robust)",
}
E_NAMES = {"mean": "E-for-benefit, mean", "median": "E-for-benefit, median", "q90": "E-for-benefit, 90 % quantile"}


def figure_text(figure: Figure, decimals: int = 3) -> str:
    """Return an estimate with its interval for a table cell.

    Parameters
    ----------
    figure : Figure
        With or without value and interval.
    decimals : int
        Of all numbers.

    Returns
    -------
    str
        ``0.210 (0.110 to 0.380)``, or ``not estimable``.
    """
    if figure.value is None:
        return "not estimable"
    return interval_text(figure.value, figure.ci95, decimals) if figure.ci95 else f"{figure.value:.{decimals}f}"


def benefit_tables(label: str, benefit: Benefit) -> list[ReportTable]:
    """Return the tables of the decision page of one set of patients.

    Parameters
    ----------
    label : str
        Name of the part, for the captions.
    benefit : Benefit
        Its results.

    Returns
    -------
    list of ReportTable
        Policy values, calibration, groups, restricted means.
    """
    counts = f"n = {benefit.n}, {benefit.n_events} events by {benefit.horizon_months:g} months"
    known = f"n = {benefit.n_with_gain} whose predicted difference is known"
    policies = [[name, *(figure_text(benefit.values[each][name]) for each in ESTIMATES)] for name in POLICIES + GAINS]
    calibration = [["c-for-benefit (0.5: the prediction says nothing)", figure_text(benefit.c_for_benefit)]]
    calibration += [[text, figure_text(benefit.calibration[name])] for name, text in CALIBRATION.items()]
    calibration += [[text, figure_text(benefit.e_for_benefit[name])] for name, text in E_NAMES.items()]
    groups = [
        [str(at), str(g.n), str(g.n_ict), str(g.n_events), f"{g.predicted:+.3f}", figure_text(g.observed)]
        for at, g in enumerate(benefit.groups, start=1)
    ]
    months = [[name, figure_text(figure, 1)] for name, figure in benefit.restricted_means.items()]
    survival = f"disease-free survival at {benefit.horizon_months:g} months (95 % CI)"
    return [
        ReportTable(
            f"Value of treatment policies, {label}: {survival}; {counts}",
            ("Policy", *ESTIMATES.values()),
            policies,
        ),
        ReportTable(f"Calibration of the predicted benefit, {label}: {known}", ("", "estimate (95 % CI)"), calibration),
        ReportTable(
            f"Predicted and observed difference by quarters, {label}: {known}",
            ("Quarter", "n", "ICT+CCRT", "events", "predicted", "observed (95 % CI)"),
            groups,
        ),
        ReportTable(
            f"Mean disease-free months, {label}: within {benefit.horizon_months:g} months; {counts}",
            ("Regimen", "months (95 % CI)"),
            months,
        ),
    ]
