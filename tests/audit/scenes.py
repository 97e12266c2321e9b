"""Audit trails for tests: settings in a folder, the schema of PS3.15, and rsyslog as the repository."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from config.settings import AuditSettings, Settings, StorageSettings, SyslogSettings
from node.audit.syslog import body_of
from tests.dicom.certificates import Authority, Certificate
from tests.flow.program import free_port, wait_for
from tests.peers import peer

SCHEMA = Path(__file__).with_name("audit_message.rng")


def audit_settings(root: Path, **audit: Any) -> Settings:
    return Settings(storage=StorageSettings(root=root, min_free_gb=0), audit=AuditSettings(**audit))


def checked(line: bytes) -> etree._Element:
    """The message of a recorded line, which must be valid by the schema of PS3.15."""
    root = etree.fromstring(body_of(line))
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    assert schema.validate(root), f"{schema.error_log}\n{line!r}"
    return root


@dataclass
class Rsyslog:
    """rsyslog as audit repository; what it takes is one JSON line a message in `kept`."""

    folder: Path
    port: int
    transport: str
    server: Certificate | None = None
    ask_for_certificates: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def kept(self) -> Path:
        return self.folder / "kept.log"

    def messages(self) -> list[bytes]:
        return self.kept.read_bytes().splitlines() if self.kept.exists() else []

    def settings(self, client: Certificate | None = None) -> SyslogSettings:
        ours = {"certificate": client.certificate, "private_key": client.private_key} if client else {}
        ca = self.server.ca if self.server else None
        return SyslogSettings(
            host="127.0.0.1", port=self.port, transport=self.transport, ca=ca, timeout_s=5, **ours
        )  # fmt: skip

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        lines = [f'global(workDirectory="{work}" maxMessageSize="64k"']
        if self.server is not None:
            lines[0] += (
                f' DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="{self.server.ca}"'
                f' DefaultNetstreamDriverCertFile="{self.server.certificate}"'
                f' DefaultNetstreamDriverKeyFile="{self.server.private_key}"'
            )
        lines[0] += ")"
        if self.transport == "udp":
            lines += ['module(load="imudp")', f'input(type="imudp" address="127.0.0.1" port="{self.port}")']
        else:
            mode = "x509/certvalid" if self.ask_for_certificates else "anon"
            tls = f' StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="{mode}"'
            lines += [
                f'module(load="imtcp"{tls if self.server else ""})',
                f'input(type="imtcp" address="127.0.0.1" port="{self.port}")',
            ]
        # The name of the application and the message's own id, then the message as it came.
        lines += [
            'template(name="kept" type="string" string="%app-name% %msgid% %syslogfacility% %rawmsg%\\n")',
            f'action(type="omfile" file="{self.kept}" template="kept" asyncWriting="off" flushOnTXEnd="on")',
        ]
        (self.folder / "rsyslog.conf").write_text("\n".join(lines) + "\n")
        with (self.folder / "rsyslogd.log").open("ab") as out:
            self.process = subprocess.Popen(
                [
                    peer("rsyslogd", "rsyslog rsyslog-gnutls"), "-n", "-f", str(self.folder / "rsyslog.conf"),
                    "-i", str(self.folder / "pid"),
                ],
                stdout=out, stderr=out,
            )  # fmt: skip
        if self.transport != "udp":
            wait_for(self._listens, 20, lambda: (self.folder / "rsyslogd.log").read_text())

    def stop(self, hard: bool = False) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def rsyslog(
    folder: Path, transport: str = "tls", authority: Authority | None = None, ask_for_certificates: bool = False
) -> Iterator[Rsyslog]:
    server = authority.issue("repository") if authority is not None and transport == "tls" else None
    repository = Rsyslog(folder, free_port(), transport, server, ask_for_certificates)
    repository.start()
    try:
        yield repository
    finally:
        repository.stop()
