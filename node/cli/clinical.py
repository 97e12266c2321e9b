"""`cptdn clinical`: clinical facts of patients, which no image contains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from config.entered_sources import COMMAND_LINE
from config.messages.message import message
from config.who_and_when import local_time, operating_user
from node.cli.context import audit_of, finish_import, ledger_of, print_json, print_table, settings_of

app = typer.Typer(
    help="Clinical facts: EBV DNA, diagnosis, stage, birth date, start of treatment.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
PatientId = Annotated[str, typer.Argument(metavar="PATIENT_ID")]
Issuer = Annotated[str, typer.Option("--issuer", help="Issuer of the Patient ID.")]


@app.command("set")
def set_(
    ctx: typer.Context,
    patient_id: PatientId,
    ebv_dna: Annotated[
        str | None, typer.Option("--ebv-dna", metavar="COPIES_PER_ML", help="5000, '>4000', '<400', not-detected.")
    ] = None,
    drawn_on: Annotated[str | None, typer.Option("--drawn-on", help="Day of the EBV DNA draw, YYYY-MM-DD.")] = None,
    laboratory: Annotated[str | None, typer.Option("--laboratory", help="Laboratory of the EBV DNA.")] = None,
    assay: Annotated[str | None, typer.Option("--assay", help="Assay of the EBV DNA.")] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="For example T3N1M0.")] = None,
    ajcc: Annotated[str | None, typer.Option("--ajcc", help="Edition of the stage (default: the site's, 8).")] = None,
    ene: Annotated[
        str | None,
        typer.Option(
            "--ene", metavar="yes|no", help="Advanced extranodal extension; of an N3 of the 9th: N3 only by it."
        ),
    ] = None,
    diagnosis: Annotated[
        str | None, typer.Option("--diagnosis", help="A code or a text: C11.9, nasopharyngeal carcinoma, 鼻咽癌.")
    ] = None,
    staged_on: Annotated[str | None, typer.Option("--staged-on", help="Day of the staging, YYYY-MM-DD.")] = None,
    birth_date: Annotated[str | None, typer.Option("--birth-date", metavar="YYYY-MM-DD")] = None,
    treatment_start: Annotated[str | None, typer.Option("--treatment-start", metavar="YYYY-MM-DD")] = None,
    prior_treatment: Annotated[
        str | None, typer.Option("--prior-treatment", help="no, yes, or the treatment before the MR.")
    ] = None,
    issuer: Issuer = "",
    as_json: Json = False,
) -> None:
    """Set facts of one patient; older values stay as history and the patient's studies are assessed again.

    Example: cptdn clinical set NPC-0042 --ebv-dna 5200 --drawn-on 2026-05-02 --diagnosis C11.9 --stage T3N1M0 --ajcc 8
    """
    from node.audit.recorder import command_user
    from node.cases.dates import parse_date
    from node.clinical import entries as facts

    settings = settings_of(ctx)
    entries = []
    if ebv_dna is not None:
        day = parse_date(drawn_on, message("date.draw")) if drawn_on else None
        entries.append(facts.ebv_entry(settings, ebv_dna, laboratory=laboratory, assay=assay, drawn_on=day))
    if stage is not None:
        day = parse_date(staged_on, message("date.staging")) if staged_on else None
        entries.append(facts.stage_entry(settings, stage, ajcc, day, ene=ene))
    elif ajcc is not None or ene is not None or staged_on is not None:
        raise typer.BadParameter("--ajcc, --ene and --staged-on belong to a stage; give --stage too")
    if diagnosis is not None:
        entries.append(facts.diagnosis_entry(diagnosis))
    if birth_date is not None:
        entries.append(facts.birth_date_entry(birth_date))
    if treatment_start is not None:
        entries.append(facts.treatment_start_entry(treatment_start))
    if prior_treatment is not None:
        entries.append(facts.prior_treatment_entry(prior_treatment))
    if not entries:
        raise typer.BadParameter(
            "nothing to set; give --ebv-dna, --stage, --diagnosis, --birth-date, --treatment-start or --prior-treatment"
        )
    with ledger_of(ctx).begin() as session:
        new = facts.record_entries(session, patient_id, issuer, entries, COMMAND_LINE, operating_user())
    audit_of(ctx).patient_record(command_user(), "clinical set", patient_id)
    if as_json:
        print_json({"patient_id": patient_id, "new_facts": new, "facts": {e.name: e.value for e in entries}})
        return
    for sentence in _remarks(entries, settings):
        typer.echo(sentence, err=True)
    if new:
        typer.echo(f"{new} fact{'' if new == 1 else 's'} recorded for patient {patient_id}.")
    else:
        typer.echo(f"Nothing new: these facts of patient {patient_id} are already recorded.")


@app.command("check-stage")
def check_stage(
    ctx: typer.Context,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Stages as they are written.")],
    ajcc: Annotated[str | None, typer.Option("--ajcc", help="Edition of the stages, as it is written.")] = None,
    ene: Annotated[
        str | None, typer.Option("--ene", metavar="yes|no", help="As of `clinical set`: advanced extranodal extension.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the program makes of stage texts: categories, edition, group, and whether the model is for them.

    Example: cptdn clinical check-stage "T3N1M0" "T3N3M0 (AJCC 9)" --ene no --json
    """
    from config.decision_policy import active_policy
    from node.clinical.stage_check import check_stage_text

    settings = settings_of(ctx)
    gate = active_policy(settings).stage
    if ene is not None and ene.lower() not in ("yes", "no"):
        raise typer.BadParameter(f"expected yes or no, found {ene!r}", param_hint="--ene")
    checked = [check_stage_text(text, gate, settings, ajcc, ene) for text in texts]
    if as_json:
        print_json(checked)
        return
    print_table(
        ("text", "T N M", "edition", "group", "eligible", "reason"),
        [
            (
                found["text"],
                " ".join(str(found[key] or "-") for key in ("t", "n", "m")),
                found["edition"] or "unknown",
                found["group"] or "",
                found["eligible"],
                found["reason"],
            )
            for found in checked
        ],
    )


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .json table with a patient_id column.")],
    as_json: Json = False,
) -> None:
    """Record the facts of a table; rows that cannot be used are listed, and the exit code is then 1.

    Columns: patient_id, issuer, ebv_dna, ebv_dna_unit, ebv_dna_specimen, ebv_dna_date, ebv_dna_assay, laboratory,
    stage (or t, n, m), ajcc, ene, stage_date, diagnosis, morphology, diagnosis_date, birth_date, treatment_start,
    prior_treatment. A heading that is nearly one of them, or a patient with different values in two rows, is an error.

    Example: cptdn clinical import facts.csv
    """
    from node.clinical.tables import import_file
    from node.ledger.database import now_utc
    from node.ledger.facts import patients_changed_since

    ledger, begun = ledger_of(ctx), now_utc()
    result = import_file(file, ledger, settings_of(ctx), operating_user())
    with ledger.read() as session:
        # By time and user: an import commits row by row, and the audit trail must name each patient whose facts
        # changed.
        changed = patients_changed_since(session, begun, operating_user())
    finish_import(ctx, "clinical import", changed, result, as_json)


