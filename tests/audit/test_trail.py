"""The trail on the disk, and its way to a repository that is sometimes away: rsyslog by TLS, TCP and UDP."""

from __future__ import annotations

import multiprocessing
import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from config.errors import SettingsError
from config.settings import Settings, SyslogSettings
from node.audit.forwarding import Forwarder, backlog_bytes, forwarding, read_position
from node.audit.recorder import Audit, open_audit
from node.audit.syslog import Repository, RepositoryError, client_context
from node.audit.trail_file import TrailFile
from tests.audit.appending import append_lines
from tests.audit.scenes import Rsyslog, audit_settings, checked, rsyslog
from tests.dicom.certificates import Authority
from tests.flow.program import wait_for


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def test_processes_that_write_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append_lines, args=(tmp_path, name, 40)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    lines = [line.decode().split() for line in TrailFile(tmp_path, 500).lines()]
    assert len(lines) == 120
    for name in "abc":
        assert [int(number) for _, writer, number in lines if writer == name] == list(range(40))
    numbers = TrailFile(tmp_path, 500).numbers()
    assert len(numbers) > 1
    sizes = [(tmp_path / f"audit-{number:06d}.log").stat().st_size for number in numbers]
    assert max(sizes) <= 500


@pytest.mark.parametrize("length", range(7, 40))
def test_no_file_is_longer_than_its_limit_with_line_ends_and_torn_lines(tmp_path: Path, length: int) -> None:
    trail = TrailFile(tmp_path, 100)
    for _ in range(20):
        trail.append(b"<85>1 " + b"x" * (length - 6))
    last = trail.path(trail.numbers()[-1])
    os.truncate(last, last.stat().st_size - 1)
    trail.append(b"<85>1 " + b"x" * (length - 6))
    assert max(trail.path(number).stat().st_size for number in trail.numbers()) <= 100
    assert len(trail.numbers()) > 1


def test_only_the_service_may_read_the_trail(tmp_path: Path) -> None:
    trail = TrailFile(tmp_path / "audit", 1_000)
    trail.append(b"<85>1 x")
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
    assert trail.path(1).stat().st_mode & 0o777 == 0o600


def test_half_a_line_of_a_power_cut_is_left_alone(tmp_path: Path) -> None:
    trail = TrailFile(tmp_path, 1_000_000)
    trail.append(b"<85>1 whole")
    with trail.path(1).open("ab") as stream:
        stream.write(b"<85>1 hal")
    trail.append(b"<85>1 next")
    assert list(trail.lines()) == [b"<85>1 whole", b"<85>1 hal", b"<85>1 next"]


def test_closed_files_are_deleted_when_they_are_old_and_forwarded(tmp_path: Path) -> None:
    trail = TrailFile(tmp_path, 10)
    for number in range(4):
        trail.append(b"<85>1 %d" % number)
    assert trail.numbers() == [1, 2, 3, 4]
    long_ago = time.time() - 3 * 86400
    for number in (1, 2, 3):
        os.utime(trail.path(number), (long_ago, long_ago))
    trail.prune(keep_days=5, before=4)
    assert trail.numbers() == [1, 2, 3, 4]
    trail.prune(keep_days=2, before=3)
    assert trail.numbers() == [3, 4]


def started(folder: Path, repository: Rsyslog, **syslog: object) -> Audit:
    return open_audit(audit_settings(folder, syslog=repository.settings(), **syslog), "node")


def forwarded(audit: Audit, settings: SyslogSettings | None = None) -> int:
    """One attempt, with a connection of its own."""
    repository = settings or audit.settings.audit.syslog
    assert repository is not None
    with closing(Forwarder(audit.trail, Repository(repository))) as forwarder:
        return forwarder.forward()


def logins(audit: Audit, first: int, last: int) -> None:
    for number in range(first, last):
        audit.authentication(f"user-{number:03d}", address="192.0.2.7", success=True)


def users(repository: Rsyslog) -> list[str]:
    return [part[:8].decode() for line in repository.messages() for part in line.split(b'UserID="')[1:2]]


