"""What a computation of many studies would change in their current reports, before anything is sent.

As a comparison of bundles, but with the reports as they are on one side: they may be of other inputs, of another bundle
or of an earlier version of the program.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from config.settings import Settings
from node.ledger.cases import get_case
from node.ledger.database import Ledger
from node.ledger.reports import current_report
from node.ledger.tables import Report
from node.workflow.casework import evaluate_case
from node.workflow.comparison import BundleResult, ComparedStudy, Comparison, PendingStudy, compared_study
from node.workflow.comparison_summary import summarise
from node.workflow.digests import computation_digest


class ReportChanges(Comparison):
    """Comparison of the current reports with what one bundle would report now."""

    def __init__(self, ledger: Ledger, settings: Settings, bundle: str) -> None:
        super().__init__(ledger, settings, bundle, bundle)

    def _start(self, study: str, timeout_s: float) -> ComparedStudy | PendingStudy:
        manifest = self.manifests[1]
        with self.ledger.begin() as session:
            # All facts, as for a computation that a person orders.
            assessment = evaluate_case(session, self.settings, get_case(session, study), self.after, True)
            report = current_report(session, study)
            before, request = _result_of_report(report), assessment.request
            if request is None:
                return ComparedStudy(study, reasons=assessment.reasons)
            digest = request.digest()
            after: BundleResult | str | None
            if report and report.computation == computation_digest(digest, manifest.digest, self.settings.report):
                after = before
            elif request.refusals:
                after = BundleResult("refused", None, request.refusals[0]["code"], request.refusals[0]["text"])
            else:
                after = self._result_or_job(session, study, request, self.after, manifest)
        pending = PendingStudy(study, [before, after], time.monotonic() + timeout_s)
        return pending if pending.job_ids() else compared_study(pending)


def _result_of_report(report: Report | None) -> BundleResult | None:
    if report is None:
        return None
    if report.result.get("scores") and report.result.get("scenarios"):
        return BundleResult("scored", report.result)
    refusal: Mapping[str, str] = next(iter(report.result.get("refusals") or ()), {})
    return BundleResult("refused", None, refusal.get("code"), refusal.get("text"))


def summarise_changes(compared: Sequence[ComparedStudy]) -> dict[str, Any]:
    """Summarise what would change.

    Parameters
    ----------
    compared : sequence of ComparedStudy
        All studies, the current report as ``before``.

    Returns
    -------
    dict
        ``n``; recommendation_changed, newly_refused, newly_scored and failed as `summarise` returns them;
        ``first_reports`` and ``not_computable``: Study Instance UIDs.
    """
    reported = [study for study in compared if study.before is not None]
    others = [study for study in compared if study.before is None]
    summary = summarise(reported)
    failed = [study for study in others if study.after is not None and study.after.kind == "failed"]
    return {
        "n": len(compared),
        **{key: summary[key] for key in ("recommendation_changed", "newly_refused", "newly_scored")},
        "first_reports": [s.study_instance_uid for s in others if s.after is not None and s not in failed],
        "failed": [*summary["failed"], *summarise(failed)["failed"]],
        "not_computable": [study.study_instance_uid for study in others if study.after is None],
    }
