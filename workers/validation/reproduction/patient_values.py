"""Who the patients are: table 1, follow-up, events, balance of the arms, differences between the cohorts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from config.indication.conventions import DAYS_PER_MONTH
from workers.survival.cohort import ENDPOINTS, TRAINING
from workers.validation.baseline_table import balance, compare_labels, follow_up, table_1
from workers.validation.group_tests import zhong_group_p
from workers.validation.reproduction.published_cohort import (
    CATEGORIES,
    COLUMNS,
    EXTERNAL,
    INTERNAL,
    PublishedCohort,
    Values,
)

_CALENDAR_MONTH_DAYS = 30.4375
_NO_FOLLOW_UP: Mapping[str, Any] = {"months": {}}


def table_values(published: PublishedCohort) -> Values:
    """Table 1 of each cohort, of all its patients."""
    for label, cohort in published.parts.items():
        table, prefix = table_1(cohort), f"table1.{label}"
        yield f"{prefix}.n", table["n"], {}
        for statistic in ("median", "min", "max"):
            yield f"{prefix}.age.{statistic}", table["age_years"][statistic], {}
        if "mean" in table.get("tumour_volume_ml", {}):
            for statistic in ("mean", "median", "sd"):
                yield f"{prefix}.tumor_volume_ml.{statistic}", table["tumour_volume_ml"][statistic], {}
        yield from _counted(f"{prefix}.treatment", table["treatment"], {"ccrt": "CCRT", "ict": "ICT+CCRT"}, len(cohort))
        if "sex" in table:
            yield from _counted(f"{prefix}.sex", table["sex"], {"male": "male", "female": "female"}, len(cohort))
        for factor, (no, yes) in CATEGORIES.items():
            row = table.get(COLUMNS[factor][0])
            if row is not None:
                yield from _counted(f"{prefix}.{factor}", row, {no: "no", yes: "yes"}, len(cohort))
                yield f"{prefix}.{factor}.unknown", row["unknown"], {}


def _counted(prefix: str, row: Mapping[str, Any], names: Mapping[str, str], n: int) -> Values:
    n_known = n - int(row["unknown"])
    for theirs, ours in names.items():
        count = row[ours]["n"]
        yield f"{prefix}.{theirs}.n", count, {}
        # The published script counts percentages over the patients whose value is known.
        percent = 100 * count / n_known if n_known else 0.0
        yield f"{prefix}.{theirs}.pct", percent, {"percentage of all patients, unknown ones included": 100 * count / n}


def follow_up_values(published: PublishedCohort) -> Values:
    """Follow-up for overall survival and the events of every endpoint."""
    for label, cohort in published.parts.items():
        times, table = follow_up(cohort) or _NO_FOLLOW_UP, table_1(cohort)
        for statistic, months in times["months"].items():
            reverse = times["reverse_kaplan_meier_months"][statistic]
            others = {"months of 30.4375 days": months * DAYS_PER_MONTH / _CALENDAR_MONTH_DAYS}
            if reverse is not None:
                others["reverse Kaplan-Meier estimate"] = reverse
            yield f"followup.{label}.os_months30.{statistic}", months, others
        for endpoint in [name for name in ENDPOINTS if name in table["events"]]:
            yield f"events.{label}.{endpoint.upper()}.n", table["events"][endpoint]["n"], {}
            if endpoint == "dfs":
                yield f"events.{label}.DFS.pct", table["events"]["dfs"]["percent"], {}


def balance_values(published: PublishedCohort) -> Values:
    """Difference of the arms in each factor, among the matched patients of centre 1 and of the other centres."""
    cohorts = {"centre1": published.whole(TRAINING, INTERNAL), EXTERNAL: published.whole(EXTERNAL)}
    for label, cohort in cohorts.items():
        if cohort is None:
            continue
        factors = {name: column for name, (column, _) in COLUMNS.items() if column in cohort.values}
        compared = {found.factor: found for found in balance(cohort, cohort.treated, list(factors.values()))}
        for name, column in factors.items():
            if column in compared:
                values = cohort.column(column)
                arms = [values[mask & ~np.isnan(values)] for mask in (cohort.treated, ~cohort.treated)]
                yield f"balance.{label}.{name}.p", compared[column].p, {_RULE: zhong_group_p(*arms)}
        yield f"balance.{label}.n_ict", int(cohort.treated.sum()), {}
        yield f"balance.{label}.n_ccrt", int((~cohort.treated).sum()), {}


_SITE_RULE = "chi-squared, Fisher below 5 expected,"
_RULE = "the test that the published script chooses (workers.validation.group_tests.zhong_group_p)"


def between_values(published: PublishedCohort) -> Values:
    """Difference of the three cohorts in each factor, the last column of table 1."""
    whole = published.whole(TRAINING, INTERNAL, EXTERNAL)
    if whole is None:
        return
    names = {
        **{name: column for name, (column, _) in COLUMNS.items()},
        "treatment": "treatment_ict",
        "DFS": "dfs_event",
    }
    site = compare_labels(whole, list(names.values()))
    columns = {**whole.values, "treatment_ict": whole.treated.astype(np.float64)}
    columns |= {f"{name}_event": outcome.event_observed.astype(np.float64) for name, outcome in whole.outcomes.items()}
    labels = np.array(whole.labels)
    for name, column in names.items():
        # Without factors that a cohort does not have, or whose value fewer than two of its patients have.
        if column in site:
            values = columns[column]
            groups = [values[(labels == label) & ~np.isnan(values)] for label in published.parts]
            yield f"between_cohorts.{name}.p", zhong_group_p(*groups), {_SITE_RULE: site[column]}
