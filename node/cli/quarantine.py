"""`cptdn quarantine`: list quarantined files, and dismiss those that do not matter."""

from __future__ import annotations

from typing import Annotated

import typer

from config.messages.message import message
from config.who_and_when import operating_user
from node.cli.context import ledger_of, print_json, print_table, record_about_studies, study_of

app = typer.Typer(help="Quarantined files, with their reasons; dismiss those that hold a case.")


@app.command("list")
def list_(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
) -> None:
    """List quarantined files, the newest first.

    Example: cptdn quarantine list
    """
    from node.ledger.instances import list_quarantined

    with ledger_of(ctx).read() as session:
        files = [
            {
                "number": row.id,
                "code": row.code,
                "text": row.reason,
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
    because: Annotated[str, typer.Option(help="The reason, kept in the history of the study.")],
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="One file, as `cptdn quarantine list` shows it.")
    ] = None,
    study: Annotated[
        str | None, typer.Option("--study", metavar="STUDY_UID", help="All files that the case of this study names.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Decide that quarantined files do not matter: the stored ones count, and their study is assessed again.

    Example: cptdn quarantine dismiss --study 1.2.840.113619.2.1 --because "sent by mistake with other windows"
    """
    from node.workflow.decisions import dismiss_quarantined

    if (number is None) == (study is None):
        raise typer.BadParameter("expected either the number of a file or --study STUDY_UID")
    if number is not None:
        _dismiss_one(ctx, number, because, as_json)
        return
    study = study_of(ctx, str(study))
    with ledger_of(ctx).begin() as session:
        n_files = dismiss_quarantined(session, study, because)
    record_about_studies(ctx, "quarantine dismiss", [study])
    if as_json:
        print_json({"study_instance_uid": study, "dismissed": n_files, "dismissed_because": because})
    else:
        typer.echo(f"{n_files} files are dismissed; they remain in quarantine.")


def _dismiss_one(ctx: typer.Context, number: int, because: str, as_json: bool) -> None:
    from node.ledger.associations import studies_touched
    from node.ledger.cases import record, schedule_assessment, schedule_touched
    from node.ledger.instances import dismiss_quarantined

    with ledger_of(ctx).begin() as session:
        entry = dismiss_quarantined(session, number, because)
        if entry.study_instance_uid is not None:
            text = message("quarantine.dismissed", number=number, because=because)
            record(session, entry.study_instance_uid, "dismissed", text, actor=operating_user())
            schedule_touched(session, [entry.study_instance_uid])
        elif entry.association_id is not None:
            # Of unknown study: each study of its association may wait for this decision.
            for study in studies_touched(session, [entry.association_id]):
                schedule_assessment(session, study)
    record_about_studies(ctx, "quarantine dismiss", [entry.study_instance_uid or ""])
    if as_json:
        print_json({"number": number, "dismissed_because": because})
    else:
        typer.echo(f"File {number} is dismissed; it remains in quarantine.")