@pytest.mark.parametrize("transport", ["tls", "tcp", "udp"])
def test_rsyslog_gets_every_message_in_order(tmp_path: Path, authority: Authority, transport: str) -> None:
    with rsyslog(tmp_path / "repository", transport, authority) as repository:
        audit = started(tmp_path / "data", repository)
        wait_for(lambda: repository.process and repository.process.poll() is None, 5, lambda: "rsyslog ended")
        time.sleep(0.5 if transport == "udp" else 0)  # UDP has nobody to ask whether it is there
        with forwarding(audit.settings, audit.trail):
            logins(audit, 0, 20)
            wait_for(lambda: len(users(repository)) == 20, 20, lambda: str(repository.messages()[-1:]))
        assert users(repository) == [f"user-{number:03d}" for number in range(20)]
        first = repository.messages()[0]
        assert first.startswith(b"cptdn DICOM+RFC3881 10 <85>1 ")  # what rsyslog parsed, and the message as it came
        assert first.split(b" ", 3)[3] == next(audit.trail.lines())
        checked(first.split(b" ", 3)[3])


def test_events_of_an_unreachable_repository_are_forwarded_later_and_once(tmp_path: Path, authority: Authority) -> None:
    with rsyslog(tmp_path / "repository", "tls", authority) as repository:
        audit = started(tmp_path / "data", repository)
        forwarder = Forwarder(audit.trail, Repository(repository.settings()))
        logins(audit, 0, 5)
        assert forwarder.forward() == 5
        wait_for(lambda: len(users(repository)) == 5, 20, lambda: str(repository.messages()))
        repository.stop()
        logins(audit, 5, 10)
        for _ in range(2):
            with pytest.raises(RepositoryError, match="did not take messages"):
                forwarder.forward()
        assert backlog_bytes(audit.trail) > 0
        repository.start()
        forwarder.close()
        assert forwarded(audit) == 5  # another process takes over where this one stood
        assert backlog_bytes(audit.trail) == 0
        wait_for(lambda: len(users(repository)) == 10, 20, lambda: str(repository.messages()))
        assert users(repository) == [f"user-{number:03d}" for number in range(10)]


def test_recording_never_waits_for_the_repository(tmp_path: Path) -> None:
    """A repository that takes connections and then says nothing: recording goes on at once."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings: Settings = audit_settings(
            tmp_path,
            syslog={"host": "127.0.0.1", "port": silent.getsockname()[1], "ca": _any_ca(tmp_path), "timeout_s": 60},
        )
        audit = open_audit(settings, "node")
        audit.started()
        context = forwarding(settings, audit.trail)
        context.__enter__()
        connection, _ = silent.accept()  # the forwarder now waits for a handshake
        logins(audit, 0, 10)  # would take ten times its patience, longer than a test may last
        assert len(list(audit.trail.lines())) == 11
        connection.close()
        silent.close()
        context.__exit__(None, None, None)


def _any_ca(folder: Path) -> str:
    return str(Authority(folder / "ca").certificate)


def test_a_repository_of_another_authority_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path / "other", "other")
    with rsyslog(tmp_path / "repository", "tls", stranger) as repository:
        settings = repository.settings().model_copy(update={"ca": authority.certificate})
        audit = open_audit(audit_settings(tmp_path / "data", syslog=settings), "node")
        logins(audit, 0, 1)
        with pytest.raises(RepositoryError, match="certificate verify failed"):
            forwarded(audit, settings)
        assert users(repository) == []


def test_we_show_our_certificate_where_the_repository_asks(tmp_path: Path, authority: Authority) -> None:
    client = authority.issue("node")
    with rsyslog(tmp_path / "repository", "tls", authority, ask_for_certificates=True) as repository:
        with_ours = repository.settings(client)
        audit = open_audit(audit_settings(tmp_path / "data", syslog=with_ours), "node")
        logins(audit, 0, 2)
        assert forwarded(audit, with_ours) == 2
        wait_for(lambda: len(users(repository)) == 2, 20, lambda: str(repository.messages()))


def test_files_are_forwarded_one_after_another(tmp_path: Path) -> None:
    with rsyslog(tmp_path / "repository", "tcp") as repository:
        settings = audit_settings(tmp_path / "data", syslog=repository.settings())
        audit = open_audit(settings, "node")
        audit.trail = TrailFile(audit.trail.folder, 2_000)
        logins(audit, 0, 12)
        assert len(audit.trail.numbers()) > 3
        assert forwarded(audit) == 12
        assert read_position(audit.trail).number == max(audit.trail.numbers())
        wait_for(lambda: len(users(repository)) == 12, 20, lambda: str(repository.messages()))
        assert users(repository) == [f"user-{number:03d}" for number in range(12)]


def test_a_wrong_certificate_file_is_named(tmp_path: Path, authority: Authority) -> None:
    settings = Rsyslog(tmp_path, 1, "tls", authority.issue("x")).settings()
    with pytest.raises(SettingsError, match=r"audit\.syslog"):
        client_context(settings.model_copy(update={"ca": tmp_path / "none.pem"}))
