"""What every command uses: settings, ledger, audit trail, JSON and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from config.messages.stored import to_json
from config.settings import Settings, load_settings

if TYPE_CHECKING:
    from node.audit.recorder import Audit
    from node.clinical.tables import ImportResult
    from node.ledger.database import Ledger


def settings_of(ctx: typer.Context) -> Settings:
    """Return the settings that `--config` of this call names. Raises SettingsError."""
    return load_settings((ctx.obj or {}).get("config"))


def checked_settings_of(ctx: typer.Context) -> Settings:
    """Return the settings of a process that serves. Raises SettingsError where one contradicts the bundle."""
    from config.decision_policy import active_policy

    settings = settings_of(ctx)
    # At the start and not with the first patient: a setting that contradicts the bundle is an error of the operator.
    active_policy(settings)
    return settings


def ledger_of(ctx: typer.Context, migrate: bool = True) -> Ledger:
    """Open the ledger of this call.

    Parameters
    ----------
    ctx : typer.Context
        Context of the call.
    migrate : bool
        Whether to bring its schema up to date; health checks do not.

    Raises
    ------
    LedgerError
        When it cannot be opened.
    """
    from node.ledger.database import open_ledger

    return open_ledger(settings_of(ctx).ledger.url or "", migrate)


def audit_of(ctx: typer.Context) -> Audit:
    """Open the audit trail of this call."""
    from node.audit.recorder import open_audit

    return open_audit(settings_of(ctx))


def study_of(ctx: typer.Context, named: str) -> str:
    """Return the Study Instance UID of the study that an argument or option names: `find_study` says how.

    Raises
    ------
    InputError
        When no study has that name, or several have.
    """
    from node.ledger.study_names import find_study

    if ctx.resilient_parsing:  # completion in a shell
        return named
    with ledger_of(ctx).read() as session:
        return find_study(session, named)


def studies_of(ctx: typer.Context, named: Iterable[str]) -> list[str]:
    """Return the Study Instance UIDs of the studies that arguments name, each once; as `study_of`."""
    return list(dict.fromkeys(study_of(ctx, each) for each in named))


def record_about_studies(ctx: typer.Context, command: str, study_uids: Iterable[str]) -> None:
    """Write an audit message for each study about which the user of the command line decided."""
    from node.audit.recorder import command_user
    from node.ledger.tables import Case

    audit, user = audit_of(ctx), command_user()
    with ledger_of(ctx).read() as session:
        # An unknown study is recorded as well, without a patient: that someone asked is the event.
        cases = [(uid, session.get(Case, uid)) for uid in study_uids]
    for uid, case in cases:
        audit.accessed(user, command, uid, case.patient_id if case is not None else "")


def record_configuration(ctx: typer.Context, what: str) -> None:
    """Write an audit message that the user of the command line changed the configuration."""
    from node.audit.codes import SOFTWARE_CONFIGURATION
    from node.audit.recorder import command_user

    audit_of(ctx).security_alert(what, user=command_user(), kind=SOFTWARE_CONFIGURATION, success=True)


def record_users(ctx: typer.Context, what: str) -> None:
    """Write an audit message that the user of the command line changed the users of the pages."""
    from node.audit.codes import USER_ATTRIBUTES_CHANGED
    from node.audit.recorder import command_user

    audit_of(ctx).security_alert(what, user=command_user(), kind=USER_ATTRIBUTES_CHANGED, success=True)


def finish_import(
    ctx: typer.Context, command: str, changed: Iterable[str], result: ImportResult, as_json: bool
) -> None:
    """Record whose facts a table changed, say what was read, and end with 1 where a row could not be used."""
    from node.audit.recorder import command_user

    audit = audit_of(ctx)
    for patient_id in changed:
        audit.patient_record(command_user(), command, patient_id)
    if as_json:
        print_json(result.to_json())
    else:
        typer.echo(f"{result.n_rows} rows read, {result.n_new_facts} new facts recorded.")
        for sentence in result.sentences():
            typer.echo(sentence, err=True)
    if result.bad:
        raise typer.Exit(1)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(to_json(document), ensure_ascii=False, indent=1, default=str) + "\n")


GOOD, BAD, WAITS = "green", "bold red", "yellow"
COLOURS = {
    **dict.fromkeys(("ok", "reported", "done", "delivered", "current", "unchanged"), GOOD),
    **dict.fromkeys(("failure", "failed", "dead", "cancelled", "withdrawn"), BAD),
    **dict.fromkeys(("warning", "held", "incomplete", "refused", "pending", "sent", "queued", "running"), WAITS),
}
PIPE_WIDTH = 1000  # characters: a program that reads a table gets each row on one line
NAMES_FIT = 32  # characters: a first column of names up to here keeps its lines, the others wrap


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table: on a terminal with coloured states and folded cells, elsewhere one line for each row.

    Parameters
    ----------
    columns : sequence of str
        Headings; without any text there is no line of headings.
    rows : sequence of sequence of str
        Cells, as many as columns.
    title : str, optional
        Line above the table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    console = Console()
    # Without this, rich folds cells at 80 characters, and a program that reads the output finds broken UIDs.
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    headers = [Column(name, overflow="fold") for name in columns]
    table = Table(*headers, title=title, title_justify="left", box=SIMPLE_HEAD, show_header=any(columns),
                  show_edge=False, pad_edge=False)  # fmt: skip
    longest = max((len(row[0]) for row in rows if row), default=0)
    table.columns[0].no_wrap = longest <= NAMES_FIT
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    console.print(table)


def known_states(names: Sequence[str], states: Sequence[str]) -> tuple[str, ...]:
    """Return the values of `--state`.

    Raises
    ------
    typer.BadParameter
        When one of them does not exist; it names those that do.
    """
    if wrong := [state for state in names if state not in states]:
        raise typer.BadParameter(f"expected one of {', '.join(states)}; found {', '.join(wrong)}", param_hint="--state")
    return tuple(names)


def series_by_role(given: Sequence[str]) -> dict[str, str]:
    """Read the values of `--role`.

    Parameters
    ----------
    given : sequence of str
        ``ROLE=SERIES`` each, with the key of a series or volume (see `SeriesSummary.key`). A role that is given twice
        means both series together.

    Returns
    -------
    dict of str to str
        Role to key.

    Raises
    ------
    typer.BadParameter
        Another form, or no such role.
    """
    from node.cases.series_roles import ROLES
    from node.cases.series_summary import JOINED

    decided: dict[str, str] = {}
    for text in given:
        name, _, series = text.partition("=")
        if name not in ROLES or not series:
            expected = f"ROLE=SERIES with ROLE one of {', '.join(ROLES)}"
            raise typer.BadParameter(f"expected {expected}, found {text!r}", param_hint="--role")
        decided[name] = f"{decided[name]}{JOINED}{series}" if name in decided else series
    return decided
