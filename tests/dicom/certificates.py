"""A certificate authority for one test, made with the openssl program."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.settings import TlsSettings
from tests.peers import peer


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    private_key: Path
    ca: Path

    def settings(self, require_client_certificate: bool = True) -> TlsSettings:
        return TlsSettings(
            certificate=self.certificate, private_key=self.private_key, ca=self.ca,
            require_client_certificate=require_client_certificate,
        )  # fmt: skip


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.openssl = folder, peer("openssl", "openssl")
        self.key, self.certificate = folder / f"{name}.key", folder / f"{name}.pem"
        self._run(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            f"/CN=Test {name}", "-keyout", str(self.key), "-out", str(self.certificate),
        )  # fmt: skip

    def issue(self, name: str) -> Certificate:
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self._run(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)
        )
        self._run(
            "x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key),
            "-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(certificate),
        )  # fmt: skip
        return Certificate(certificate, key, self.certificate)

    def _run(self, *arguments: str) -> None:
        subprocess.run([self.openssl, *arguments], check=True, capture_output=True)
