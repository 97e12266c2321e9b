"""Access control: address lists, limits of one peer, user identities, and rejections in the audit trail."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from config.addresses import is_within
from config.errors import SettingsError
from config.settings import NodeSettings, PacsSettings
from node.audit.reading import read_message
from node.audit.recorder import open_audit
from node.dicom.scp.access_control import RateLimit
from node.dicom.scp.admission import Admission, Request, admit, may_connect
from node.dicom.scp.user_identity import Users, hash_passcode
from tests.dicom.raw_scu import EXPLICIT, IMPLICIT, MR, RawSender
from tests.dicom.scenes import Scene, encoded, mr_slice, scene, write_file
from tests.flow.program import wait_for
from tests.peers import peer

VERIFICATION = "1.2.840.10008.1.1"
ECHO = [(VERIFICATION, [IMPLICIT])]


@pytest.mark.parametrize(
    ("titles", "addresses", "calling", "address", "decision"),
    [
        ((), ("10.1.0.0/16",), "ANY", "10.1.2.3", Admission.FULL),
        ((), ("10.1.0.0/16",), "ANY", "::ffff:10.1.2.3", Admission.FULL),
        ((), ("10.1.0.0/16",), "ANY", "10.2.2.3", Admission.ADDRESS_UNKNOWN),
        ((), ("10.1.0.0/16",), "ANY", "127.0.0.1", Admission.ADDRESS_UNKNOWN),
        ((), ("2001:db8::/32",), "ANY", "2001:db8::7", Admission.FULL),
        (("MOD",), ("10.1.0.0/16",), "MOD", "10.1.2.3", Admission.FULL),
        (("MOD",), ("10.1.0.0/16",), "OTHER", "10.1.2.3", Admission.CALLING_AE_UNKNOWN),
        (("MOD",), ("10.1.0.0/16",), "MOD", "10.2.2.3", Admission.ADDRESS_UNKNOWN),
        (("MOD",), ("10.1.0.0/16",), "ARCHIVE", "192.0.2.7", Admission.RESULTS_ONLY),
        (("MOD",), ("10.1.0.0/16",), "MOD", "192.0.2.7", Admission.ADDRESS_UNKNOWN),
    ],
)
def test_a_peer_must_be_on_each_list_that_is_not_empty(
    titles: tuple[str, ...], addresses: tuple[str, ...], calling: str, address: str, decision: Admission
) -> None:
    node = NodeSettings(allowed_calling_aes=titles, allowed_addresses=addresses)
    archive = PacsSettings(ae_title="ARCHIVE", host="192.0.2.7")
    assert admit(Request(calling, "CPTDN", address), node, (archive,)) is decision


@pytest.mark.parametrize(
    ("titles", "addresses", "address", "listens"),
    [
        ((), (), "127.0.0.1", True),
        ((), (), "10.0.0.5", False),
        ((), (), "192.0.2.7", True),  # the configured PACS may report commitments
        (("MOD",), (), "10.0.0.5", True),
        (("MOD",), ("10.1.0.0/16",), "10.0.0.5", False),
        (("MOD",), ("10.1.0.0/16",), "10.1.0.5", True),
    ],
)
def test_off_loopback_a_connection_needs_a_list(
    titles: tuple[str, ...], addresses: tuple[str, ...], address: str, listens: bool
) -> None:
    node = NodeSettings(allowed_calling_aes=titles, allowed_addresses=addresses)
    assert may_connect(address, node, (PacsSettings(host="192.0.2.7"),)) is listens


def test_a_host_name_is_within_no_network() -> None:
    assert not is_within("example.org", ("0.0.0.0/0",))
    with pytest.raises(ValueError, match=r"does not appear|not a valid"):
        NodeSettings(allowed_addresses=("example.org",))


def alerts(node: Scene) -> list[dict[str, Any]]:
    messages = [read_message(line) for line in open_audit(node.settings).trail.lines()]
    return [message for message in messages if message["event"] == "Security Alert"]


def test_a_connection_from_an_unlisted_address_is_closed_unread_and_recorded(tmp_path: Path) -> None:
    with scene(tmp_path / "data", allowed_addresses=("10.1.0.0/16",)) as node:
        with socket.create_connection(("127.0.0.1", node.port), 10) as connection:
            assert connection.recv(1) == b""
        (alert,) = wait_for(lambda: alerts(node), 10, lambda: "no alert")
        assert alert["types"] == ["Node Authentication"]
        assert alert["about"][0]["id"] == "127.0.0.1"


def test_a_rejected_association_is_recorded_with_its_title(tmp_path: Path) -> None:
    with scene(tmp_path / "data", allowed_calling_aes=("MOD",)) as node:
        with RawSender(node.port, ECHO, calling="STRANGER") as sender:
            assert sender.rejection == (1, 1, 3)
        (alert,) = wait_for(lambda: alerts(node), 10, lambda: "no alert")
        assert {"STRANGER"} < {user["user"] for user in alert["who"]}
        assert "calling ae unknown" in alert["description"]


def test_one_peer_cannot_take_all_associations(tmp_path: Path) -> None:
    limits = {"max_associations": 8, "max_associations_per_peer": 2}
    with scene(tmp_path / "data", **limits) as node, contextlib.ExitStack() as held:
        for _ in range(2):
            assert held.enter_context(RawSender(node.port, ECHO)).rejection is None
        assert held.enter_context(RawSender(node.port, ECHO)).rejection == (2, 3, 2)
        half_open = [held.enter_context(socket.create_connection(("127.0.0.1", node.port), 10)) for _ in range(8)]

        def closed() -> bool:
            return (
                sum(_closed(connection) for connection in half_open) >= 4
            )  # beyond twice the associations of one peer

        wait_for(closed, 10, lambda: "all connections stayed open")


def _closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_peer_with_too_many_new_associations_is_rejected_for_a_time(tmp_path: Path) -> None:
    with scene(tmp_path / "data", associations_per_minute=3) as node:
        answers = []
        for _ in range(5):
            with RawSender(node.port, ECHO) as sender:
                answers.append(sender.rejection)
        assert answers[:3] == [None] * 3
        assert (2, 3, 1) in answers[3:]


def test_the_bucket_refills_evenly_and_for_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("node.dicom.scp.access_control.time.monotonic", lambda: clock[0])
    rate = RateLimit(per_minute=2)
    assert [rate.allows("a") for _ in range(3)] == [True, True, False]
    assert rate.allows("b")
    clock[0] = 30.0
    assert [rate.allows("a") for _ in range(2)] == [True, False]


def test_an_association_ends_after_its_longest_duration_although_it_is_busy(tmp_path: Path) -> None:
    with scene(tmp_path / "data", max_association_s=0.5, network_timeout_s=30) as node:
        ds = mr_slice()
        with RawSender(node.port, [(MR, [EXPLICIT]), *ECHO]) as sender:
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            assert answer.status == 0

            def ended() -> bool:
                node.node.heartbeat()
                return sender.echo(3) is None

            wait_for(ended, 20, lambda: "it is still served")
        assert node.wait_released()


# --- user identity, PS3.7 section D.3.3.7 ---


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(f"# those who may send\nmodality:{hash_passcode('open sesame')}\n", encoding="utf-8")
    return path


def associate(port: int, name: str | None, passcode: str = "", kind: int = 2, answer: bool = True) -> Any:
    """An association of pynetdicom's with this identity; (established, rejection, server response)."""
    ae = AE(ae_title="MOD")
    ae.add_requested_context(VERIFICATION)
    items = []
    if name is not None:
        item = UserIdentityNegotiation()
        item.user_identity_type, item.primary_field = kind, name.encode()
        item.positive_response_requested = answer
        if kind == 2:
            item.secondary_field = passcode.encode()
        items.append(item)
    assoc = ae.associate("127.0.0.1", port, ae_title="CPTDN", ext_neg=items)
    try:
        primitive = assoc.acceptor.primitive
        rejection = (primitive.result, primitive.result_source, primitive.diagnostic) if assoc.is_rejected else None
        return assoc.is_established, rejection, assoc.acceptor.user_identity
    finally:
        if assoc.is_established:
            assoc.release()


