"""Images, compose files, manifests and units: linted by the tools made for them, and naming only what exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import load_settings
from node.cli.app import command_table
from node.messaging.messages import Queue
from tests.peers import PROJECT, absent, peer

DOCKER = PROJECT / "docker"
MANIFESTS = sorted((DOCKER / "kubernetes").glob("*.yaml"))
COMPOSE = sorted(DOCKER.glob("compose*.yaml"))
UNITS = sorted((DOCKER / "systemd").glob("*.service"))
KUBERNETES_VERSION = "1.31"
EXPOSURE_AT_MOST = 20  # tenths of systemd's exposure level
OF_OTHERS = ("keda.sh", "kustomize.config.k8s.io")  # kinds that Kubernetes' own schemas do not have


def linter(name: str) -> str:
    """A linter on the path or in $CPTDN_LINTERS/bin (a virtual environment of its own), or skip."""
    folder = os.environ.get("CPTDN_LINTERS", "")
    found = shutil.which(name, path=f"{folder}/bin:{os.environ['PATH']}")
    if found is None:
        absent(f"{name} is not installed (a package of that name, in the virtual environment $CPTDN_LINTERS)")
    assert found is not None
    return found


def documents() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def words_of_command() -> Iterator[list[str]]:
    """Every call of `cptdn` that a file of this folder makes, as its words."""
    for path in COMPOSE:
        services = yaml.safe_load(path.read_text(encoding="utf-8"))["services"].values()
        yield from (one["command"] for one in services if "cptdn" in one["image"])
    for document in documents():
        if document["kind"] == "Deployment":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            yield container["args"]
            probes = [value for key, value in container.items() if key.endswith("Probe")]
            yield from (probe["exec"]["command"][1:] for probe in probes if "exec" in probe)
    for path in UNITS:
        (command,) = re.findall(r"^ExecStart=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        yield shlex.split(command)[1:]
    for words in re.findall(r'CMD \["(.*)"\]', (DOCKER / "Dockerfile").read_text(encoding="utf-8")):
        yield [word for word in words.split('", "') if word != "cptdn"]


def test_every_command_exists_and_every_queue_has_a_worker() -> None:
    calls = list(words_of_command())
    assert len(calls) > 20
    assert {words[0] for words in calls} <= set(command_table())
    for group in ("compose.full", "kubernetes", "systemd"):
        files = [path for path in DOCKER.rglob("*") if group in str(path.relative_to(DOCKER))]
        text = " ".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
        served = {queue for words in re.findall(r"--queues[\", ]+([a-z,]+)", text) for queue in words.split(",")}
        assert served == {queue.value for queue in Queue}, group


def test_pools_are_scaled_on_the_queues_that_they_serve() -> None:
    deployments, scaled = {}, {}
    for document in documents():
        name = document["metadata"]["name"] if "metadata" in document else ""
        if document["kind"] == "Deployment" and name not in ("node", "web"):
            args = document["spec"]["template"]["spec"]["containers"][0]["args"]
            deployments[name] = set(args[args.index("--queues") + 1].split(","))
        if document["kind"] == "ScaledObject":
            triggers = document["spec"]["triggers"]
            scaled[document["spec"]["scaleTargetRef"]["name"]] = {one["metadata"]["listName"] for one in triggers}
    assert scaled == deployments


def test_nothing_runs_with_more_rights_than_it_needs() -> None:
    for document in documents():
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    dockerfile = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    final = dockerfile.split("FROM runtime AS ")[1:]
    assert len(final) == 2
    assert all("USER 10001" in stage for stage in final)


def test_the_configurations_are_ours(tmp_path: Path) -> None:
    texts = [(DOCKER / "cptdn.toml").read_text(encoding="utf-8")]
    texts += [one["data"]["cptdn.toml"] for one in documents() if one["kind"] == "ConfigMap"]
    for text in texts:
        (tmp_path / "cptdn.toml").write_text(text, encoding="utf-8")
        assert load_settings(tmp_path / "cptdn.toml").node.allowed_calling_aes


def test_hadolint_is_content_with_the_dockerfile() -> None:
    done = subprocess.run([linter("hadolint"), str(DOCKER / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.stem)
def test_compose_reads_its_files(path: Path) -> None:
    needed = {"POSTGRES_PASSWORD": "x", "LEDGER_URL": "x", "BROKER_URL": "x", "CPTDN_SHARED": "/srv"}
    command = [peer("docker-compose", "docker-compose"), "-f", str(path)]
    done = subprocess.run([*command, "config"], capture_output=True, text=True, env={**os.environ, **needed},
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert all(service.get("restart") == "unless-stopped" for service in services.values())
    if "?set" in path.read_text(encoding="utf-8"):
        without = {name: value for name, value in os.environ.items() if name not in needed}
        assert subprocess.run([*command, "config"], capture_output=True, env=without, check=False).returncode != 0


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path) -> None:
    texts = [text for text in path.read_text(encoding="utf-8").split("\n---\n") if not _of_others(text)]
    if not texts:
        assert list(yaml.safe_load_all(path.read_text(encoding="utf-8")))  # of KEDA and kustomize: read, not checked
        return
    command = [linter("kubernetes-validate"), "-k", KUBERNETES_VERSION, "--strict", "-"]
    for text in texts:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _of_others(text: str) -> bool:
    return any(f"apiVersion: {name}" in text for name in OF_OTHERS)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_are_sound_and_hardened(path: Path, tmp_path: Path) -> None:
    tool = peer("systemd-analyze", "systemd")
    unit = tmp_path / path.name
    here = str(Path(sys.executable).with_name("cptdn"))
    unit.write_text(path.read_text(encoding="utf-8").replace("/opt/cptdn/.venv/bin/cptdn", here), encoding="utf-8")
    done = subprocess.run([tool, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.stem not in done.stderr, done.stderr
    threshold = f"--threshold={EXPOSURE_AT_MOST}"
    done = subprocess.run([tool, "security", "--offline=yes", threshold, str(unit)], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
