"""Run inside a network namespace of its own: files go to Orthanc over C-STORE and come back over its REST interface.

Orthanc binds its DICOM port to every address, so this is started under `unshare -n` (see test_readers.py).
usage: python orthanc_exchange.py FOLDER: sends FOLDER/*.dcm, writes FOLDER/back/*.dcm with the previews of coloured
pictures (*.png), and prints what Orthanc lists.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

DICOM_PORT, HTTP_PORT = 14242, 18042
BASE = f"http://127.0.0.1:{HTTP_PORT}"


def get(path: str) -> bytes:
    with urlopen(BASE + path, timeout=10) as answer:  # noqa: S310  (always our own loopback)
        return answer.read()


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    configuration = {
        "Name": "PEER", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "DicomPort": DICOM_PORT, "HttpPort": HTTP_PORT, "RemoteAccessAllowed": False, "DicomAet": "PEER",
        "DicomCheckCalledAet": False, "AuthenticationEnabled": False, "Plugins": [],
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
    files = sorted(str(path) for path in folder.glob("*.dcm"))
    # The pictures are compressed without loss; dcmsend would decompress them, and cannot.
    sent = ["dcmsend", "-dn", "-aec", "PEER", "127.0.0.1", str(DICOM_PORT), *files]
    subprocess.run(sent, check=True, stdout=sys.stderr, env={**os.environ, "TCP_NODELAY": "1"})
    (folder / "back").mkdir()
    for identifier in json.loads(get("/instances")):
        (folder / "back" / f"{identifier}.dcm").write_bytes(get(f"/instances/{identifier}/file"))
        if b'"PALETTE COLOR"' in get(f"/instances/{identifier}/simplified-tags"):
            (folder / "back" / f"{identifier}.png").write_bytes(get(f"/instances/{identifier}/preview"))
    studies = [json.loads(get(f"/studies/{each}")) for each in json.loads(get("/studies"))]
    series = [json.loads(get(f"/series/{each}"))["MainDicomTags"] for each in json.loads(get("/series"))]
    return {"studies": studies, "series": series}


def wait_until_up() -> None:
    for _ in range(100):
        try:
            get("/system")
        except (URLError, ConnectionError):
            time.sleep(0.2)
        else:
            return
    raise TimeoutError("Orthanc did not start within 20 seconds")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
