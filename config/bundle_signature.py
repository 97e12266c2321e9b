"""Signatures of model bundles: Ed25519 (RFC 8032) over the manifest, whose digests cover every other file.

`signatures.json` beside the manifest contains for each signer the digest of the public key and the signature of the
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

from config.atomic_files import write_atomically
from config.bundle_manifest import BundleManifest, canonical_json
from config.errors import InputError, ModelBundleError, SettingsError
from config.settings import ModelSettings

SIGNATURES = "signatures.json"


@dataclass(frozen=True)
class Trust:
    """The signers that the site trusts.

    Attributes
    ----------
    keys : dict
        Key id (see `key_id`) to public key.
    required : bool
        Refuse bundles that none of them has signed.
    """

    keys: dict[str, Ed25519PublicKey]
    required: bool = False


NO_TRUST = Trust({})


def trust_of(model: ModelSettings) -> Trust:
    """Read the public keys that ``[model] trusted_keys`` names.

    Raises
    ------
    SettingsError
        Names the file that is no Ed25519 public key in PEM.
    """
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
    """Return ``sha256:`` and the digest of the key's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).

    Parameters
    ----------
    key : Ed25519PublicKey
        Of a signer.

    Returns
    -------
    str
        Independent of the file that the key was read from: comments and line ends of a PEM file do not count.
    """
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(der).hexdigest()


def sign(manifest: BundleManifest, key_file: Path, passphrase: str | None = None) -> str:
    """Add the signature of one signer to the bundle, or renew it.

    Parameters
    ----------
    manifest : BundleManifest
        Of the bundle; its files should have been verified before.
    key_file : Path
        Ed25519 private key in PEM.
    passphrase : str, optional
        Of the key.

    Returns
    -------
    str
        The key id of the signer.

    Raises
    ------
    InputError
        The file is no Ed25519 private key, or the passphrase is wrong.
    """
    try:
        key = load_pem_private_key(key_file.read_bytes(), passphrase.encode() if passphrase else None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"expected an Ed25519 private key in {key_file}: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"expected an Ed25519 private key in {key_file}, found another kind")
    identity = key_id(key.public_key())
    signature = base64.b64encode(key.sign(canonical_json(manifest.content))).decode()
    # One signature for each key: signing again replaces the own one, and leaves those of others.
    by_key = {entry["key"]: entry["signature"] for entry in _signatures(manifest)} | {identity: signature}
    document = {"signatures": [{"key": name, "signature": value} for name, value in sorted(by_key.items())]}
    write_atomically(manifest.folder / SIGNATURES, json.dumps(document, indent=1) + "\n")
    return identity


def check_signature(manifest: BundleManifest, trust: Trust) -> str | None:
    """Check the signatures of a bundle against the keys that the site trusts.

    Returns
    -------
    str or None
        The key id of a trusted signer of this manifest; None where there is none and none is required.

    Raises
    ------
    ModelBundleError
        A trusted signer signed another content, or a signature is required and missing.
    """
    # Not the bytes of the file: a manifest that was formatted again has the same content.
    signed = canonical_json(manifest.content)
    signatures = _signatures(manifest)
    for entry in signatures:
        key = trust.keys.get(entry["key"])
        # An unknown signer is no reason to refuse: a physicist and a vendor may both have signed, and a site may trust
        # one.
        if key is None:
            continue
        try:
            key.verify(base64.b64decode(entry["signature"], validate=True), signed)
        except (InvalidSignature, ValueError) as error:
            raise ModelBundleError(
                f"bundle {manifest.name}: its manifest is not the one that key {entry['key'][:19]} has signed"
            ) from error
        return str(entry["key"])
    if trust.required:
        have = f"signatures of {len(signatures)} other key(s)" if signatures else "no signature"
        raise ModelBundleError(f"bundle {manifest.name}: expected a signature by a trusted key, found {have}")
    return None


def drop_signatures(folder: Path) -> None:
    """Remove all signatures: the manifest was written again, so that none of them fits.

    Parameters
    ----------
    folder : Path
        Of the bundle; without signatures nothing is done.
    """
    (folder / SIGNATURES).unlink(missing_ok=True)


def _signatures(manifest: BundleManifest) -> Sequence[dict[str, Any]]:
    path = manifest.folder / SIGNATURES
    if not path.exists():
        return []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [{"key": str(entry["key"]), "signature": str(entry["signature"])} for entry in document["signatures"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelBundleError(f"{path} contains no signatures: expected key and signature of each signer") from error
