"""`cptdn quarantine`: files that were kept aside, and settling them."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.context import ledger_of, print_json, print_table, record_about_studies

app = typer.Typer(help="Files that were not accepted, with their reasons; settle those that hold a case.")


@app.command("list")
def list_(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
) -> None:
    """What was kept aside, the newest first.

    Example: cptdn quarantine list
    """
    from node.ledger.instances import list_quarantined

    with ledger_of(ctx).begin() as session:
        found = [
            {
                "number": row.id,
                "code": row.code,
                "text": row.text,
                "study_instance_uid": row.study_instance_uid,
                "sop_instance_uid": row.sop_instance_uid,
                "path": row.path,
                "calling_ae": row.calling_ae,
                "received_at": row.received_at.isoformat(),
                "dismissed_because": row.dismissed_because,
            }
            for row in list_quarantined(session)
        ]
    if as_json:
        print_json(found)
        return
    print_table(
        ("number", "from", "reason", "study", "settled"),
        [
            (
                str(one["number"]),
                str(one["calling_ae"]),
                str(one["text"]),
                str(one["study_instance_uid"] or ""),
                str(one["dismissed_because"] or "no"),
            )
            for one in found
        ],
    )


@app.command()
def dismiss(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `cptdn quarantine list` shows it.")],
    because: Annotated[str, typer.Option(help="The reason, kept in the history of the study.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Decide that a file kept aside does not matter: what is stored counts, and its study is looked at again.

    Example: cptdn quarantine dismiss 3 --because "a resend with a corrected name; the images are the same"
    """
    from node.ledger.cases import record, schedule_assessment
    from node.ledger.instances import dismiss_quarantined

    with ledger_of(ctx).begin() as session:
        entry = dismiss_quarantined(session, number, because)
        if entry.study_instance_uid is not None:
            text = f"File {number} in quarantine was dismissed: {because}"
            record(session, entry.study_instance_uid, "dismissed", text, actor="administrator")
            schedule_assessment(session, entry.study_instance_uid)
    record_about_studies(ctx, "quarantine dismiss", [entry.study_instance_uid or ""])
    if as_json:
        print_json({"number": number, "dismissed_because": because})
    else:
        typer.echo(f"File {number} is dismissed; it stays in quarantine.")