@app.command()
def show(ctx: typer.Context, patient_id: PatientId, issuer: Issuer = "", as_json: Json = False) -> None:
    """Show the facts of one patient with their history, the newest last.

    Example: cptdn clinical show NPC-0042 --json
    """
    from node.ledger.facts import current_rows, history_of

    with ledger_of(ctx).read() as session:
        current = {row.id for row in current_rows(session, patient_id, issuer)}
        rows = [_row_json(row, row.id in current) for row in history_of(session, patient_id, issuer)]
    if as_json:
        print_json({"patient_id": patient_id, "issuer": issuer, "facts": rows})
        return
    if not rows:
        typer.echo(f"Nothing is known about patient {patient_id}.")
        return
    print_table(
        ("fact", "value", "of", "source", "set by", "recorded", ""),
        [
            (
                row["name"],
                _value_text(row["value"]),
                row["observed_on"] or "",
                row["source"],
                row["set_by"],
                local_time(row["recorded_at"]),
                "current" if row["current"] else "withdrawn" if row["withdrawn_at"] else "",
            )
            for row in rows
        ],
    )


def _row_json(row: Any, current: bool) -> dict[str, Any]:
    return {
        "name": row.name,
        "value": row.value,
        "observed_on": row.observed_on.isoformat() if row.observed_on else None,
        "source": row.source,
        "set_by": row.set_by,
        "recorded_at": row.recorded_at.isoformat(),
        "withdrawn_at": row.withdrawn_at.isoformat() if row.withdrawn_at else None,
        "issuer": row.issuer,
        "current": current,
    }


def _remarks(entries: list[Any], settings: Any) -> list[str]:
    """Return what the stage that was entered leaves open, so that the operator hears of it at once."""
    from config.decision_policy import active_policy
    from node.cases.stage import StageValue
    from node.cases.stage_gate import judge_stage

    gate = active_policy(settings).stage
    judged = [judge_stage(StageValue(**entry.value), gate) for entry in entries if entry.name == "stage"]
    return [judgement.reason for judgement in judged if judgement.eligible != "yes"]


def _value_text(value: dict[str, Any]) -> str:
    if "text" in value and "unit" in value:
        return " ".join(str(value[key]) for key in ("text", "unit", "specimen") if value.get(key))
    if "day" in value:
        return str(value["day"])
    if "given" in value:
        return (value.get("text") or "yes") if value["given"] else "no"
    if "is_only" in value:
        return str(value["text"])
    stage = "".join(str(value[key]) for key in ("t", "n", "m") if value.get(key))
    return f"{value.get('prefix') or ''}{stage} (AJCC {value.get('edition') or 'edition unknown'})"
