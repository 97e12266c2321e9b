"""What the commands say about the admission of a bundle and its agreement with randomised trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from config.bundle_manifest import BundleManifest
    from config.settings import Settings
    from config.trial_evidence import TrialEvidence
    from workers.bundles.bundle import Bundle
    from workers.queue.changed_recommendations import Changes


def admission_to_json(manifest: BundleManifest, evidence: TrialEvidence) -> dict[str, Any]:
    """Return the verdict over a bundle.

    Parameters
    ----------
    manifest : BundleManifest
        The bundle.
    evidence : TrialEvidence
        The site's table of trials.

    Returns
    -------
    dict
        ``state``, ``basis``, ``refused``, ``marked``, ``demonstration_signs``, and ``trial_evidence`` with state, text
        and the date of the table.
    """
    from config.bundle_origin import demonstration_signs
    from config.trial_evidence import compare_with_trials

    admission, verdict = manifest.admission, compare_with_trials(manifest.content, evidence)
    return {
        "state": admission.state,
        "basis": admission.basis,
        **admission.to_json(),
        "demonstration_signs": list(demonstration_signs(manifest.content)),
        "trial_evidence": {"state": verdict.state.value, "text": verdict.text, "updated": evidence.updated},
    }


def print_admission(manifest: BundleManifest, evidence: TrialEvidence) -> None:
    """Print verdict, reasons and the comparison with trials, one a line."""
    document = admission_to_json(manifest, evidence)
    typer.echo(f"Admission: {document['state']}. {document['basis']}")
    for severity in ("refused", "marked"):
        for finding in document[severity]:
            typer.echo(f"  {severity}: {finding['text']} [{finding['code']}]")
    for sign in document["demonstration_signs"]:
        typer.echo(f"  demonstration: {sign}")
    trials = document["trial_evidence"]
    typer.echo(f"Randomised trials (table of {trials['updated']}): {trials['text']}")


def disagreement_with_trials(manifest: BundleManifest, evidence: TrialEvidence) -> str | None:
    """Return the sentence that somebody has to acknowledge before an activation; None for a bundle that agrees."""
    from config.indication.vocabulary import ConditionState
    from config.trial_evidence import compare_with_trials

    verdict = compare_with_trials(manifest.content, evidence)
    return verdict.text if verdict.state is ConditionState.NOT_MET else None


def activation_reason(manifest: BundleManifest, disagreement: str | None, because: str | None) -> str | None:
    """Return the reason that an activation records; None for a bundle that needs none.

    Parameters
    ----------
    manifest : BundleManifest
        Of the bundle that is to be activated.
    disagreement : str or None
        As of `disagreement_with_trials`.
    because : str or None
        What the operator gave.

    Raises
    ------
    ModelBundleError
        The bundle disagrees with the trials, was not measured or misses the stated rates, and no reason was given; the
        message names all of it, since one reason acknowledges all.
    """
    from config.errors import ModelBundleError
    from workers.cli.hostile import required_reason

    try:
        reason = required_reason(manifest, because)
    except ModelBundleError as error:
        raise ModelBundleError(f"{error}. {disagreement}" if disagreement else str(error)) from error
    if disagreement and reason is None:
        raise ModelBundleError(
            f"the bundle {manifest.name} needs an acknowledgement: {disagreement} Give a reason with --because TEXT."
        )
    return reason


def has_ledger(settings: Settings) -> bool:
    """Return whether this site has a ledger: a command that only looks makes none."""
    from sqlalchemy.engine import make_url

    database = make_url(settings.ledger.url or "")
    return database.get_backend_name() != "sqlite" or Path(database.database or "").is_file()


def reported_changes(settings: Settings, bundle: Bundle, newest: int) -> Changes:
    """Score the newest reported studies of this site with a bundle, with a progress bar; nothing is recorded.

    Parameters
    ----------
    settings : Settings
        Ledger, storage and rules.
    bundle : Bundle
        The proposed one.
    newest : int
        Largest number of studies.

    Returns
    -------
    Changes
        Without any study where this site has no ledger yet.
    """
    from node.cli.progress import stages
    from node.ledger.database import open_ledger
    from workers.pipeline.context import WorkerContext
    from workers.queue.changed_recommendations import Changes, changed_recommendations

    if not has_ledger(settings):
        return Changes()  # opening it would make one
    open_ledger(settings.ledger.url or "").close()  # brings the schema up to date, as every command does
    context = WorkerContext(settings)
    with stages({"compared": 10}) as report_progress:
        return changed_recommendations(
            context, bundle, newest, lambda done, total: report_progress("compared", done, total, "")
        )
