"""The manual: its commands exist, its tour runs as it stands, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from config.messages.finding_reasons import FINDINGS
from config.messages.reasons import REASONS
from tests.cli.test_contract import ALL
from tests.flow.program import wait_for
from tests.peers import PROJECT, absent, peer

README = (PROJECT / "README.md").read_text(encoding="utf-8")
MANUALS = [path for path in PROJECT.rglob("*.md") if not {".venv", ".venv-bench", "out", "build"} & set(path.parts)]
BLOCK = re.compile(r"^```sh ?(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
WITHIN_S = 600.0


@dataclass(frozen=True)
class Block:
    """Commands of the manual. kind : "" once, "server" left running, "until=WORD" again until the word is printed."""

    kind: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(found["kind"], found["text"]) for found in BLOCK.finditer(text)]


def tour() -> list[Block]:
    section = README.split("## Five-minute tour")[1].split("\n## ")[0]
    return blocks(section)


def cptdn_lines() -> list[str]:
    lines = [line for block in blocks(README) for line in block.text.splitlines()]
    return [line.removeprefix(".venv/bin/") for line in lines if line.removeprefix(".venv/bin/").startswith("cptdn ")]


@pytest.mark.parametrize("line", cptdn_lines())
def test_every_command_of_the_manual_exists_with_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if words in (["--help"], ["--install-completion"]):
        return
    name = " ".join(words[:2]) if " ".join(words[:2]) in ALL else words[0]
    offered = {option for parameter in ALL[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    assert used <= offered, f"{name} has no {', '.join(used - offered)}"


@pytest.mark.parametrize("path", MANUALS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{path.name} links to {target}"
        if anchor and found.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{path.name} links to {target}"


def test_every_state_and_reason_is_explained() -> None:
    from node.ledger import cases, deliveries

    text = (PROJECT / "node" / "OPERATIONS.md").read_text(encoding="utf-8")
    refusals = (PROJECT / "node" / "cases" / "README.md").read_text(encoding="utf-8")
    for word in (*cases.STATES, *deliveries.STATES):
        assert f"| `{word}` |" in text, word
    for code in REASONS:
        assert f"`{code}`" in text or f"| {code} |" in refusals, code
    for code in FINDINGS:
        assert f"| `{code}` |" in text, code


def test_the_manual_stays_readable() -> None:
    assert len(README.splitlines()) < 350


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_the_tour_runs_as_it_stands(tmp_path: Path) -> None:
    """In a copy of the project with the installation of this one, in a network of its own, where all ports are free."""
    for program, package in (("Orthanc", "orthanc"), ("curl", "curl"), ("unshare", "util-linux")):
        peer(program, package)
    clone = _copy_of_the_project(tmp_path / "clone")
    (clone / ".venv").symlink_to(Path(sys.executable).parents[1])
    seconds = _walk(clone, tmp_path, tour())
    print("seconds of each step:", [round(one, 1) for one in seconds])


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_newcomer_from_nothing(tmp_path: Path) -> None:
    """The tour with its own set-up: virtual environment and libraries from the package index."""
    for program, package in (("Orthanc", "orthanc"), ("curl", "curl"), ("unshare", "util-linux")):
        peer(program, package)
    clone = _copy_of_the_project(tmp_path / "clone")
    begun = time.monotonic()
    subprocess.run(["make", "install"], cwd=clone, check=True)
    print("seconds of the set-up:", round(time.monotonic() - begun, 1))
    seconds = _walk(clone, tmp_path, tour())
    print("seconds of each step:", [round(one, 1) for one in seconds])


def _copy_of_the_project(target: Path) -> Path:
    """What git tracks, as it stands now; its lock files are old, so that `make` takes a link to `.venv` as it is."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in tracked.stdout.split("\0"):
        if name and (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, target / name)
    for name in ("requirements.lock", "requirements-torch.lock", "pyproject.toml"):
        os.utime(target / name, (0, 0))
    return target


def _walk(clone: Path, folder: Path, steps: list[Block]) -> list[float]:
    """Run the blocks in one shell, as a person would; servers stay until the end. Returns the seconds of each."""
    script = ["set -e", "ip link set lo up", f"cd {shlex.quote(str(clone))}", "trap 'kill $(jobs -p); wait' EXIT"]
    for number, step in enumerate(steps):
        done = shlex.quote(str(folder / f"{number}.done"))
        if step.kind == "server":
            script += [f"( {step.text.strip()} ) > {folder}/{number}.log 2>&1 &", _until_up(folder, number, step)]
        elif step.kind.startswith("until="):
            word = shlex.quote(step.kind.removeprefix("until="))
            script += [
                f"until ( set +e; {step.text} ) 2>&1 | tee {folder}/{number}.log | grep -q {word}; do sleep 1; done"
            ]
        else:
            script += [step.text]
        script += [f"date +%s.%N > {done}"]
    begun = time.time()
    command = [
        "unshare",
        "--net",
        *(() if os.geteuid() == 0 else ("--map-root-user",)),
        "bash",
        "-c",
        "\n".join(script),
    ]
    with (folder / "tour.log").open("w") as log:
        shell = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    last = folder / f"{len(steps) - 1}.done"
    try:
        wait_for(lambda: last.exists() or shell.poll() is not None, WITHIN_S * 2, lambda: _logs(folder))
    finally:
        shell.terminate()
        shell.wait(60)
    if "unshare failed" in (folder / "tour.log").read_text():
        absent("this machine gives no network namespace (unshare --net)")
    assert last.exists(), _logs(folder)
    times = [begun, *(float((folder / f"{number}.done").read_text()) for number in range(len(steps)))]
    return [after - before for before, after in pairwise(times)]


def _until_up(folder: Path, number: int, step: Block) -> str:
    """Wait as a person does: until the program says it is ready, or its page answers."""
    if "cptdn up" in step.text:
        return f"until grep -q Ready: {folder}/{number}.log; do kill -0 $!; sleep 0.3; done"
    return "until curl -s -o /dev/null http://127.0.0.1:8043/system; do kill -0 $!; sleep 0.3; done"


def _logs(folder: Path) -> str:
    return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(folder.glob("*.log")))
