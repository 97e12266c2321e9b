"""`cptdn web` and `cptdn users` as processes: TLS, a port that is taken, a clean end, log-ins by command."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.ledger.database import open_ledger
from node.ledger.processes import live_processes
from tests.flow.program import free_port, wait_for

CPTDN = str(Path(sys.executable).with_name("cptdn"))


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "web.pem", folder / "web.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return pem, private


def write_config(folder: Path, web: str) -> Path:
    config = folder / "cptdn.toml"
    config.write_text(f'[storage]\nroot = "data"\n[web]\n{web}\n')
    return config


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running_web(config: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([CPTDN, "web", "--config", str(config)], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: listens(port), 120, lambda: f"nothing listens; the process ended with {process.poll()}")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_pages_by_tls_with_nothing_old(tmp_path: Path) -> None:
    pem, private = certificate(tmp_path)
    port = free_port()
    tls = f'tls = {{ certificate = "{pem}", private_key = "{private}" }}'
    with running_web(write_config(tmp_path, f"port = {port}\n{tls}"), port) as process:
        trusted = ssl.create_default_context(cafile=str(pem))
        answer = httpx.get(f"https://127.0.0.1:{port}/cases", verify=trusted, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"]
        assert "Secure" in answer.headers["set-cookie"]
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/cases", timeout=30)
        assert handshake(port, pem, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        assert handshake(port, pem, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        for old in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
            assert handshake(port, pem, old) is None
        assert handshake(port, pem, ssl.TLSVersion.TLSv1_2, "AES128-SHA256:AES256-SHA256") is None
    assert process.returncode == 0
    with open_ledger(f"sqlite:///{tmp_path / 'data' / 'ledger.db'}").begin() as session:
        assert live_processes(session, "web") == []  # the heartbeat has said goodbye


def handshake(port: int, ca: Path, version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> str | None:
    """The protocol that a client of exactly this version gets, or None when it is refused."""
    client = ssl.create_default_context(cafile=str(ca))
    client.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version = client.maximum_version = version
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            return wrapped.version()
    except (ssl.SSLError, ConnectionError):
        return None


@pytest.mark.parametrize(
    ("web", "said"),
    [
        ("port = {taken}", "[web] cannot listen on 127.0.0.1:"),
        ('port = {free}\ntls = {{ certificate = "no.pem", private_key = "no.key" }}', "[web] tls: certificate and key"),
    ],
)
def test_what_cannot_be_served_gets_one_sentence(tmp_path: Path, web: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = write_config(tmp_path, web.format(taken=taken.getsockname()[1], free=free_port()))
        done = subprocess.run(
            [CPTDN, "web", "--config", str(config)], capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"cptdn: {said}")
    assert done.stderr.count("\n") == 1


def test_users_by_command(tmp_path: Path) -> None:
    config = str(write_config(tmp_path, "port = 8042"))

    def users(*arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CPTDN, "users", *arguments, "--config", config], input=password, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    first = users("add", "boss", "--role", "admin", "--password-stdin", "--json", password="a short sentence\n")
    assert json.loads(first.stdout) == {"name": "boss", "role": "admin"}
    for arguments, password, said in (
        (("add", "boss", "--password-stdin"), "a short sentence\n", "exists already"),
        (("add", "wang", "--password-stdin"), "short\n", "10 to 256 characters, found 5"),
        (("add", "wang", "--role", "king", "--password-stdin"), "a short sentence\n", "expected one of the roles read"),
        (("add", "wang"), "", "expected a terminal"),
        (("remove", "nobody"), "", "no user nobody"),
    ):
        done = users(*arguments, password=password)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert said in done.stderr, done.stderr
        assert "a short sentence" not in done.stderr
    (listed,) = json.loads(users("list", "--json").stdout)
    assert (listed["name"], listed["role"], listed["logged_in_at"]) == ("boss", "admin", None)
    assert users("remove", "boss").returncode == 0
    assert json.loads(users("list", "--json").stdout) == []
