"""TLS on both sides: BCP 195's floor, client certificates, and peers that speak it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import PacsUnavailableError, SettingsError
from config.settings import PacsSettings, TlsSettings
from node.dicom.network.connection import echo
from node.dicom.network.tls import server_context
from node.dicom.scu.store_scu import FileToSend, send
from node.small_pacs.pacs import SmallPacs
from tests.dicom.certificates import Authority, Certificate
from tests.dicom.scenes import MR, Scene, mr_slice, scene, write_file
from tests.peers import peer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Certificate:
    return authority.issue("server")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Certificate:
    return authority.issue("client")


@pytest.fixture
def secure(tmp_path: Path, server: Certificate) -> Iterator[Scene]:
    with scene(tmp_path / "data", tls=server.settings()) as running:
        yield running


def s_client(port: int, client: Certificate | None, *arguments: str) -> str:
    """What openssl's client says of one handshake."""
    command = [peer("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *arguments]
    if client is not None:
        command += ["-cert", str(client.certificate), "-key", str(client.private_key), "-CAfile", str(client.ca)]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=20)
    return (done.stdout + done.stderr).decode(errors="replace")


def agreed(said: str) -> bool:
    """Whether the handshake came to an end without an alert."""
    return "Cipher is (NONE)" not in said and "SSL alert number" not in said


@pytest.mark.parametrize(
    ("version", "allowed"), [("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False), ("-tls1", False)]
)
def test_nothing_older_than_tls_1_2(secure: Scene, client: Certificate, version: str, allowed: bool) -> None:
    assert agreed(s_client(secure.port, client, version, "-cipher", "ALL:@SECLEVEL=0")) == allowed


@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE-RSA-AES128-SHA", "AES256-GCM-SHA384"])
def test_ciphers_without_forward_secrecy_or_authentication_are_not_offered(
    secure: Scene, client: Certificate, cipher: str
) -> None:
    assert not agreed(s_client(secure.port, client, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0"))


def test_a_client_without_a_certificate_is_refused(secure: Scene, client: Certificate) -> None:
    assert not agreed(s_client(secure.port, None, "-tls1_2"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(client.ca)
    with (
        socket.create_connection(("127.0.0.1", secure.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        pytest.raises(ssl.SSLError, match="certificate"),
    ):
        connection.recv(1)  # with TLS 1.3 a client learns it after its own handshake


def test_a_certificate_of_another_authority_is_refused(secure: Scene, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other", "other").issue("stranger")
    assert not agreed(s_client(secure.port, stranger, "-tls1_2"))


def test_a_client_certificate_may_be_optional(tmp_path: Path, server: Certificate) -> None:
    with scene(tmp_path / "data", tls=server.settings(require_client_certificate=False)) as running:
        assert agreed(s_client(running.port, None, "-tls1_2"))


def test_an_unfinished_handshake_does_not_block_other_connections(secure: Scene, client: Certificate) -> None:
    with socket.create_connection(("127.0.0.1", secure.port)) as silent:
        silent.sendall(b"\x16\x03\x01")
        pacs = PacsSettings(ae_title="CPTDN", port=secure.port, tls=client.settings(), timeout_s=5)
        echo(pacs, "MOD")  # within its timeout, which is shorter than the silent one's


def test_an_unfinished_handshake_is_closed(
    tmp_path: Path, server: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.dicom.network.server.HANDSHAKE_TIMEOUT_S", 0.3)
    with (
        scene(tmp_path / "data", tls=server.settings(), network_timeout_s=60.0) as running,
        socket.create_connection(("127.0.0.1", running.port), 20) as silent,
    ):
        silent.sendall(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_we_store_over_tls_with_our_certificate(secure: Scene, client: Certificate, tmp_path: Path) -> None:
    ds = mr_slice(rows=256)
    path = write_file(ds, tmp_path / "one.dcm")
    pacs = PacsSettings(ae_title="CPTDN", port=secure.port, tls=client.settings(), timeout_s=5)
    [outcome] = send([FileToSend(path, MR, str(ds.SOPInstanceUID), "1.2.840.10008.1.2.1")], pacs, "MOD")
    assert outcome.status == 0
    assert len(secure.instances()) == 1


def test_a_pacs_with_a_certificate_of_another_authority_is_not_trusted(tmp_path: Path, client: Certificate) -> None:
    stranger = Authority(tmp_path / "other", "other").issue("stranger")
    with SmallPacs(tmp_path / "pacs", tls=stranger.settings(require_client_certificate=False)) as pacs:
        settings = PacsSettings(port=pacs.port, tls=client.settings(), timeout_s=5)
        with pytest.raises(PacsUnavailableError, match="cannot be reached by TLS"):
            echo(settings, "CPTDN")


def test_dcmtk_stores_over_tls(secure: Scene, client: Certificate, tmp_path: Path) -> None:
    ds = mr_slice()
    path = write_file(ds, tmp_path / "one.dcm")
    command = [
        peer("storescu", "dcmtk"), "+tls", str(client.private_key), str(client.certificate), "+cf", str(client.ca),
        "-aec", "CPTDN", "127.0.0.1", str(secure.port), str(path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    assert [row.sop_instance_uid for row in secure.instances()] == [ds.SOPInstanceUID]
    plain = [command[0], *command[6:]]
    assert subprocess.run(plain, capture_output=True, timeout=30).returncode != 0


def test_a_missing_or_wrong_file_is_named(tmp_path: Path, server: Certificate) -> None:
    settings = TlsSettings(certificate=tmp_path / "none.pem", private_key=server.private_key, ca=server.ca)
    with pytest.raises(SettingsError, match=r"none\.pem"):
        server_context(settings)
    wrong = TlsSettings(certificate=server.ca, private_key=server.private_key, ca=server.ca)
    with pytest.raises(SettingsError, match="do not make a usable set"):
        server_context(wrong)
