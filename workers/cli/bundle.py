"""`cptdn bundle`: list, show, verify, sign, pack, activate and recall model bundles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.atomic_files import write_atomically
from config.errors import InputError, SettingsError
from node.cli.context import ledger_of, print_json, print_table, record_configuration, settings_of
from workers.cli.bundle_recall import reason_to_use_again, recall
from workers.cli.hostile import SUITE_SEED

if TYPE_CHECKING:
    from config.bundle_manifest import BundleManifest

app = typer.Typer(no_args_is_help=True)

BundleArgument = Annotated[
    str | None, typer.Argument(metavar="BUNDLE", help="A name or a folder (default: the configured bundle).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("list")
def list_bundles(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the bundles that came with the program, and the configured one.

    Example: cptdn bundle list
    """
    from config.bundle_manifest import read_manifest
    from workers.bundles.bundle import known_bundles

    configured = settings_of(ctx).model.bundle
    manifests = known_bundles()
    # The configuration may name a folder outside config/bundles.
    if configured not in {manifest.folder.name for manifest in manifests}:
        manifests.append(read_manifest(configured))
    rows = [
        {**_summary(manifest), "configured": manifest.folder == read_manifest(configured).folder}
        for manifest in manifests
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("", "name", "version", "admission", "for", "digest"),
        [
            (
                "*" if row["configured"] else "",
                row["name"],
                row["version"],
                row["admission"],
                row["intended_use"],
                row["digest"][:19],
            )
            for row in rows
        ],
    )


@app.command("show")
def show(ctx: typer.Context, bundle: BundleArgument = None, as_json: JsonOption = False) -> None:
    """Show a bundle's manifest: training data, intended use, performance.

    Example: cptdn bundle show demonstration --json
    """
    from config.bundle_manifest import read_manifest
    from config.bundle_metrics import metric_rows
    from config.trial_evidence import trial_evidence
    from workers.cli.admission import admission_to_json, print_admission

    model = settings_of(ctx).model
    manifest, evidence = read_manifest(bundle or model.bundle), trial_evidence(model.trial_evidence)
    if as_json:
        # In place of the verdict that the file states: judged now.
        judged = {"admission": admission_to_json(manifest, evidence), "demonstration": manifest.demonstration}
        print_json({**manifest.content, **judged, "digest": manifest.digest, "folder": str(manifest.folder)})
        return
    content = manifest.content
    typer.echo(f"{manifest.name} {manifest.version}   {manifest.digest}")
    typer.echo(f"  intended use  {manifest.intended_use}")
    typer.echo(f"  trained on    {content.get('training_data', {}).get('description', 'unknown')}")
    typer.echo(f"  created       {content.get('created', 'unknown')}")
    for title, metrics in content.get("metrics", {}).items():
        if not isinstance(metrics, dict):
            typer.echo(f"  {title} ({len(metrics)} entries; --json has them)")
            continue
        typer.echo(f"  {title}")
        for name, text in metric_rows(metrics):
            typer.echo(f"    {name:46} {text}")
    print_admission(manifest, evidence)


@app.command("verify")
def verify(
    ctx: typer.Context,
    bundle: BundleArgument = None,
    hostile: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Measure the hostile suite anew on N patients; 0: show the record."),
    ] = 0,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Validation patients, one DICOM folder each (demonstration: phantoms)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the phantoms and of what is drawn; others measure again.")] = SUITE_SEED,
    as_json: JsonOption = False,
) -> None:
    """Check a bundle: signature, files, that all weights fit, admission; and show what its hostile suite stops.

    A bundle that is refused ends the command with 1: it computes nothing, whatever its files are.

    The suite makes noise, flipped, shifted, exchanged and shuffled series, series of another patient and contours in
    other places from validation patients. Its record stays beside the manifest; a bundle whose record misses the stated
    rates is activated only with a reason.

    Example: cptdn bundle verify config/bundles/demonstration --hostile 40
    """
    from config.bundle_admission import refusal_text
    from config.bundle_signature import check_signature, trust_of
    from config.errors import ModelBundleError
    from config.trial_evidence import trial_evidence
    from workers.bundles.bundle import verify_bundle
    from workers.cli.admission import admission_to_json, print_admission
    from workers.cli.hostile import measured_record, print_record
    from workers.hostile.record import read_record

    model = settings_of(ctx).model
    trust = trust_of(model)
    verified = verify_bundle(bundle or model.bundle, trust)
    signer = check_signature(verified.manifest, trust)
    record = measured_record(verified, hostile, images, seed) if hostile else read_record(verified.manifest)
    evidence, refused = trial_evidence(model.trial_evidence), verified.manifest.admission.refused
    summary = {
        **_summary(verified.manifest), "ok": not refused, "files_ok": True,
        "admission": admission_to_json(verified.manifest, evidence), "signed_by": signer,
        "files": verified.manifest.content["files"],
        "hostile_suite": None if record is None else record.to_json(),
    }  # fmt: skip
    if as_json:
        print_json(summary)
    else:
        name = f"{verified.manifest.name} {verified.manifest.version}"
        typer.echo(f"{name}: every file has its digest, all weights fit: {verified.digest}")
        typer.echo(f"Signed by the trusted key {signer}." if signer else "Not signed by a key of [model] trusted_keys.")
        print_record(record)
        print_admission(verified.manifest, evidence)
    if refused:
        raise ModelBundleError(refusal_text(verified.manifest.name, refused))


