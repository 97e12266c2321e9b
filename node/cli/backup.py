"""`cptdn backup` and `cptdn restore`: ledger and files of one installation."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from config.who_and_when import local_time
from node.cli.context import print_json, settings_of

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def backup(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
    link: Annotated[
        bool, typer.Option("--link", help="Hard-link the files where the file system allows it, instead of copying.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Save the ledger as it is now, and every file that it names; the node may run.

    Example: cptdn backup /backup/cptdn-2026-05-02
    """
    from node.store.backup import back_up

    manifest = back_up(settings_of(ctx), folder, link)
    if as_json:
        print_json(asdict(manifest))
    else:
        typer.echo(f"The ledger and {manifest.files} files are saved in {folder}.")
        for path in manifest.missing:
            typer.echo(f"missing on the disk: {path} (`cptdn doctor --storage` explains)", err=True)
    # The backup is whole but for these files, which were lost before it; a periodic job must still notice.
    if manifest.missing:
        raise typer.Exit(1)


def restore(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `cptdn backup` has written.")],
    as_json: Json = False,
) -> None:
    """Put a backup into the configured storage and ledger, which must be empty.

    Start the node afterwards: it continues from the time of the backup. A report that the PACS already has is made with
    the same UID.

    Example: cptdn restore /backup/cptdn-2026-05-02
    """
    from node.store.backup import restore as put_back

    manifest = put_back(settings_of(ctx), folder)
    if as_json:
        print_json(asdict(manifest))
    else:
        typer.echo(f"The ledger and {manifest.files} files of {local_time(manifest.taken_at)} are in place.")
