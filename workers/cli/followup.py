"""`cptdn followup report`, beside the commands of the node that record follow-up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import InputError
from node.cli.context import ledger_of, print_json, print_table, settings_of
from node.cli.followup import app

if TYPE_CHECKING:
    from config.bundle_manifest import BundleManifest
    from node.workflow.followed_reports import ReportedPatient, ReportedPatients
    from workers.bundles.bundle import Bundle
    from workers.nomogram.model import CoxNomogram
    from workers.validation.follow_up.cohort import FollowedCohort
    from workers.validation.follow_up.evaluation import FollowUpEvaluation, PatientFlow
    from workers.validation.follow_up.observed_expected import Agreement
    from workers.validation.follow_up.recalibration import ProposedRecalibration

JSON_NAME = "follow_up.json"
__all__ = ["app", "report"]


@app.command()
def report(
    ctx: typer.Context,
    bundle: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="A name or a folder (default: the configured bundle).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write follow_up.html and follow_up.json into it.")
    ] = None,
    propose: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the proposed recalibration as a bundle revision; it is not activated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say how the patients of a bundle fared: agreement, observed and expected events, calibration, monitoring.

    Patients count whose report at the start of treatment came from this very bundle (by its digest). A chart that
    signals brings a proposed recalibration; `--propose` writes it as a bundle of its own, which names its parent and
    passes through the same admission.

    Example: cptdn followup report --bundle site-1 --out follow-up
    Example: cptdn followup report --bundle site-1 --propose bundles/site-1-recalibrated
    """
    from config.bundle_manifest import read_manifest
    from node.workflow.followed_reports import reported_patients
    from workers.nomogram.nomogram_file import nomogram_of_bundle
    from workers.validation.follow_up.evaluation import evaluate_follow_up
    from workers.validation.follow_up.page import write_page

    if propose is not None:
        from workers.bundles.revision import require_empty

        require_empty(propose)
    manifest = read_manifest(bundle or settings_of(ctx).model.bundle)
    with ledger_of(ctx).read() as session:
        reported = reported_patients(session, manifest.digest)
    flow, evaluated = _flow(reported)
    patients = _cohort(evaluated, nomogram_of_bundle(manifest)) if evaluated else None
    names = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
    evaluation = evaluate_follow_up(names, flow, _agreements(reported.patients), patients)
    revision = _written_revision(ctx, manifest, evaluation, propose) if propose is not None else None
    document = {**evaluation.to_json(), "proposed_bundle": revision}
    if out is not None:
        shown = None if revision is None else f"{revision['name']} {revision['version']} ({revision['digest']})"
        page = write_page(evaluation, out, shown)
        _write_json(out / JSON_NAME, document)
    if as_json:
        print_json(document)
        return
    _print(document)
    if out is not None:
        typer.echo(f"written: {page}")


def _flow(reported: ReportedPatients) -> tuple[PatientFlow, list[ReportedPatient]]:
    from node.workflow.followed_reports import why_not_evaluated
    from workers.validation.follow_up.evaluation import PatientFlow

    reasons = Counter(reason for patient in reported.patients if (reason := why_not_evaluated(patient)) is not None)
    evaluated = [patient for patient in reported.patients if why_not_evaluated(patient) is None]
    left_out = {**reported.left_out, **reasons}
    return (
        PatientFlow(reported.n_reported, len(reported.patients), len(evaluated), left_out, reported.other_bundles),
        evaluated,
    )


def _agreements(patients: tuple[ReportedPatient, ...]) -> tuple[Agreement, Agreement]:
    """Return the agreement of all with a recommendation whose regimen is known, and of those with a firm one.

    Where the report found no reliable difference, nothing was recommended that could be followed.
    """
    from workers.validation.follow_up.observed_expected import agreement

    known = [each for each in patients if each.regimen is not None and each.recommended_arm is not None]
    both = (known, [each for each in known if each.is_firm])
    all_, firm = (
        agreement([each.recommended_arm for each in some if each.recommended_arm],
                  [each.regimen for each in some if each.regimen])
        for some in both
    )  # fmt: skip
    return all_, firm


def _cohort(patients: list[ReportedPatient], nomogram: CoxNomogram) -> FollowedCohort:
    """Return the patients as arrays; every one has regimen, EBV DNA and outcome."""
    import numpy as np

    from config.indication.vocabulary import TreatmentArm
    from workers.survival.covariates import PatientCovariates
    from workers.validation.follow_up.cohort import followed_cohort

    outcomes = [each.outcome for each in patients if each.outcome is not None]
    covariates = PatientCovariates(
        np.array([each.age_years for each in patients]),
        np.array([float(each.ebv_above or 0) for each in patients]),
        np.array([each.prognostic_score for each in patients]),
        np.array([each.predictive_score for each in patients]),
    )
    return followed_cohort(
        nomogram,
        covariates,
        np.array([each.start.toordinal() for each in patients], dtype=np.int64),
        np.array([float(outcome.days) for outcome in outcomes]),
        np.array([outcome.event for outcome in outcomes]),
        np.array([each.regimen is TreatmentArm.ICT_CCRT for each in patients]),
        np.array([each.recommended_arm is TreatmentArm.ICT_CCRT for each in patients]),
        np.array([each.recommended_arm is not None for each in patients]),
    )