@app.command("sign")
def sign_(
    ctx: typer.Context,
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A name or a folder.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Ed25519 private key, PEM.")],
    passphrase_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Holds the key's passphrase.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a bundle, to state that this model was examined; the site's [model] trusted_keys name accepted keys.

    Make a key with `openssl genpkey -algorithm ed25519 -out anna.key`, and the file for trusted_keys with
    `openssl pkey -in anna.key -pubout -out anna.pem`.

    Example: cptdn bundle sign /srv/cptdn/bundles/site-1 --key anna.key
    """
    from config.bundle_signature import sign
    from workers.bundles.bundle import verify_bundle

    try:
        passphrase = passphrase_file.read_text(encoding="utf-8").strip() if passphrase_file is not None else None
    except OSError as error:
        raise InputError(f"cannot read {passphrase_file}: {error.strerror}") from error
    # Without a trust check: the bundle is not signed yet.
    verified = verify_bundle(bundle)
    signer = sign(verified.manifest, key, passphrase)
    if as_json:
        print_json({**_summary(verified.manifest), "signed_by": signer})
    else:
        typer.echo(f"{verified.manifest.name} {verified.manifest.version} is signed with the key {signer}")


@app.command("pack")
def pack(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Holds all files of a bundle, with a manifest or --manifest.")],
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Content of the manifest (default: the present one).")
    ] = None,
    phantoms: Annotated[
        list[Path], typer.Option(metavar="DIR", help="Measure it on held-out phantoms again; repeatable.")
    ] = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Write a bundle's manifest again with the digests of its files, after a description or the nomogram was changed.

    With --phantoms the figures against the truth of phantoms (abstention, wrong firm answers, coverage of the
    intervals, risk-coverage curve) are computed again and put in the manifest, as `cptdn train --phantoms` does.

    Example: cptdn bundle pack my_bundle --manifest description.json
    Example: cptdn bundle pack my_bundle --phantoms P/test --phantoms P/other
    """
    from config.bundle_manifest import MANIFEST
    from workers.bundles.packing import pack_bundle
    from workers.cli.truth_table import print_truth

    source = manifest or folder / MANIFEST
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"expected a manifest in {source}: {error}") from error
    packed = pack_bundle(folder, content)
    if phantoms:
        from workers.training.phantom_evaluation import add_phantom_metrics

        packed = add_phantom_metrics(packed, {f"phantoms_{name.name}": name for name in phantoms})
    if as_json:
        print_json({**_summary(packed.manifest), "folder": str(folder)})
    else:
        print_truth(packed.manifest.content["metrics"] if phantoms else {})
        typer.echo(f"{packed.manifest.name} {packed.manifest.version} packed: {packed.digest}")


@app.command("calibrate")
def calibrate(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle; it is packed again.")],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Patients that no network learned from, one DICOM folder each.")
    ] = None,
    phantoms: Annotated[int, typer.Option(metavar="N", min=0, help="Draw N phantoms, for a demonstration.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the phantoms.")] = 4242,
    rate: Annotated[
        float,
        typer.Option(min=0.001, max=0.2, help="False-alarm rate of intensities and of features, each of a study."),
    ] = 0.01,
    as_json: JsonOption = False,
) -> None:
    """Take the limits of plausibility, intensities and deep features from patients, and pack the bundle with them.

    Networks, landmarks and nomogram stay as they are: no score changes. Without limits of plausibility a bundle's
    studies are not checked, and every report says so.

    Example: cptdn bundle calibrate bundles/site-2025 --images validation
    """
    from workers.cli.hostile import calibrated

    packed, n = calibrated(folder, images, phantoms, seed, rate)
    if as_json:
        print_json({**_summary(packed.manifest), "folder": str(folder), "patients": n})
    else:
        typer.echo(f"{packed.manifest.name} {packed.manifest.version} is calibrated on {n} patients: {packed.digest}")


