"""`cptdn worklist`: work items of requesters and of worklists, and the request to cancel one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.who_and_when import local_time, operating_user
from node.cli.context import known_states, ledger_of, print_json, print_table, record_about_studies

if TYPE_CHECKING:
    from node.ledger.work_item_tables import WorkItem

app = typer.Typer(help="Work items (UPS): list, show, cancel.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Uid = Annotated[str, typer.Argument(metavar="UID", help="SOP Instance UID of the work item.")]


def item_json(item: WorkItem) -> dict[str, Any]:
    """Return the form of a work item that `--json` prints.

    Parameters
    ----------
    item : WorkItem
        A row of the ledger.

    Returns
    -------
    dict
        JSON values; times in ISO 8601. Its Transaction UID is not among them.
    """
    return {
        "uid": item.uid,
        "worklist": item.worklist or None,
        "state": item.state,
        "study_instance_uid": item.study_instance_uid,
        "inputs": item.inputs,
        "progress": item.progress or None,
        "cancel_request": item.cancel_request,
        "ending": item.ending,
        "attempts": item.attempts,
        "error": item.error_text,
        "received_at": item.received_at.isoformat(),
        "claimed_at": item.claimed_at.isoformat() if item.claimed_at else None,
        "ended_at": item.ended_at.isoformat() if item.ended_at else None,
    }


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option("--state", help='Only these: SCHEDULED, "IN PROGRESS", COMPLETED, ...')
    ] = None,
    as_json: Json = False,
) -> None:
    """List work items, the newest first.

    TAKEN: another performer has it. LOST: its manager does not know it any more, or did not answer for too long.

    Example: cptdn worklist list --state "IN PROGRESS"
    """
    from node.ledger.work_item_machine import State
    from node.ledger.work_items import list_items

    states = known_states(state or (), tuple(State))
    with ledger_of(ctx).begin() as session:
        items = [item_json(item) for item in list_items(session, states)]
    if as_json:
        print_json(items)
        return
    rows = [
        (
            item["uid"],
            item["worklist"] or "created here",
            item["state"],
            item["study_instance_uid"] or "",
            item["error"] or (item["ending"] or {}).get("because") or (item["progress"] or {}).get("text") or "",
        )
        for item in items
    ]
    print_table(("work item", "from", "state", "study", "reason"), rows)


@app.command()
def show(ctx: typer.Context, uid: Uid, as_json: Json = False) -> None:
    """Show all values of one work item.

    Example: cptdn worklist show 1.2.840.99.1 --json
    """
    from node.ledger.work_items import get_item

    with ledger_of(ctx).begin() as session:
        item = get_item(session, uid)
        values = item_json(item)
        received = local_time(item.received_at)
    if as_json:
        print_json(values)
        return
    shown = {**values, "received_at": received}
    print_table(("", ""), [(key, "" if value is None else str(value)) for key, value in shown.items()])


@app.command()
def cancel(
    ctx: typer.Context,
    uid: Uid,
    because: Annotated[str, typer.Option(help="The reason; who requested the work item gets it.")],
    as_json: Json = False,
) -> None:
    """Cancel a work item whose computation has not ended; the study itself goes on.

    Example: cptdn worklist cancel 1.2.840.99.1 --because "wrong study"
    """
    from config.errors import InputError
    from node.ledger.work_item_machine import OPEN_STATES
    from node.ledger.work_items import get_item, request_cancel

    with ledger_of(ctx).begin() as session:
        item = get_item(session, uid)
        if item.state not in OPEN_STATES or item.ending is not None:
            state = item.state if item.ending is None else item.ending["state"]
            raise InputError(f"expected a work item that has not ended, found it {state}: it stays as it is")
        request_cancel(item, {"because": because.strip(), "code": None}, operating_user())
        studies = [item.study_instance_uid] if item.study_instance_uid else []
    record_about_studies(ctx, "worklist cancel", studies)
    if as_json:
        print_json({"uid": uid, "cancel_requested": True})
    else:
        typer.echo(f"{uid}: its cancellation is requested; `cptdn worklist show {uid}` says how it ends")
