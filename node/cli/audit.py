"""`cptdn audit`: reading the audit trail of this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from config.who_and_when import local_time
from node.cli.context import audit_of, print_json, print_table, study_of

app = typer.Typer(help="The audit trail of this machine (DICOM PS3.15 Annex A.5).", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    last: Annotated[int, typer.Option(min=1, help="Number of messages, the newest last.")] = 50,
    study: Annotated[str | None, typer.Option(metavar="STUDY_UID", help="Only about this study.")] = None,
    as_json: Json = False,
) -> None:
    """List the messages of the trail, one line for each: who did what.

    Example: cptdn audit list --last 20
    """
    from node.audit.reading import read_message

    messages = [read_message(line) for line in audit_of(ctx).trail.lines()]
    if study is not None:
        study = study_of(ctx, study)
        messages = [message for message in messages if study in {about["id"] for about in message["about"]}]
    # After the selection of the study: the last messages about it, not those about it among the last ones.
    messages = messages[-last:]
    if as_json:
        print_json(messages)
        return
    print_table(("when", "event", "outcome", "who", "about"), [_row(message) for message in messages])


@app.command()
def backlog(ctx: typer.Context, as_json: Json = False) -> None:
    """Show how much the audit repository has not received yet.

    Example: cptdn audit backlog
    """
    from node.audit.forwarding import backlog_bytes

    audit = audit_of(ctx)
    syslog = audit.settings.audit.syslog
    where = None if syslog is None else f"{syslog.transport}://{syslog.host}:{syslog.port}"
    # Without a repository nothing waits, whatever the trail contains.
    waiting = backlog_bytes(audit.trail) if where else 0
    if as_json:
        print_json({"folder": str(audit.trail.folder), "repository": where, "backlog_bytes": waiting})
    elif where is None:
        typer.echo(f"No repository is configured; the trail is in {audit.trail.folder}")
    else:
        typer.echo(f"{waiting} bytes of {audit.trail.folder} wait for {where}")


def _row(message: dict[str, Any]) -> tuple[str, ...]:
    event = ", ".join(filter(None, [message["event"], *message["types"]]))
    who = next((person["user"] for person in message["who"] if person["requestor"]), message["who"][0]["user"])
    about = ", ".join(about["id"] for about in message["about"])
    return local_time(message["when"]), event, message["outcome"], who, about or message["description"]