@app.command("activate")
def activate(
    ctx: typer.Context,
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A name or a folder.")],
    because: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Why a bundle is activated that was recalled, was not measured, or disagrees with trials.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Activate it; without this only show what would change.")] = False,
    studies: Annotated[
        int, typer.Option(metavar="N", min=0, help="Score the N newest reported studies again to see what changes.")
    ] = 100,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle, show what it changes, and with --yes make it the configured one; workers use it after a restart.

    A bundle that is refused by its figures cannot be activated. One whose hostile suite (`cptdn bundle verify
    --hostile`) was not run or misses the stated rates, whose mean effect disagrees with randomised trials, or that was
    recalled, needs a reason, which the audit trail records.

    Example: cptdn bundle activate /srv/cptdn/bundles/site-2025 --config cptdn.toml --yes
    """
    from config.bundle_admission import require_admitted
    from config.bundle_manifest import read_manifest
    from config.bundle_signature import trust_of
    from config.decision_policy import policy_of
    from config.trial_evidence import trial_evidence
    from node.workflow.recall import permit_again
    from workers.bundles.bundle import verify_bundle
    from workers.cli.admission import activation_reason, disagreement_with_trials, has_ledger, reported_changes

    settings = settings_of(ctx)
    if settings.source is None:
        raise SettingsError("no configuration file to write to: name one with --config, or make ./cptdn.toml")
    proposed = read_manifest(bundle)
    require_admitted(proposed.content, proposed.name)
    verified = verify_bundle(bundle, trust_of(settings.model))
    # Raises where configured horizons or thresholds contradict the bundle, before the file is written.
    policy_of(settings, verified.manifest.indication, f"the bundle {verified.manifest.name!r}")
    disagreement = disagreement_with_trials(verified.manifest, trial_evidence(settings.model.trial_evidence))
    reason = activation_reason(verified.manifest, disagreement, because)
    if has_ledger(settings):
        with ledger_of(ctx).read() as session:
            reason = reason_to_use_again(session, verified.manifest.name, verified.digest, because) or reason
    changes = reported_changes(settings, verified, studies)
    named = bundle if bundle == verified.folder.name else str(verified.folder.resolve())
    document = {
        **_summary(verified.manifest), "bundle": named, "because": reason, "changes": changes.to_json(),
        "written": str(settings.source) if yes else None, "acknowledged": disagreement,
    }  # fmt: skip
    if not as_json:
        typer.echo(changes.text)
        if disagreement:
            typer.echo(f"Acknowledged by the reason given: {disagreement}")
    if yes:
        text = settings.source.read_text(encoding="utf-8")
        write_atomically(settings.source, with_bundle(text, named))
        with ledger_of(ctx).begin() as session:
            permit_again(session, verified.digest, reason or "")
        acknowledged = f" (acknowledged: {disagreement})" if disagreement else ""
        because_of = f" because: {reason}{acknowledged}" if reason else ""
        record_configuration(ctx, f"bundle {verified.digest} activated{because_of}")
    if as_json:
        print_json(document)
    elif yes:
        typer.echo(f"{settings.source} now names {named}; restart the workers")
    if not yes:
        raise InputError(f"nothing was changed: {settings.source} would name {named}; give --yes to activate it")


app.command("recall")(recall)


def with_bundle(text: str, name: str) -> str:
    """Return the text of a configuration with ``[model] bundle`` set and everything else unchanged.

    Parameters
    ----------
    text : str
        TOML, with or without the section.
    name : str
        Name or folder of the bundle.
    """
    # A JSON string is a valid TOML basic string for these names; TOML has no writer in the standard library, and a
    # library would lose the comments of the file.
    line = f"bundle = {json.dumps(name, ensure_ascii=False)}"
    section = re.search(r"^\[model\][^\n]*$", text, re.MULTILINE)
    if section is None:
        return f"{text.rstrip()}\n\n[model]\n{line}\n".lstrip()
    rest = text[section.end() :]
    # Only within [model]: other tables may have a key `bundle`, too.
    following = re.search(r"^\[", rest, re.MULTILINE)
    inside = rest[: following.start()] if following else rest
    changed, n_changed = re.subn(r"^bundle\s*=[^\n]*$", lambda _: line, inside, count=1, flags=re.MULTILINE)
    if not n_changed:
        changed = f"\n{line}" + inside
    return text[: section.end()] + changed + rest[len(inside) :]


def _summary(manifest: BundleManifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "intended_use": manifest.intended_use,
        "demonstration": manifest.demonstration,
        "admission": manifest.admission.state,
    }
