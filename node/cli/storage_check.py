"""`cptdn doctor --storage`: print the differences between ledger and disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from node.cli.context import print_json

if TYPE_CHECKING:
    from config.settings import Settings


def print_storage_check(settings: Settings, repair: bool, as_json: bool) -> int:
    """Print every difference with what was or can be done.

    Parameters
    ----------
    settings : Settings
        Ledger and storage.
    repair : bool
        Whether to repair what can be repaired safely.
    as_json : bool
        Whether to print one JSON document at the end instead of lines.

    Returns
    -------
    int
        Number of differences that still need an administrator.
    """
    from node.runtime.health import check_storage

    results = []
    for result in check_storage(settings, repair):
        # Printed as they are found: reading the whole store takes hours.
        results.append(result)
        if not as_json:
            finding = result.finding
            where = f" (study {finding.study_instance_uid})" if finding.study_instance_uid else ""
            action = (result.repaired or result.advice).capitalize()
            typer.echo(f"{finding.kind}: {finding.path}{where}: {finding.text}. {action}.")
    if as_json:
        print_json([{**asdict(each.finding), "repaired": each.repaired, "advice": each.advice} for each in results])
    elif results:
        counts = Counter(result.finding.kind for result in results)
        typer.echo(", ".join(f"{kind} {n}" for kind, n in sorted(counts.items())))
    else:
        typer.echo("Ledger and disk agree.")
    return sum(result.is_open for result in results)
