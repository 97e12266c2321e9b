"""Compare objects in a process of its own: `python -m node.dicom.content.comparison_process`.

Both objects come from outside, and codecs are C code: a damaged stream can crash them, make them loop, or make them
ask for gigabytes. Here that ends this process only; `comparison_client` starts another. It ends by itself when nothing
is to be compared for a while.

Protocol on the pipes: one request a line, a JSON list of the paths of the stored and of the arrived file. The answer
is a line {"differences": [...]} or {"error"}.
"""

from __future__ import annotations

import json
import os
import resource
import select
from pathlib import Path
from typing import BinaryIO

from node.dicom.content.comparison import differences_between
from node.dicom.headers.conforming import read_conforming
from node.dicom.network.library_settings import configure_pydicom_pynetdicom

MAX_MEMORY_BYTES = 4 * 2**30
IDLE_S = 60.0
STDIN, STDOUT = 0, 1


def answer(line: bytes) -> bytes:
    """Answer one request.

    Parameters
    ----------
    line : bytes
        JSON list of two paths.

    Returns
    -------
    bytes
        One line of JSON. An error is named by its kind only: its text may contain values of the object.
    """
    try:
        stored, arrived = (read_conforming(Path(path)) for path in json.loads(line))
        document = {"differences": differences_between(stored, arrived)}
    except Exception as error:  # the kind of error depends on the damage
        return json.dumps({"error": type(error).__name__}).encode() + b"\n"
    return json.dumps(document).encode() + b"\n"


def serve(answers: BinaryIO, idle_s: float = IDLE_S) -> None:
    """Answer each line of standard input until its end, or until none has come for `idle_s` seconds."""
    # Unbuffered: `select` does not see lines that a reader has buffered already. There is one request at a time.
    with os.fdopen(os.dup(STDIN), "rb", buffering=0) as requests:
        while select.select([requests], [], [], idle_s)[0] and (line := requests.readline()):
            answers.write(answer(line))
            answers.flush()


def main() -> None:
    """Serve standard input with a limit on memory."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would contain patient data
    configure_pydicom_pynetdicom()
    # GDCM prints warnings on standard output, which is the pipe of the answers: it is moved elsewhere.
    with os.fdopen(os.dup(STDOUT), "wb") as answers, open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), STDOUT)
        serve(answers)


if __name__ == "__main__":
    main()
