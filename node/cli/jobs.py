"""`cptdn jobs`: list, watch, retry and cancel computations and deliveries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.messages.message import message
from config.who_and_when import local_time
from node.cli.context import known_states, ledger_of, print_json, print_table, record_about_studies

if TYPE_CHECKING:
    from node.ledger.tables import Delivery, Job

JobIds = Annotated[list[str], typer.Argument(metavar="JOB...")]

app = typer.Typer(help="Computations and deliveries: list, watch, retry, cancel.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def job_json(job: Job) -> dict[str, Any]:
    """Return the form of a job that `--json` prints.

    Parameters
    ----------
    job : Job
        A row of the ledger.

    Returns
    -------
    dict
        JSON values; times in ISO 8601, durations in seconds by step.
    """
    from node.ledger.withdrawals import is_withdrawal

    return {
        "id": job.id,
        "study_instance_uid": job.study_instance_uid,
        "state": job.state,
        "step": job.step,
        "bundle": job.bundle,
        "send": job.send,
        "kind": "withdraw" if is_withdrawal(job) else "compute" if job.send else "compare",
        "attempts": job.attempts,
        "error": {"code": job.error_code, "text": job.error} if job.error_code else None,
        "seconds": job.seconds,
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
    }


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Return the form of a delivery that `--json` prints; `jobs show` and `jobs retry` take its id.

    Parameters
    ----------
    delivery : Delivery
        A row of the ledger.

    Returns
    -------
    dict
        JSON values; times in ISO 8601.
    """
    return {
        "id": f"delivery-{delivery.id}",
        "report_id": delivery.report_id,
        "pacs": delivery.pacs,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "not_before": delivery.not_before.isoformat(),
        "sent_at": delivery.sent_at.isoformat() if delivery.sent_at else None,
        "committed_at": delivery.committed_at.isoformat() if delivery.committed_at else None,
        "error": delivery.error,
        "objects": delivery.objects,
    }


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only these: queued, running, done, failed, pending, dead, ...")
    ] = None,
    as_json: Json = False,
) -> None:
    """List computations, and the deliveries that are not finished.

    Example: cptdn jobs list --state failed
    """
    from node.ledger.deliveries import STATES as DELIVERY_STATES
    from node.ledger.deliveries import list_deliveries
    from node.ledger.jobs import STATES, list_jobs

    states = known_states(state or (), tuple(dict.fromkeys((*STATES, *DELIVERY_STATES))))
    with ledger_of(ctx).read() as session:
        jobs = [job_json(job) for job in list_jobs(session, states)]
        deliveries = [delivery_json(row) for row in list_deliveries(session, states)]
    if as_json:
        print_json({"jobs": jobs, "deliveries": deliveries})
        return
    rows = [
        (
            j["id"],
            j["kind"],
            j["study_instance_uid"],
            j["state"],
            j["step"],
            (j["error"] or {}).get("text") or "",
        )
        for j in jobs
    ]
    rows += [
        (d["id"], "deliver", f"to {d['pacs']}", d["state"], str(d["attempts"]), d["error"] or "") for d in deliveries
    ]
    print_table(("job", "kind", "study", "state", "step", "reason"), rows)


@app.command()
def show(ctx: typer.Context, job_id: Annotated[str, typer.Argument(metavar="JOB")], as_json: Json = False) -> None:
    """Show all values of one computation or delivery.

    Example: cptdn jobs show 0f8fad5b-d9cb-469f-a165-70867728950e --json
    """
    from node.ledger.deliveries import get_delivery
    from node.ledger.jobs import get_job

    number = _delivery_number(job_id)
    with ledger_of(ctx).read() as session:
        values = job_json(get_job(session, job_id)) if number is None else delivery_json(get_delivery(session, number))
    if as_json:
        print_json(values)
        return
    print_table(("", ""), [(key, str(value)) for key, value in values.items()])


@app.command()
def watch(
    ctx: typer.Context,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two queries.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Follow all computations until none is queued or running (Ctrl-C stops the command alone).

    With --json, all jobs that were followed are printed at the end.

    Example: cptdn jobs watch
    """
    from node.ledger.jobs import ACTIVE, list_jobs

    ledger = ledger_of(ctx)
    seen: dict[str, tuple[str, str]] = {}
    while True:
        with ledger.read() as session:
            jobs = list_jobs(session, limit=200)
            # Jobs that ended between two queries are followed to their last state, too.
            followed = [job for job in reversed(jobs) if job.state in ACTIVE or job.id in seen]
            for job in followed:
                now = (job.state, job.step)
                if seen.get(job.id) != now and not as_json:
                    reason = f": {job.error_text}" if job.error_text else ""
                    typer.echo(
                        f"{local_time(job.updated_at)}  {job.study_instance_uid}  {job.state} {job.step}{reason}"
                    )
                seen[job.id] = now
            if not any(job.state in ACTIVE for job in jobs):
                break
        time.sleep(interval)
    if as_json:
        print_json([job_json(job) for job in followed])


@app.command()
def retry(ctx: typer.Context, job_ids: JobIds, as_json: Json = False) -> None:
    """Try failed computations or dead deliveries again.

    Example: cptdn jobs retry delivery-12
    """
    from node.ledger.deliveries import get_delivery
    from node.ledger.jobs import get_job
    from node.ledger.reports import subject_of
    from node.workflow.decisions import retry_delivery, retry_job

    studies = []
    with ledger_of(ctx).begin() as session:
        for job_id in job_ids:
            number = _delivery_number(job_id)
            if number is None:
                retry_job(session, job_id)
                studies.append(get_job(session, job_id).study_instance_uid)
            else:
                retry_delivery(session, number)
                studies.append(subject_of(session, get_delivery(session, number).report_id)[0])
    record_about_studies(ctx, "jobs retry", studies)
    _print_states(as_json, job_ids, "queued")


@app.command()
def cancel(
    ctx: typer.Context,
    job_ids: JobIds,
    because: Annotated[str, typer.Option(help="The reason, kept in the history.")] = "by the administrator",
    as_json: Json = False,
) -> None:
    """Cancel computations that are not finished; the study itself remains.

    Example: cptdn jobs cancel 0f8fad5b-d9cb-469f-a165-70867728950e --because "wrong contour"
    """
    from node.ledger.cases import get_case, set_state
    from node.ledger.jobs import cancel as cancel_job

    studies = []
    with ledger_of(ctx).begin() as session:
        for job_id in job_ids:
            job = cancel_job(session, job_id, because)
            studies.append(job.study_instance_uid)
            if job.send:
                reason = {"code": "cancelled", "text": message("cancelled.because", because=because)}
                set_state(session, get_case(session, job.study_instance_uid), "failed", [reason])
    record_about_studies(ctx, "jobs cancel", studies)
    _print_states(as_json, job_ids, "cancelled")


def _delivery_number(job_id: str) -> int | None:
    prefix, _, number = job_id.partition("-")
    return int(number) if prefix == "delivery" and number.isdigit() else None


def _print_states(as_json: bool, job_ids: list[str], state: str) -> None:
    if as_json:
        print_json([{"id": job_id, "state": state} for job_id in job_ids])
    else:
        for job_id in job_ids:
            typer.echo(f"{job_id}: {state}")
