"""What a command needs from the command line it was called on."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from config.settings import Settings, load_settings

if TYPE_CHECKING:
    from node.ledger.database import Ledger


def settings_of(ctx: typer.Context) -> Settings:
    """The settings that this call's `--config` names."""
    return load_settings((ctx.obj or {}).get("config"))


def ledger_of(ctx: typer.Context) -> Ledger:
    """The ledger that this call's settings name."""
    from node.ledger.database import open_ledger

    return open_ledger(settings_of(ctx).ledger.url or "")


def print_json(document: Any) -> None:
    """One JSON document on stdout and nothing else."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1, default=str) + "\n")


NAMES_FIT = 32  # characters: a first column of names up to here keeps its lines, the others wrap


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table for a person; colours and borders only where the terminal has them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, title_justify="left", show_edge=False)
    longest = max((len(row[0]) for row in rows if row), default=0)
    table.columns[0].no_wrap = longest <= NAMES_FIT
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