def test_a_name_with_its_passcode_is_accepted_with_a_response(tmp_path: Path, users_file: Path) -> None:
    with scene(tmp_path / "data", users_file=users_file, require_user_identity=True) as node:
        established, _, response = associate(node.port, "modality", "open sesame")
        assert established
        assert response is not None
        assert response.server_response == b""
        for name, passcode, kind in (("modality", "wrong", 2), ("nobody", "open sesame", 2), ("modality", "", 1)):
            assert associate(node.port, name, passcode, kind)[:2] == (False, (1, 1, 1))
        assert associate(node.port, None)[:2] == (False, (1, 1, 1))
        lines = [read_message(line) for line in open_audit(node.settings).trail.lines()]
        logins = [(m["who"][0]["user"], m["outcome"]) for m in lines if m["event"] == "User Authentication"]
        assert logins == [("modality", "success"), ("modality", "minor failure"), ("nobody", "minor failure"),
                          ("modality", "minor failure")]  # fmt: skip


def test_without_a_requirement_only_a_wrong_identity_is_rejected(tmp_path: Path, users_file: Path) -> None:
    with scene(tmp_path / "data", users_file=users_file) as node:
        assert associate(node.port, None)[0]
        assert associate(node.port, "modality", "open sesame", answer=False)[0]
        assert not associate(node.port, "modality", "wrong")[0]


def test_dcmtk_sends_its_name_and_passcode(tmp_path: Path, users_file: Path) -> None:
    ds = mr_slice()
    path = write_file(ds, tmp_path / "one.dcm")
    with scene(tmp_path / "data", users_file=users_file, require_user_identity=True) as node:
        command = [peer("storescu", "dcmtk"), "-aec", "CPTDN", "127.0.0.1", str(node.port), str(path)]
        environment = {**os.environ, "TCP_NODELAY": "1"}
        for options, expected in ((["-usr", "modality", "-pwd", "open sesame"], 0), (["-usr", "modality"], 1), ([], 1)):
            done = subprocess.run([*command, *options], capture_output=True, timeout=60, env=environment, check=False)
            assert (done.returncode != 0) == bool(expected), done.stderr.decode()
        assert [row.sop_instance_uid for row in node.instances()] == [ds.SOPInstanceUID]


def test_a_wrong_users_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("good:$argon2id$x\nplain:secret\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="line 2") as caught:
        Users(path)
    assert "secret" not in str(caught.value)
    with pytest.raises(SettingsError, match="cannot read"):
        Users(tmp_path / "none")
    with pytest.raises(ValueError, match="users_file"):
        NodeSettings(require_user_identity=True)


def test_half_a_request_is_closed_after_the_network_timeout(tmp_path: Path) -> None:
    """As a slow-loris client leaves it."""
    with scene(tmp_path / "data", network_timeout_s=1.0) as node:
        with socket.create_connection(("127.0.0.1", node.port), 10) as slow:
            slow.sendall(struct.pack(">BBI", 0x01, 0, 5000))
            with contextlib.suppress(ConnectionError):
                while slow.recv(16):
                    continue
        with RawSender(node.port, ECHO) as sender:
            assert sender.echo(1) is not None
