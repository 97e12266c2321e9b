"""Other people's PACS for the flow tests: dcmtk's storescp, and Orthanc."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.flow.program import free_port, wait_for
from tests.peers import absent, peer

START_WITHIN_S = 30.0
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
WITHOUT_NAGLE = {**os.environ, "TCP_NODELAY": "1"}


@contextmanager
def _process(command: list[str], log: Path, port: int) -> Iterator[None]:
    """A server that listens on `port`, ended by its pid."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "TCP_NODELAY": "1"}
        )
    try:
        wait_for(lambda: _listens(port), START_WITHIN_S, log.read_text)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """dcmtk's receiving server; gives its port. What it receives lands in `folder`."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [peer("storescp", "dcmtk"), "+B", "-aet", "PACS", "-od", str(folder), "-fe", ".dcm", str(port)]
    with _process(command, folder.with_suffix(".log"), port):
        yield port


def storescu(port: int, paths: list[Path]) -> None:
    """Send files with dcmtk as the PACS would; fails with dcmtk's words."""
    command = [peer("storescu", "dcmtk"), "-R", "-aet", "PACS", "-aec", "CPTDN", "127.0.0.1", str(port)]
    done = subprocess.run(
        [*command, *map(str, paths)], capture_output=True, text=True, env=WITHOUT_NAGLE, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Orthanc:
    """A running Orthanc."""

    dicom_port: int
    url: str

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.url}{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def upload(self, path: Path) -> None:
        httpx.post(f"{self.url}/instances", content=path.read_bytes(), timeout=30).raise_for_status()

    def file(self, orthanc_id: str) -> bytes:
        answer = httpx.get(f"{self.url}/instances/{orthanc_id}/file", timeout=30)
        answer.raise_for_status()
        return answer.content

    def instances_of_modality(self, study_instance_uid: str, modality: str) -> list[str]:
        """Orthanc's ids of the instances of one modality in a study."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid, "Modality": modality}}
        answer = httpx.post(f"{self.url}/tools/find", content=json.dumps(query), timeout=30)
        answer.raise_for_status()
        return list(answer.json())


@contextmanager
def orthanc(
    folder: Path, node_port: int, dicom_port: int, routes: bool = True, plugins: tuple[str, ...] = (),
    stow_to: tuple[str, str] | None = None,
) -> Iterator[Orthanc]:  # fmt: skip
    """Orthanc as the hospital's PACS: it routes every stable MR study to the node, spoken to on loopback only.

    routes : False: it keeps what it has until it is asked.
    plugins : files.
    stow_to : base address and bearer token of a DICOMweb server; its DICOMweb plugin is loaded then, too.
    """
    if stow_to is not None and not DICOMWEB_PLUGIN.exists():
        absent("Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)")
    program = peer("Orthanc", "orthanc")
    http_port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "route.lua").write_text(
        "function OnStableStudy(study, tags, metadata)\n"
        "  for _, series in ipairs(ParseJson(RestApiGet('/studies/' .. study))['Series']) do\n"
        "    local found = ParseJson(RestApiGet('/series/' .. series))\n"
        "    local modality = found['MainDicomTags']['Modality']\n"
        "    if modality == 'MR' or modality == 'RTSTRUCT' then\n"
        "      for _, instance in ipairs(found['Instances']) do SendToModality(instance, 'cptdn') end\n"
        "    end\n"
        "  end\n"
        "end\n"
    )
    store = str(folder / "store")
    node = {"AET": "CPTDN", "Host": "127.0.0.1", "Port": node_port, "AllowStorageCommitment": True}
    configuration = {
        "Name": "PACS",
        "DicomAet": "PACS",
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StorageDirectory": store,
        "IndexDirectory": store,
        "StableAge": 2,
        "LuaScripts": [str(folder / "route.lua")] if routes else [],
        "Plugins": list(plugins),
        "DicomModalities": {"cptdn": node},
    }
    if stow_to is not None:
        server = {"Url": stow_to[0], "HttpHeaders": {"Authorization": f"Bearer {stow_to[1]}"}}
        configuration["Plugins"] = [*plugins, str(DICOMWEB_PLUGIN)]
        configuration["DicomWeb"] = {"Enable": True, "Root": "/dicom-web/", "Servers": {"cptdn": server}}
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with _process([program, str(folder / "orthanc.json")], folder / "orthanc.log", http_port):
        running = Orthanc(dicom_port, f"http://127.0.0.1:{http_port}")
        time.sleep(0.2)
        yield running


@contextmanager
def dcmqrscp(folder: Path, node_port: int, files: list[Path]) -> Iterator[int]:
    """dcmtk's archive with these files in it, which may move to the node; gives its port."""
    program, port, area = peer("dcmqrscp", "dcmtk"), free_port(), folder / "area"
    area.mkdir(parents=True, exist_ok=True)
    (folder / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\ncptdn = (CPTDN, 127.0.0.1, {node_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nPACS {area} RW (200, 1024mb) ANY\nAETable END\n"
    )
    with _process([program, "-c", str(folder / "dcmqrscp.cfg"), str(port)], folder / "dcmqrscp.log", port):
        sent = subprocess.run(
            [peer("storescu", "dcmtk"), "-R", "-aec", "PACS", "127.0.0.1", str(port), *map(str, files)],
            capture_output=True, text=True, env=WITHOUT_NAGLE, timeout=120, check=False,
        )  # fmt: skip
        assert sent.returncode == 0, sent.stdout + sent.stderr
        yield port
