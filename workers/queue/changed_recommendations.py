"""What a bundle would change on the studies that this site has reported: scored in this process, nothing is recorded.

The patches of the reports are used where the bundle shares their preprocessing; otherwise the study is prepared from
its stored instances, as a computation would do it. Neither ledger nor reports are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.errors import IneligibleStudyError, InputError, ModelBundleError
from dicom_sr.report.json_form import dump
from node.cases.case_inputs import ComputeRequest
from node.ledger.reports import newest_reports
from node.ledger.tables import Job, Report
from workers.bundles.bundle import Bundle
from workers.pipeline.artefacts import load_measures, load_prepared_study
from workers.pipeline.computation import analyse_study, prepare_study
from workers.pipeline.context import WorkerContext
from workers.pipeline.prediction import predict_survival
from workers.pipeline.report_values import (
    draft_report,
    implausible_reasons,
    refuse_before_networks,
    refuse_out_of_distribution,
)
from workers.plausibility.measures import study_measures
from workers.queue.report_objects import artefact_folder, decision_policy, stored_files


@dataclass
class Changes:
    """What a bundle would change.

    Attributes
    ----------
    n_reported : int
        Studies of this site with a current report that has scores.
    n_compared : int
        Of these, the newest ones that were scored again.
    changed : list of dict
        ``study_instance_uid``, ``ebv_category``, ``before``, ``after`` of each recommendation that differs.
    newly_refused : list of dict
        ``study_instance_uid``, ``code``, ``text``.
    not_comparable : list of dict
        ``study_instance_uid``, ``text`` of studies whose images are no longer stored or that the bundle cannot answer
        for.
    """

    n_reported: int = 0
    n_compared: int = 0
    changed: list[dict[str, Any]] = field(default_factory=list)
    newly_refused: list[dict[str, Any]] = field(default_factory=list)
    not_comparable: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the form that `cptdn bundle activate --json` prints."""
        return dict(vars(self))

    @property
    def text(self) -> str:
        """One sentence for the operator."""
        if not self.n_reported:
            return "This site has reported no study yet, so no recommendation can change."
        n_studies = len({one["study_instance_uid"] for one in self.changed})
        parts = [
            f"{n_studies} of {self.n_compared} compared studies would get another recommendation",
            f"{len(self.newly_refused)} would be refused",
        ]
        if self.not_comparable:
            parts.append(f"{len(self.not_comparable)} could not be compared")
        return f"{', '.join(parts)} ({self.n_reported} studies are reported)."


def changed_recommendations(
    context: WorkerContext, bundle: Bundle, newest: int, progress: Callable[[int, int], None]
) -> Changes:
    """Score the newest reported studies with a bundle and compare the recommendations.

    Parameters
    ----------
    context : WorkerContext
        Settings, ledger and store; only read.
    bundle : Bundle
        The proposed one.
    newest : int
        At most so many studies, the latest reports first.
    progress : callable
        Called with finished and all studies.

    Returns
    -------
    Changes
        Counts and differences.
    """
    with context.ledger.read() as session:
        reports = [report for report in newest_reports(session) if report.result.get("scores")]
        chosen = [(report, session.get(Job, report.job_id)) for report in reports[:newest]]
    changes = Changes(n_reported=len(reports))
    for done, (report, job) in enumerate(chosen, 1):
        _compare(context, bundle, report, job, changes)
        progress(done, len(chosen))
    return changes


def _compare(context: WorkerContext, bundle: Bundle, report: Report, job: Job | None, changes: Changes) -> None:
    study = report.study_instance_uid
    try:
        if job is None:
            raise InputError("the inputs of its report are no longer recorded")
        after = _scenarios(context, bundle, job)
    except IneligibleStudyError as error:
        changes.n_compared += 1
        changes.newly_refused.append({"study_instance_uid": study, "code": error.code, "text": error.text})
    except (InputError, ModelBundleError, OSError) as error:
        changes.not_comparable.append({"study_instance_uid": study, "text": str(error)})
    else:
        changes.n_compared += 1
        changes.changed += list(_differences(study, report.result["scenarios"], after))


def _scenarios(context: WorkerContext, bundle: Bundle, job: Job) -> Sequence[dict[str, Any]]:
    """Return the scenarios that the bundle would report, as the ledger records them."""
    settings, request = context.settings, ComputeRequest.from_json(job.request)
    folder = artefact_folder(context, job, bundle)
    study = load_prepared_study(folder) or prepare_study(request, stored_files(context, request), bundle, settings.case)
    stops, questions = implausible_reasons(load_measures(folder) or study_measures(study), bundle)
    refuse_before_networks(study, stops, settings)
    policy = decision_policy(bundle, settings)
    analysis = analyse_study(study, bundle, settings.model.device, with_variants=policy.stability)
    refuse_out_of_distribution(analysis.out_of_distribution, settings)
    nomogram = predict_survival(analysis, request, bundle, policy)
    draft = draft_report(request, study, analysis, nomogram, bundle, policy, job.created_at, (*stops, *questions))
    scenarios: Sequence[dict[str, Any]] = dump(draft)["scenarios"]
    return scenarios


def _differences(
    study: str, before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    by_category = {scenario["ebv_category"]: scenario["recommendation"] for scenario in after}
    for scenario in before:
        category, was = scenario["ebv_category"], scenario["recommendation"]
        becomes = by_category.get(category, after[0]["recommendation"])
        if was != becomes:
            yield {"study_instance_uid": study, "ebv_category": category, "before": was, "after": becomes}