def _written_revision(
    ctx: typer.Context, manifest: BundleManifest, evaluation: FollowUpEvaluation, folder: Path
) -> dict[str, Any]:
    """Write the proposed recalibration as a bundle; return its name, version, digest, folder and admission."""
    from config.bundle_signature import trust_of
    from workers.bundles.bundle import load_bundle

    if evaluation.proposal is None or evaluation.patients is None:
        raise InputError(f"expected a signal of monitoring for a recalibration, found none: {evaluation.no_proposal}")
    parent = load_bundle(manifest.folder, trust_of(settings_of(ctx).model))
    revision = _revision(parent, evaluation, evaluation.patients, evaluation.proposal, folder)
    return {
        "name": revision.manifest.name,
        "version": revision.manifest.version,
        "digest": revision.digest,
        "folder": str(folder),
        "admission": revision.manifest.admission.state,
        "findings": revision.manifest.admission.to_json(),
    }


def _revision(
    parent: Bundle,
    evaluation: FollowUpEvaluation,
    patients: FollowedCohort,
    proposal: ProposedRecalibration,
    folder: Path,
) -> Bundle:
    from datetime import date

    from workers.bundles.revision import write_revision
    from workers.nomogram.mean_effect import mean_effects
    from workers.nomogram.recalibration import recalibrated
    from workers.validation.follow_up.evaluation import proposal_to_json
    from workers.validation.follow_up.recalibration import cross_fitted_figures

    last = date.fromordinal(int((patients.start_day + patients.days).max())).isoformat()
    source = f"{proposal.n} followed patients with {proposal.n_events} events, follow-up to {last}"
    change = proposal.recalibration
    lp = change.intercept + change.slope * patients.prognosis + change.effect_slope * patients.effect_received
    nomogram = recalibrated(parent.nomogram, change, source, float(lp.mean()))
    return write_revision(
        parent,
        nomogram,
        folder,
        f"{parent.manifest.version}-recalibrated-{last}",
        {**proposal_to_json(proposal), "patients": source, "parent_on_these_patients": dict(evaluation.performance)},
        {"follow_up": cross_fitted_figures(patients, proposal)},
        {"own": mean_effects(nomogram, patients.covariates)},
    )


def _write_json(path: Path, document: dict[str, Any]) -> None:
    import json

    from config.atomic_files import write_atomically

    try:
        write_atomically(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _print(document: dict[str, Any]) -> None:
    bundle, patients, agreement = document["bundle"], document["patients"], document["agreement"]["all"]
    typer.echo(f"{bundle['name']} {bundle['version']}   {bundle['digest']}")
    typer.echo(
        f"{patients['reported']} patients with a report, {patients['report_before_treatment']} before treatment began, "
        f"{patients['evaluated']} evaluated"
    )
    for reason, n in patients["left_out"].items():
        typer.echo(f"  left out: {n} {reason}")
    if agreement["share"] is not None:
        typer.echo(f"{agreement['followed']} of {agreement['of']} received the recommended regimen")
    if document["observed_expected"]:
        _print_figures(document)


def _print_figures(document: dict[str, Any]) -> None:
    print_table(
        ("group", "n", "observed", "expected", "ratio (95 %)"),
        [
            (
                row["group"], str(row["n"]), str(row["observed"]), f"{row['expected']:.1f}",
                f"{row['ratio']:.2f} ({row['ci95'][0]:.2f} to {row['ci95'][1]:.2f})" if row["ci95"] else "",
            )
            for row in document["observed_expected"]
        ],
    )  # fmt: skip
    monitoring = document["monitoring"]
    print_table(
        ("chart", "now", "limit", "signal", "change since"),
        [
            (name, f"{chart['value']:.2f}", f"{chart['limit']:.2f}", chart["signal"] or "none",
             chart["change_since"] or "")
            for name, chart in monitoring["charts"].items()
        ],
    )  # fmt: skip
    typer.echo(
        f"Chance of a false signal: {100 * monitoring['false_alarm_rate']:g} % within "
        f"{monitoring['per_expected_events']} expected events."
    )
    if proposal := document["recalibration"]:
        typer.echo(
            f"Proposed: hazard x {proposal['hazard_factor']:.2f}, slope {proposal['slope']['value']:.2f}, slope of the "
            f"effect {proposal['effect_slope']['value']:.2f}"
        )
    else:
        typer.echo(f"No recalibration is proposed: {document['no_recalibration_because']}.")
    if revision := document["proposed_bundle"]:
        typer.echo(f"written: {revision['folder']} ({revision['version']}, {revision['admission']}); not activated")
