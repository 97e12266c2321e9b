"""The process that runs peers from PyPI; see pip_peers.py."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import PROJECT

PYTHON = PROJECT / ".venv-bench" / "bin" / "python"
INSTALLED_BY = "PyPI; `make bench` installs it into .venv-bench"


class PeerFailedError(RuntimeError):
    """A peer could not do its work; the message is its own."""


class PipPeers:
    """Peers behind one pipe."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, task: str, **request: Any) -> dict[str, Any]:
        """Raises PeerFailedError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, **request}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise PeerFailedError(f"{task}: the process of the peers has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailedError(f"{task}: {answer['error']}")
        return answer


@contextmanager
def pip_peers(folder: Path) -> Iterator[PipPeers | None]:
    """The peers, or None where they are not installed."""
    if not PYTHON.exists():
        yield None
        return
    script = Path(__file__).with_name("pip_peers.py")
    with (folder / "peers.log").open("w") as log:
        process = subprocess.Popen(
            [str(PYTHON), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )  # fmt: skip
        try:
            yield PipPeers(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.terminate()
            process.wait(20)
