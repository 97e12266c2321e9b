"""`cptdn doctor`: check every part, say what is wrong and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.context import print_json, print_table, settings_of

if TYPE_CHECKING:
    from config.settings import Settings
    from node.runtime.health import Finding


def doctor(
    ctx: typer.Context,
    storage: Annotated[bool, typer.Option("--storage", help="Compare ledger and disk in both directions.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="With --storage: repair what is safe to repair.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE.zip", help="Also write a support bundle, without patient data."),
    ] = None,
) -> None:
    """Check every part and say what to do; exit code 1 when a check fails.

    The parts are configuration, ledger, storage, broker, node, model bundle, workers, audit trail, fonts, and each PACS
    by C-ECHO and a trial association.

    Example: cptdn doctor --config /etc/cptdn/cptdn.toml --bundle support.zip
    Example: cptdn doctor --storage --repair
    """
    from node.runtime.health import check_parts

    settings = settings_of(ctx)
    if storage or repair:
        from node.cli.storage_check import print_storage_check

        if print_storage_check(settings, repair, as_json):
            raise typer.Exit(1)
        return
    findings = list(check_parts(settings))
    if bundle is not None:
        _write_bundle(bundle, settings, findings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [(finding.part, finding.verdict, finding.found, finding.advice) for finding in findings]
        print_table(("part", "", "found", "what to do"), rows)
        typer.echo(_summary(findings))
    if any(finding.verdict == "failure" for finding in findings):
        raise typer.Exit(1)


def _summary(findings: list[Finding]) -> str:
    failures, warnings = (sum(each.verdict == verdict for each in findings) for verdict in ("failure", "warning"))
    if not failures and not warnings:
        return "Every check passed."
    counts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((failures, "failure"), (warnings, "warning")) if n]
    return f"{' and '.join(counts)}: the last column says what to do; a failure keeps the program from working."


def _write_bundle(path: Path, settings: Settings, findings: list[Finding]) -> None:
    from config.errors import InputError
    from node.runtime.support_bundle import write_support_bundle

    try:
        names = write_support_bundle(path, settings, [asdict(finding) for finding in findings])
    except OSError as error:
        raise InputError(f"the support bundle {path} cannot be written: {error.strerror}") from error
    typer.echo(f"{path} contains {', '.join(names)}; read it before you pass it on.", err=True)
