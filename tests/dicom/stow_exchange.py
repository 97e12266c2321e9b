"""Run inside a network namespace of its own: STOW-RS to Orthanc's DICOMweb plugin, and the files back by WADO-RS.

Orthanc binds its DICOM port to every address, so this is started under `unshare -n` (see test_stow_client.py).
usage: python stow_exchange.py FOLDER: sends FOLDER/*.dcm twice, writes FOLDER/back/*.dcm and prints the outcomes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pydicom import dcmread

from config.settings import PacsSettings
from node.dicom.scu.store_scu import FileToSend, SendOutcome
from node.dicom.scu.stow_client import check_stow, stow
from tests.dicom_sr.orthanc_exchange import DICOM_PORT, HTTP_PORT, get, wait_until_up

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    configuration = {
        "Name": "PEER", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "DicomPort": DICOM_PORT, "HttpPort": HTTP_PORT, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "Plugins": [PLUGIN], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("w") as log:
        orthanc = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            print(json.dumps(exchange(folder)))
        finally:
            orthanc.terminate()
            orthanc.wait(20)


def exchange(folder: Path) -> dict[str, object]:
    wait_until_up()
    pacs = PacsSettings(stow_url=f"http://127.0.0.1:{HTTP_PORT}/dicom-web")
    files = [to_send(path) for path in sorted(folder.glob("*.dcm"))]
    once, again = (shown(stow(files, pacs, lambda: True)) for _ in range(2))
    (folder / "back").mkdir()
    for identifier in json.loads(get("/instances")):
        (folder / "back" / f"{identifier}.dcm").write_bytes(get(f"/instances/{identifier}/file"))
    return {"once": once, "again": again, "check": check_stow(pacs)}


def to_send(path: Path) -> FileToSend:
    meta = dcmread(path, stop_before_pixels=True).file_meta
    return FileToSend(
        path, str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID)
    )


def shown(outcomes: list[SendOutcome]) -> list[tuple[str, str]]:
    return [(outcome.sop_instance_uid, outcome.verdict.value) for outcome in outcomes]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
