"""What we build on: locked and hashed, listed in an SBOM, and never a pickle."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import PROJECT
from tests.supply_chain.audit import LOCKS, ask_about, installed_problems, lock_problems, normal, read_answer, read_lock

ROOMS = ("config", "node", "workers", "dicom_sr")
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
PICKLING_CALLS = {"torch.load", "torch.save", "torch.jit.load", "np.save", "pd.read_pickle"}


def test_every_requirement_is_pinned_and_hashed() -> None:
    assert lock_problems(LOCKS) == []
    assert len(read_lock(LOCKS[1])[0]) > 100


def test_a_requirement_without_pin_or_hash_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    digest = "0" * 64
    lock.write_text(f"# a comment\nalembic==1.0 \\\n    --hash=sha256:{digest}\n    # via us\nredis>=5\nhttpx==0.27\n")
    assert lock_problems([lock]) == [
        "requirements.lock: expected NAME==VERSION, found 'redis>=5'", "requirements.lock: httpx 0.27 has no hash",
    ]  # fmt: skip


def test_what_is_installed_is_what_is_locked() -> None:
    assert installed_problems(LOCKS) == []


def test_without_the_service_nothing_counts_as_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip-audit calls it success when it could not ask; here it is not."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    lock = tmp_path / "requirements.lock"
    lock.write_text("itsdangerous==2.2.0 --hash=sha256:" + "0" * 64 + "\n")
    answer = ask_about(lock)
    assert answer.known == ()
    assert (answer.n_checked, answer.unchecked) == (0, ("itsdangerous",))
    assert answer.reason


def test_the_answer_of_the_service_is_read() -> None:
    """pip-audit's documented JSON form."""
    answer = read_answer(
        json.dumps(
            {
                "dependencies": [
                    {"name": "flask", "version": "0.5", "vulns": [
                        {"id": "PYSEC-2019-179", "fix_versions": ["1.0"], "aliases": [], "description": "x"}]},
                    {"name": "redis", "version": "5.2.0", "vulns": []},
                    {"name": "ours", "skip_reason": "Dependency not found on PyPI"},
                ],
                "fixes": [],
            }
        )
    )  # fmt: skip
    assert answer.known == ("flask 0.5: PYSEC-2019-179, fixed in 1.0",)
    assert (answer.n_checked, answer.unchecked) == (2, ("ours",))


def test_the_bill_of_materials_names_what_is_locked(tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    done = subprocess.run(
        ["make", "sbom", f"SBOM={out}"], cwd=PROJECT, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(out.read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "cptdn-node")
    listed = {normal(one["name"]): one["version"] for one in document["components"]}
    locked = {one.name: one.version for one in read_lock(LOCKS[1])[0]}
    assert {name: listed.get(name) for name in locked} == locked
    with_licence = sum(bool(one.get("licenses")) for one in document["components"])
    assert with_licence > 0.9 * len(document["components"])


def calls_and_imports(path: Path) -> list[str]:
    """Names that a module imports, and its calls that could read or write a pickle."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            allowed = {word.arg: _is_true(word.value) for word in node.keywords}
            if called in PICKLING_CALLS and allowed.get("allow_pickle", True):
                found.append(called)
            if allowed.get("allow_pickle"):
                found.append("allow_pickle")
    return found


def _is_true(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and value.value is False)


def test_no_room_reads_or_writes_a_pickle() -> None:
    wrong = UNPICKLERS | PICKLING_CALLS | {"allow_pickle"}
    files = [path for room in ROOMS for path in (PROJECT / room).rglob("*.py")]
    assert len(files) > 150
    offenders = {str(path.relative_to(PROJECT)): bad for path in files if (bad := wrong & set(calls_and_imports(path)))}
    assert offenders == {}


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from joblib import load", "import torch\ntorch.load('x')", "np.load(f, allow_pickle=True)"],
)
def test_the_search_would_find_one(tmp_path: Path, code: str) -> None:
    (tmp_path / "bad.py").write_text(code)
    assert set(calls_and_imports(tmp_path / "bad.py")) & (UNPICKLERS | {"torch.load", "allow_pickle"})


def test_messages_to_workers_are_json_alone() -> None:
    from config.settings import BrokerSettings
    from node.messaging.queue import make_celery

    conf = make_celery("redis://127.0.0.1:1/0", BrokerSettings()).conf
    assert (conf.task_serializer, set(conf.accept_content)) == ("json", {"json"})


def test_the_audit_says_what_it_could_not_check() -> None:
    """The whole of it, without a vulnerability service."""
    import os

    away = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "tests.supply_chain.audit"], cwd=PROJECT, capture_output=True, text=True, timeout=280,
        env={**os.environ, **away}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pinned and hashed: all" in done.stdout
    assert "installed as locked: all" in done.stdout
    assert "NOT CHECKED" in done.stdout
