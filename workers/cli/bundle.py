"""`cptdn bundle`: model bundles - which there are, what they say of themselves, whether they are whole."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.bundle_manifest import BundleManifest, read_manifest
from config.errors import InputError
from node.cli.context import print_json, print_table, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

app = typer.Typer(help="Model bundles: list, show, verify, pack, activate.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
NameOrFolder = Annotated[str | None, typer.Argument(metavar="BUNDLE", help="A name or a folder (default: the active).")]


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """The bundles that come with the program, and the active one.

    Example: cptdn bundle list
    """
    from workers.bundles import known_bundles

    active = read_manifest(settings_of(ctx).model.bundle)
    found = {manifest.digest: manifest for manifest in (*known_bundles(), active)}
    rows = [{**_summary(manifest), "active": manifest.digest == active.digest} for manifest in found.values()]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("bundle", "version", "digest", "intended use", "active"),
        [(r["name"], r["version"], r["digest"][:19], r["intended_use"], "yes" if r["active"] else "") for r in rows],
    )


@app.command()
def show(ctx: typer.Context, bundle: NameOrFolder = None, as_json: Json = False) -> None:
    """What a bundle says of itself: intended use, training data, test results, architecture, files.

    Example: cptdn bundle show demonstration
    """
    manifest = read_manifest(bundle or settings_of(ctx).model.bundle)
    if as_json:
        print_json({**manifest.content, "digest": manifest.digest, "folder": str(manifest.folder)})
        return
    shown = {"folder": str(manifest.folder), "digest": manifest.digest, **_without_histories(manifest.content)}
    print_table(("", ""), list(_lines(shown)), title=f"{manifest.name} {manifest.version}")


@app.command()
def verify(ctx: typer.Context, bundle: NameOrFolder = None, as_json: Json = False) -> None:
    """Read everything in a bundle and compare it with its manifest: digests, architecture, templates, nomogram.

    Example: cptdn bundle verify /srv/cptdn/bundles/site-1
    """
    from workers.bundles import verify_bundle

    verified = verify_bundle(bundle or settings_of(ctx).model.bundle)
    if as_json:
        print_json({**_summary(verified.manifest), "ok": True})
        return
    typer.echo(f"{verified.manifest.name} {verified.manifest.version} is whole: {verified.digest}")


@app.command()
def pack(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A name or a folder.")],
    out: Annotated[Path, typer.Option(help="The archive to write, for another machine.")],
) -> None:
    """Put a verified bundle into one archive; unpack it with tar and name the folder in [model] bundle.

    Example: cptdn bundle pack site-1 --out site-1.tar
    """
    from workers.bundles import FILES, verify_bundle

    verified = verify_bundle(bundle)
    try:
        with tarfile.open(out, "w") as archive:
            for name in ("manifest.json", *FILES):
                archive.add(verified.folder / name, f"{verified.manifest.name}/{name}", filter=_anonymous)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
    typer.echo(f"{out}: {verified.manifest.name} {verified.manifest.version}, {verified.digest}")


@app.command()
def activate(
    ctx: typer.Context, bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A name or a folder.")]
) -> None:
    """Verify a bundle and name it in the configuration file; restart the program to use it.

    Example: cptdn bundle activate /srv/cptdn/bundles/site-1 --config /etc/cptdn/cptdn.toml
    """
    from config.settings import load_settings
    from workers.bundles import verify_bundle

    source = settings_of(ctx).source
    if source is None:
        raise InputError("there is no configuration file to write to; name one with --config, or make ./cptdn.toml")
    verified = verify_bundle(bundle)
    before = source.read_text(encoding="utf-8")
    source.write_text(with_bundle(before, bundle), encoding="utf-8")
    if load_settings(source).model.bundle != bundle:
        source.write_text(before, encoding="utf-8")
        raise InputError(f"{source}: could not set [model] bundle; write it by hand: bundle = {bundle!r}")
    typer.echo(f"{source} now names {verified.manifest.name} {verified.manifest.version}; restart `cptdn up`.")


def with_bundle(text: str, bundle: str) -> str:
    """The configuration with [model] bundle set; everything else, comments too, stays as it is."""
    escaped = bundle.replace("\\", "\\\\").replace('"', '\\"')
    wanted = f'bundle = "{escaped}"'
    lines, inside, done = [], False, False
    for line in text.splitlines():
        if line.strip().startswith("["):
            inside = line.split("#")[0].strip() == "[model]"
            lines.append(line)
            if inside and not done:
                lines.append(wanted)
                done = True
        elif not (inside and line.split("=")[0].strip() == "bundle"):
            lines.append(line)
    if not done:
        lines += ["", "[model]", wanted]
    return "\n".join(lines) + "\n"


def _summary(manifest: BundleManifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "intended_use": manifest.intended_use,
        "demonstration": manifest.demonstration,
        "folder": str(manifest.folder),
    }


def _without_histories(content: dict[str, Any]) -> dict[str, Any]:
    """For a person: training curves are left to --json."""
    training = {key: value for key, value in content.get("training", {}).items() if key != "history"}
    return {**content, "training": training}


def _lines(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _lines(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode, member.mtime = 0o644, 0
    return member
