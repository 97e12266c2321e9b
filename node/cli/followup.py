"""`cptdn followup`: the regimen that reported patients received, and the outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.who_and_when import local_time
from node.cli.context import audit_of, finish_import, ledger_of, print_json, print_table, settings_of

if TYPE_CHECKING:
    from node.clinical.follow_up_entries import FollowUpEntry

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
PatientId = Annotated[str, typer.Argument(metavar="PATIENT_ID")]
Issuer = Annotated[str, typer.Option("--issuer", help="Issuer of the Patient ID.")]
Day = "YYYY-MM-DD"


@app.command()
def add(
    ctx: typer.Context,
    patient_id: PatientId,
    regimen: Annotated[str | None, typer.Option(metavar="ICT+CCRT|CCRT", help="The regimen that was given.")] = None,
    treatment_start: Annotated[str | None, typer.Option(metavar=Day, help="Its first day.")] = None,
    recurrence: Annotated[str | None, typer.Option(metavar=Day, help="Day of a locoregional recurrence.")] = None,
    metastasis: Annotated[str | None, typer.Option(metavar=Day, help="Day of a distant metastasis.")] = None,
    death: Annotated[str | None, typer.Option(metavar=Day, help="Day of death, of any cause.")] = None,
    last_contact: Annotated[str | None, typer.Option(metavar=Day, help="Last day known without event.")] = None,
    issuer: Issuer = "",
    as_json: Json = False,
) -> None:
    """Record follow-up of one reported patient; the delivered report stays as it is.

    Example: cptdn followup add NPC-0042 --regimen ICT+CCRT --treatment-start 2026-05-11
    Example: cptdn followup add NPC-0042 --recurrence 2027-03-02 --last-contact 2027-06-01
    """
    from node.audit.recorder import command_user
    from node.clinical.follow_up_entries import record_follow_up_entries

    days = {"recurrence": recurrence, "metastasis": metastasis, "death": death, "last_contact": last_contact}
    entries = _entries(regimen, treatment_start, days)
    with ledger_of(ctx).begin() as session:
        new = record_follow_up_entries(
            session, settings_of(ctx), patient_id, issuer, entries, "command line", command_user()
        )
    audit_of(ctx).patient_record(command_user(), "followup add", patient_id)
    if as_json:
        print_json({"patient_id": patient_id, "new_facts": new})
    elif new:
        typer.echo(f"{new} fact{'' if new == 1 else 's'} recorded for patient {patient_id}.")
    else:
        typer.echo(f"Nothing new: this follow-up of patient {patient_id} is already recorded.")


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .json table with a patient_id column.")],
    as_json: Json = False,
) -> None:
    """Record the follow-up of a table; rows that cannot be used are listed, and the exit code is then 1.

    Columns: patient_id, issuer, regimen, treatment_start, recurrence_date, metastasis_date, death_date,
    last_contact_date. Every row without a fault is recorded.

    Example: cptdn followup import follow-up-2027.csv
    """
    from node.audit.recorder import command_user
    from node.clinical.follow_up_tables import import_follow_up
    from node.ledger.database import now_utc
    from node.ledger.follow_up import patients_followed_since

    ledger, begun = ledger_of(ctx), now_utc()
    result = import_follow_up(file, ledger, settings_of(ctx), command_user())
    with ledger.read() as session:
        # By time and user: an import commits row by row, and the audit trail must name each patient.
        changed = patients_followed_since(session, begun, command_user())
    finish_import(ctx, "followup import", changed, result, as_json)


@app.command()
def withdraw(
    ctx: typer.Context,
    patient_id: PatientId,
    name: Annotated[str, typer.Argument(metavar="FACT", help="regimen, recurrence, metastasis, death, last_contact")],
    day: Annotated[str | None, typer.Option(metavar=Day, help="Only of this day.")] = None,
    issuer: Issuer = "",
    as_json: Json = False,
) -> None:
    """Withdraw a follow-up fact that was entered in error; it stays visible in `followup show`.

    Example: cptdn followup withdraw NPC-0042 recurrence --day 2027-03-02
    """
    from config.errors import InputError
    from node.audit.recorder import command_user
    from node.cases.dates import parse_date
    from node.cases.follow_up import NAMES
    from node.ledger.follow_up import withdraw_follow_up

    if name not in NAMES:
        raise typer.BadParameter(f"expected one of {', '.join(NAMES)}, found {name!r}", param_hint="FACT")
    with ledger_of(ctx).begin() as session:
        n = withdraw_follow_up(session, patient_id, issuer, name, parse_date(day) if day else None)
    if not n:
        raise InputError(f"expected a recorded {name} of patient {patient_id}{f' on {day}' if day else ''}, found none")
    audit_of(ctx).patient_record(command_user(), "followup withdraw", patient_id)
    if as_json:
        print_json({"patient_id": patient_id, "withdrawn": n})
    else:
        typer.echo(f"{n} fact{'' if n == 1 else 's'} withdrawn.")


@app.command()
def show(ctx: typer.Context, patient_id: PatientId, issuer: Issuer = "", as_json: Json = False) -> None:
    """Show the follow-up of one patient with its history, the newest last.

    Example: cptdn followup show NPC-0042 --json
    """
    from node.ledger.follow_up import follow_up_history

    with ledger_of(ctx).read() as session:
        rows = [_row_json(row) for row in follow_up_history(session, patient_id, issuer)]
    if as_json:
        print_json({"patient_id": patient_id, "issuer": issuer, "facts": rows})
        return
    if not rows:
        typer.echo(f"No follow-up of patient {patient_id} is recorded.")
        return
    print_table(
        ("fact", "day", "regimen", "source", "set by", "recorded", ""),
        [
            (
                row["name"], row["day"] or "", row["regimen"] or "", row["source"], row["set_by"],
                local_time(row["recorded_at"]), "withdrawn" if row["withdrawn_at"] else "",
            )
            for row in rows
        ],
    )  # fmt: skip


def _entries(regimen: str | None, treatment_start: str | None, days: dict[str, str | None]) -> list[FollowUpEntry]:
    """Return what the options state; BadParameter where they state nothing."""
    from node.cases.dates import parse_date
    from node.cases.follow_up import EVENTS
    from node.clinical.follow_up_entries import event_entry, regimen_entry

    entries = [event_entry(name, text) for name in EVENTS if (text := days[name]) is not None]
    if regimen is not None:
        start = parse_date(treatment_start, "start of treatment") if treatment_start else None
        entries.insert(0, regimen_entry(regimen, start))
    elif treatment_start is not None:
        raise typer.BadParameter("--treatment-start belongs to a regimen; give --regimen too")
    if not entries:
        raise typer.BadParameter(
            "nothing to record; give --regimen, --recurrence, --metastasis, --death or --last-contact"
        )
    return entries


def _row_json(row: Any) -> dict[str, Any]:
    return {
        "name": row.name,
        "day": row.day.isoformat() if row.day else None,
        "regimen": row.regimen,
        "source": row.source,
        "set_by": row.set_by,
        "issuer": row.issuer,
        "recorded_at": row.recorded_at.isoformat(),
        "withdrawn_at": row.withdrawn_at.isoformat() if row.withdrawn_at else None,
    }
