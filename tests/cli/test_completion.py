"""Shell completion as a person has it: installed by the program, used by an interactive bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.flow.terminal import Terminal
from tests.peers import peer

BIN = Path(sys.executable).parent


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    bash = peer("bash", "bash")
    home = {"HOME": str(tmp_path), "PATH": f"{BIN}:{os.environ['PATH']}"}
    # Typer finds out which shell it is called from, so it is called from one.
    done = subprocess.run([bash, "-c", "cptdn --install-completion; exit $?"], env={**os.environ, **home},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "completion installed" in done.stdout
    with Terminal([bash, "--rcfile", str(tmp_path / ".bashrc"), "-i"], tmp_path, {**home, "PS1": "$ "}) as terminal:
        terminal.type("cptdn stu\t")
        terminal.until("cptdn studies")
        terminal.type("expl\t")
        terminal.until("explain")
        terminal.type("\x15cptdn reprocess --no-\t")
        terminal.until("--no-send")


def test_completing_imports_only_the_command_that_is_typed() -> None:
    code = (
        "import sys\nfrom node.cli.app import main\n"
        "try:\n main([])\nexcept SystemExit: pass\n"
        "print([m for m in ('node.cli.jobs', 'workers.cli.nomogram') if m in sys.modules], file=sys.stderr)"
    )
    asked = {"_CPTDN_COMPLETE": "complete_bash", "COMP_WORDS": "cptdn jobs re", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.stdout.split() == ["retry"]
    assert done.stderr.strip() == "['node.cli.jobs']"
