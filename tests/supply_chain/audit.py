"""`make audit`: are the libraries the ones that were chosen, and is anything known against them?

- every requirement of the lock files is pinned and hashed;
- what is installed is what is locked;
- pip-audit asks the vulnerability service about each of them. Where it gets no answer, that is said: "not checked" is
  not "nothing found".
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from tests.peers import PROJECT

LOCKS = (PROJECT / "requirements-torch.lock", PROJECT / "requirements.lock")
# torch stands in a file of its own and without hashes: each index has its own builds (CPU, CUDA) of the same version.
WITHOUT_HASH = frozenset({"torch"})
_PINNED = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)")
PATIENCE_S = 600


@dataclass(frozen=True)
class Requirement:
    name: str
    version: str
    n_hashes: int


def read_lock(path: Path) -> tuple[list[Requirement], list[str]]:
    """The requirements of a lock file, and one sentence for each line that is not pinned."""
    text = re.sub(r"(?m)^\s*#.*$", "", path.read_text(encoding="utf-8"))
    found, wrong = [], []
    for entry in text.replace("\\\n", " ").splitlines():
        if not entry.strip():
            continue
        match = _PINNED.match(entry.strip())
        if match is None:
            wrong.append(f"{path.name}: expected NAME==VERSION, found {entry.strip()[:60]!r}")
        else:
            name = normal(match[1])
            found.append(Requirement(name, match[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry))))
    return found, wrong


def normal(name: str) -> str:
    """A name as PEP 503 compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_problems(locks: Sequence[Path]) -> list[str]:
    problems = []
    for path in locks:
        requirements, wrong = read_lock(path)
        problems += wrong
        for one in requirements:
            if one.n_hashes == 0 and one.name not in WITHOUT_HASH:
                problems.append(f"{path.name}: {one.name} {one.version} has no hash")
    return problems


def installed_problems(locks: Sequence[Path]) -> list[str]:
    """What stands in this environment and is not what the lock files say."""
    locked = {one.name: one.version for path in locks for one in read_lock(path)[0]}
    installed = {normal(one.metadata["Name"]): one.version for one in distributions()}
    ours = {"cptdn-node", "pip", "setuptools"}  # not locked: the project itself, and what venv brings
    problems = [
        f"{name} {version} is installed, {locked.get(name, 'nothing')} is locked"
        for name, version in sorted(installed.items())
        if name not in ours and version.partition("+")[0] != locked.get(name, "").partition("+")[0]
    ]
    return problems + [f"{name} {version} is locked and not installed" for name, version in sorted(locked.items())
                       if name not in installed]  # fmt: skip


@dataclass(frozen=True)
class Vulnerabilities:
    """What pip-audit found; `unchecked` counts what it could not ask about."""

    known: tuple[str, ...]
    n_checked: int
    unchecked: tuple[str, ...]
    reason: str = ""


def ask_about(requirements: Path) -> Vulnerabilities:
    """Run pip-audit over a file of pinned requirements."""
    names = tuple(one.name for one in read_lock(requirements)[0])
    command = [
        sys.executable, "-m", "pip_audit", "-r", str(requirements), "--disable-pip", "--no-deps", "--progress-spinner",
        "off", "--format", "json",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        return read_answer(done.stdout)
    except subprocess.TimeoutExpired:
        return Vulnerabilities((), 0, names, f"no answer within {PATIENCE_S} s")
    except (ValueError, KeyError):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return Vulnerabilities((), 0, names, lines[-1] if lines else "pip-audit said nothing")


def read_answer(text: str) -> Vulnerabilities:
    """pip-audit's JSON. A dependency that it skipped is unchecked, although it calls that success."""
    known, checked, unchecked, reason = [], 0, [], ""
    for one in json.loads(text)["dependencies"]:
        if "skip_reason" in one:
            unchecked.append(one["name"])
            reason = one["skip_reason"]
        else:
            checked += 1
            for found in one["vulns"]:
                fixed = ", ".join(found["fix_versions"]) or "no release yet"
                known.append(f"{one['name']} {one['version']}: {found['id']}, fixed in {fixed}")
    return Vulnerabilities(tuple(known), checked, tuple(unchecked), reason)


def main() -> int:
    problems = lock_problems(LOCKS)
    n = sum(len(read_lock(path)[0]) for path in LOCKS)
    print(f"{n} requirements; pinned and hashed: {'all' if not problems else 'not all'}", end="")
    print(f" (without a hash on purpose: {', '.join(sorted(WITHOUT_HASH))})")
    others = installed_problems(LOCKS)
    print(f"installed as locked: {'all' if not others else 'not all'}")
    answer = ask_about(LOCKS[1])
    print(f"known vulnerabilities: {len(answer.known)} in {answer.n_checked} libraries that could be checked")
    if answer.unchecked:
        print(f"NOT CHECKED: {len(answer.unchecked)} libraries. {answer.reason}")
        print("The vulnerability service could not be asked; run `make audit` again where it can be reached.")
    for line in (*problems, *others, *answer.known):
        print(f"  {line}")
    return 1 if problems or others or answer.known else 0


if __name__ == "__main__":
    sys.exit(main())
