"""Signatures of bundles: openssl agrees with ours, both ways; what no trusted key has signed is not loaded."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from config.bundle_manifest import MANIFEST, canonical_json, read_manifest
from config.bundle_signature import SIGNATURES, check_signature, sign, trust_of
from config.errors import InputError, ModelBundleError, SettingsError
from config.settings import BUNDLES, ModelSettings, Settings
from tests.flow.program import run_in_process
from tests.peers import peer
from workers.bundles.bundle import load_bundle
from workers.bundles.packing import pack_bundle
from workers.pipeline.context import WorkerContext


def openssl(*arguments: str) -> None:
    done = subprocess.run([peer("openssl", "openssl"), *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def key_pair(folder: Path, name: str, *options: str) -> tuple[Path, Path]:
    """A private and a public key, made by openssl."""
    private, public = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("genpkey", "-algorithm", "ed25519", *options, "-out", str(private))
    passphrase = ["-passin", "pass:sesame"] if options else []
    openssl("pkey", "-in", str(private), *passphrase, "-pubout", "-out", str(public))
    return private, public


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("anna"), "anna")


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key_pair(tmp_path_factory.mktemp("bob"), "bob")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "copy"))


def model(*keys: Path, required: bool = False) -> ModelSettings:
    return ModelSettings(trusted_keys=keys, require_signature=required)


def test_openssl_verifies_what_we_sign(copy: Path, anna: tuple[Path, Path], tmp_path: Path) -> None:
    sign(read_manifest(copy), anna[0])
    (one,) = json.loads((copy / SIGNATURES).read_text())["signatures"]
    (tmp_path / "signature").write_bytes(base64.b64decode(one["signature"]))
    (tmp_path / "signed").write_bytes(canonical_json(json.loads((copy / MANIFEST).read_text())))
    openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", str(anna[1]), "-rawin", "-in", str(tmp_path / "signed"), "-sigfile",
        str(tmp_path / "signature"),
    )  # fmt: skip


def test_we_accept_what_openssl_signs(copy: Path, anna: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(canonical_json(json.loads((copy / MANIFEST).read_text())))
    openssl(
        "pkeyutl", "-sign", "-inkey", str(anna[0]), "-rawin", "-in", str(tmp_path / "signed"), "-out",
        str(tmp_path / "signature"),
    )  # fmt: skip
    openssl("pkey", "-pubin", "-in", str(anna[1]), "-outform", "DER", "-out", str(tmp_path / "key.der"))
    digest = subprocess.run(
        [peer("openssl", "openssl"), "dgst", "-sha256", "-r", str(tmp_path / "key.der")],
        capture_output=True,
        check=True,
    )
    signature = base64.b64encode((tmp_path / "signature").read_bytes()).decode()
    entry = {"key": "sha256:" + digest.stdout.split()[0].decode(), "signature": signature}
    (copy / SIGNATURES).write_text(json.dumps({"signatures": [entry]}))
    assert load_bundle(copy, trust_of(model(anna[1], required=True))).manifest.name == "cptdn-demonstration"


def test_where_a_signature_is_required_nothing_else_is_loaded(
    copy: Path, anna: tuple[Path, Path], bob: tuple[Path, Path]
) -> None:
    trust = trust_of(model(anna[1], required=True))
    with pytest.raises(ModelBundleError, match="found no signature"):
        load_bundle(copy, trust)
    sign(read_manifest(copy), bob[0])
    with pytest.raises(ModelBundleError, match="1 other key"):
        load_bundle(copy, trust)
    sign(read_manifest(copy), anna[0])
    assert check_signature(read_manifest(copy), trust) is not None
    assert len(json.loads((copy / SIGNATURES).read_text())["signatures"]) == 2
    load_bundle(copy, trust)


def test_a_manifest_that_was_changed_after_signing_is_never_loaded(copy: Path, anna: tuple[Path, Path]) -> None:
    sign(read_manifest(copy), anna[0])
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "intended_use": "clinical", "demonstration": False}))
    for required in (True, False):
        with pytest.raises(ModelBundleError, match="not the one that key"):
            load_bundle(copy, trust_of(model(anna[1], required=required)))


def test_a_worker_checks_the_signature_before_it_reads_anything_else(copy: Path, anna: tuple[Path, Path]) -> None:
    (copy / "member-1" / "t1w.safetensors").write_bytes(b"not even a tensor")
    context = WorkerContext(Settings(model=model(anna[1], required=True)))
    with pytest.raises(ModelBundleError, match="found no signature"):
        context.bundle(str(copy))


def test_packing_anew_drops_the_signature(copy: Path, anna: tuple[Path, Path]) -> None:
    sign(read_manifest(copy), anna[0])
    manifest = json.loads((copy / MANIFEST).read_text())
    pack_bundle(copy, {**manifest, "description": "other"})
    assert not (copy / SIGNATURES).exists()


def test_the_commands_sign_and_say_who_signed(copy: Path, anna: tuple[Path, Path], tmp_path: Path) -> None:
    config = tmp_path / "cptdn.toml"
    config.write_text(f'[model]\ntrusted_keys = ["{anna[1]}"]\nrequire_signature = true\n')
    refused = run_in_process("bundle", "verify", str(copy), "--config", str(config))
    assert (refused.returncode, "found no signature" in refused.stderr) == (1, True)
    signed = json.loads(run_in_process("bundle", "sign", str(copy), "--key", str(anna[0]), "--json").stdout)
    verified = json.loads(run_in_process("bundle", "verify", str(copy), "--config", str(config), "--json").stdout)
    assert verified["signed_by"] == signed["signed_by"]
    shown = run_in_process("bundle", "verify", str(copy))
    assert "Not signed by a key of [model] trusted_keys" in shown.stdout


def test_a_key_with_a_passphrase_needs_it(copy: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "carla", "-aes256", "-pass", "pass:sesame")
    with pytest.raises(InputError, match="expected an Ed25519 private key"):
        sign(read_manifest(copy), private)
    sign(read_manifest(copy), private, "sesame")
    assert check_signature(read_manifest(copy), trust_of(model(public)))


def test_keys_of_another_kind_are_refused(copy: Path, tmp_path: Path) -> None:
    private, public = tmp_path / "rsa.key", tmp_path / "rsa.pem"
    openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(private))
    openssl("pkey", "-in", str(private), "-pubout", "-out", str(public))
    with pytest.raises(SettingsError, match="another kind"):
        trust_of(model(public))
    with pytest.raises(InputError, match="another kind"):
        sign(read_manifest(copy), private)
    with pytest.raises(SettingsError, match="no public key"):
        trust_of(model(copy / MANIFEST))


@pytest.mark.parametrize("content", ["", "[]", '{"signatures": [{"key": "x"}]}', '{"signatures": [7]}'])
def test_a_broken_signature_file_is_named(copy: Path, anna: tuple[Path, Path], content: str) -> None:
    (copy / SIGNATURES).write_text(content)
    with pytest.raises(ModelBundleError, match=r"signatures\.json"):
        load_bundle(copy, trust_of(model(anna[1])))
