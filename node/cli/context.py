"""What a command needs from the command line it was called on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from config.settings import Settings, load_settings

if TYPE_CHECKING:
    from node.audit.recorder import Audit
    from node.ledger.database import Ledger


def settings_of(ctx: typer.Context) -> Settings:
    """The settings that this call's `--config` names."""
    return load_settings((ctx.obj or {}).get("config"))


def ledger_of(ctx: typer.Context) -> Ledger:
    """The ledger that this call's settings name."""
    from node.ledger.database import open_ledger

    return open_ledger(settings_of(ctx).ledger.url or "")


def audit_of(ctx: typer.Context) -> Audit:
    """The audit trail that this call's settings name."""
    from node.audit.recorder import open_audit

    return open_audit(settings_of(ctx))


def record_about_studies(ctx: typer.Context, command: str, study_uids: Iterable[str]) -> None:
    """Tell the audit trail that the person at the command line decided about these studies."""
    from node.audit.recorder import command_user
    from node.ledger.tables import Case

    audit, user = audit_of(ctx), command_user()
    with ledger_of(ctx).begin() as session:
        cases = [(uid, session.get(Case, uid)) for uid in study_uids]
    for uid, case in cases:
        audit.accessed(user, command, uid, case.patient_id if case is not None else "")


def record_configuration(ctx: typer.Context, what: str) -> None:
    """Tell the audit trail that the person at the command line changed what the program does."""
    from node.audit.codes import SOFTWARE_CONFIGURATION
    from node.audit.recorder import command_user

    audit_of(ctx).security_alert(what, user=command_user(), kind=SOFTWARE_CONFIGURATION, success=True)


def print_json(document: Any) -> None:
    """One JSON document on stdout and nothing else."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table for a person; colours and borders only where the terminal has them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, title_justify="left", show_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
