"""What goes into the images: the node's part of the lock works without what computes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.flow.program import free_port, wait_for
from tests.peers import PROJECT


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("locked", PROJECT / "docker" / "locked.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["locked"] = module
    spec.loader.exec_module(module)
    return module


locked = _load()
LOCK = """alpha==1.0 \\
    --hash=sha256:aa
    # via cptdn-node (pyproject.toml)
beta-x==2.0 \\
    --hash=sha256:bb \\
    --hash=sha256:bc
    # via
    #   alpha
    #   gamma
gamma==3.0 \\
    --hash=sha256:cc
    # via cptdn-node (pyproject.toml)
delta==4.0 \\
    --hash=sha256:dd
    # via gamma
"""


def test_only_what_is_asked_for_and_what_that_needs_is_kept() -> None:
    project = locked.dependencies(
        '[project]\ndependencies = ["Alpha>=1"]\n[project.optional-dependencies]\nmore = ["gamma[all]>=3"]\n'
    )
    lock = locked.read_lock(LOCK)
    assert locked.selected(lock, project, []) == ["alpha", "beta-x"]
    assert locked.selected(lock, project, ["more"]) == ["alpha", "beta-x", "gamma", "delta"]
    assert lock["beta-x"].lines == ("beta-x==2.0 \\", "    --hash=sha256:bb \\", "    --hash=sha256:bc")
    with pytest.raises(KeyError):
        locked.selected(lock, project, ["absent"])


def test_the_node_image_has_no_torch_and_the_worker_image_all_it_needs() -> None:
    lock = locked.read_lock((PROJECT / "requirements.lock").read_text(encoding="utf-8"))
    project = locked.dependencies((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    node = set(locked.selected(lock, project, []))
    worker = set(locked.selected(lock, project, ["workers"]))
    heavy = {"torch", "simpleitk", "scipy", "pandas", "lifelines", "scikit-learn"}
    assert not heavy & node
    assert node | heavy - {"torch"} <= worker  # torch has a lock of its own
    assert not {"captum", "pytest", "mypy", "ruff"} & worker


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_node_installed_from_its_part_of_the_lock_runs(tmp_path: Path) -> None:
    """A fresh virtual environment as the image's first stage makes it; needs the package index."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    part = subprocess.run([sys.executable, str(PROJECT / "docker" / "locked.py")], capture_output=True, check=True)
    (tmp_path / "node.lock").write_bytes(part.stdout)
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--require-hashes", "-r", str(tmp_path / "node.lock")], check=True)
    source = tmp_path / "source"
    source.mkdir()
    tree = subprocess.run(["git", "archive", "HEAD"], cwd=PROJECT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=tree, check=True)
    subprocess.run([*install, str(source)], check=True)
    cptdn = str(python.with_name("cptdn"))
    environment = {**os.environ, "CPTDN__NODE__PORT": str(free_port()), "CPTDN__STORAGE__ROOT": str(tmp_path / "data")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([cptdn, *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment,
                              check=False)  # fmt: skip

    node = subprocess.Popen([cptdn, "node"], cwd=tmp_path, env=environment)
    try:
        wait_for(lambda: run("ready", "node").returncode == 0, 60, lambda: run("ready", "node").stderr)
        assert "running: node" in run("status").stdout
        assert run("studies", "list", "--json").stdout.strip() == "[]"
        refused = run("score", ".", "--rtstruct", "x.dcm")
        assert refused.returncode == 1
        assert "the extra `workers`" in refused.stderr
    finally:
        node.terminate()
    assert node.wait(30) == 0
