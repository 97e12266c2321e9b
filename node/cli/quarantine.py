"""`cptdn quarantine`: list quarantined files, and dismiss those that do not matter."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.context import ledger_of, print_json, print_table, record_about_studies

app = typer.Typer(help="Quarantined files, with their reasons; dismiss those that hold a case.")


@app.command("list")
def list_(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
) -> None:
    """List quarantined files, the newest first.

    Example: cptdn quarantine list
    """
    from node.ledger.instances import list_quarantined

    with ledger_of(ctx).begin() as session:
        files = [
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
        print_json(files)
        return
    print_table(
        ("number", "from", "reason", "object", "study", "dismissed"),
        [
            (
                str(file["number"]),
                str(file["calling_ae"]),
                str(file["text"]),
                str(file["sop_instance_uid"]),
                str(file["study_instance_uid"] or ""),
                str(file["dismissed_because"] or "no"),
            )
            for file in files
        ],
    )


@app.command()
def dismiss(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `cptdn quarantine list` shows it.")],
    because: Annotated[str, typer.Option(help="The reason, kept in the history of the study.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Decide that a quarantined file does not matter: the stored one counts, and its study is assessed again.

    Example: cptdn quarantine dismiss 3 --because "a resend with a corrected name; the images are the same"
    """
    from node.ledger.associations import studies_touched
    from node.ledger.cases import record, schedule_assessment
    from node.ledger.instances import dismiss_quarantined

    with ledger_of(ctx).begin() as session:
        entry = dismiss_quarantined(session, number, because)
        if entry.study_instance_uid is not None:
            text = f"File {number} in quarantine was dismissed: {because}"
            record(session, entry.study_instance_uid, "dismissed", text, actor="administrator")
            schedule_assessment(session, entry.study_instance_uid)
        elif entry.association_id is not None:
            # Of unknown study: each study of its association may wait for this decision.
            for study in studies_touched(session, [entry.association_id]):
                schedule_assessment(session, study)
    record_about_studies(ctx, "quarantine dismiss", [entry.study_instance_uid or ""])
    if as_json:
        print_json({"number": number, "dismissed_because": because})
    else:
        typer.echo(f"File {number} is dismissed; it remains in quarantine.")
