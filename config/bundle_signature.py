"""Signatures of model bundles: Ed25519 over the manifest, whose digests cover every other file.

`signatures.json` stands beside the manifest: for each signer the digest of the public key and the signature of the
manifest's canonical JSON. Keys are those of `openssl genpkey -algorithm ed25519`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from config.bundle_manifest import BundleManifest, canonical_json
from config.errors import InputError, ModelBundleError, SettingsError
from config.settings import ModelSettings

SIGNATURES = "signatures.json"


@dataclass(frozen=True)
class Trust:
    """Whose signatures count, and whether one is needed. keys : key id -> public key."""

    keys: dict[str, Ed25519PublicKey]
    required: bool = False


NO_TRUST = Trust({})


def trust_of(model: ModelSettings) -> Trust:
    """What the settings say. Raises SettingsError naming the file that is no public key."""
    keys = {}
    for path in model.trusted_keys:
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise SettingsError(f"[model] trusted_keys: {path} is no public key in PEM: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError(f"[model] trusted_keys: expected an Ed25519 key in {path}, found another kind")
        keys[key_id(key)] = key
    return Trust(keys, model.require_signature)


def key_id(key: Ed25519PublicKey) -> str:
    """`sha256:` and the digest of the key's SubjectPublicKeyInfo."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(der).hexdigest()


def sign(manifest: BundleManifest, key_file: Path, passphrase: str | None = None) -> str:
    """Add this signer's signature to the bundle, or renew it; returns the key id.

    Raises InputError when the file is no Ed25519 private key.
    """
    try:
        key = load_pem_private_key(key_file.read_bytes(), passphrase.encode() if passphrase else None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"expected an Ed25519 private key in {key_file}: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"expected an Ed25519 private key in {key_file}, found another kind")
    identity = key_id(key.public_key())
    signature = base64.b64encode(key.sign(canonical_json(manifest.content))).decode()
    kept = {one["key"]: one["signature"] for one in _signatures(manifest)} | {identity: signature}
    document = {"signatures": [{"key": name, "signature": value} for name, value in sorted(kept.items())]}
    aside = manifest.folder / f".{SIGNATURES}.part"
    aside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    aside.replace(manifest.folder / SIGNATURES)
    return identity


def check_signature(manifest: BundleManifest, trust: Trust) -> str | None:
    """The key id of a trusted signer of this very manifest; None where there is none and none is needed.

    Raises ModelBundleError when a trusted signer signed something else, or when a signature is needed and missing.
    """
    signed = canonical_json(manifest.content)
    found = _signatures(manifest)
    for one in found:
        key = trust.keys.get(one["key"])
        if key is None:
            continue
        try:
            key.verify(base64.b64decode(one["signature"], validate=True), signed)
        except (InvalidSignature, ValueError) as error:
            raise ModelBundleError(
                f"bundle {manifest.name}: its manifest is not the one that key {one['key'][:19]} has signed"
            ) from error
        return str(one["key"])
    if trust.required:
        have = f"signatures of {len(found)} other key(s)" if found else "no signature"
        raise ModelBundleError(f"bundle {manifest.name}: expected a signature by a trusted key, found {have}")
    return None


def drop_signatures(folder: Path) -> None:
    """The manifest was written anew: what was signed is no more."""
    (folder / SIGNATURES).unlink(missing_ok=True)


def _signatures(manifest: BundleManifest) -> Sequence[dict[str, Any]]:
    path = manifest.folder / SIGNATURES
    if not path.exists():
        return []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [{"key": str(one["key"]), "signature": str(one["signature"])} for one in document["signatures"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelBundleError(f"{path} holds no signatures: expected key and signature of each signer") from error
