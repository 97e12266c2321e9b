"""Settings: what is accepted, what is refused and how, and that the explained defaults are the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.settings import load_settings

DEFAULTS = Path(__file__).parents[2] / "config" / "default.toml"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CPTDN_CONFIG", raising=False)


def written(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_default_toml_explains_the_real_defaults(tmp_path: Path) -> None:
    copy = written(tmp_path, DEFAULTS.read_text(encoding="utf-8"))
    explained = load_settings(copy).model_dump(exclude={"source"})
    assert explained == load_settings().model_dump(exclude={"source"})


def test_every_key_stands_in_default_toml() -> None:
    text = DEFAULTS.read_text(encoding="utf-8")
    for section, values in load_settings().model_dump(exclude={"source"}).items():
        for key in values[0] if isinstance(values, tuple) else values:
            assert f"{key} = " in text or f"{key}]" in text, f"[{section}] {key} is not explained"


def test_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPTDN__DECISION__THRESHOLD", "0.05")
    settings = load_settings(written(tmp_path, "[decision]\nthreshold = 0.02\nhorizon_months = 36\n"))
    assert settings.decision.threshold == 0.05
    assert settings.decision.horizon_months == 36


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    settings = load_settings(written(folder, '[storage]\nroot = "../store"\n'))
    assert settings.storage.root == tmp_path / "store"
    assert settings.ledger.url == f"sqlite:///{tmp_path / 'store' / 'ledger.db'}"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[storage]\nrot = 1\n", "storage.rot"),
        ('[node]\nport = "many"\n', "node.port"),
        ('[model]\ndevice = "gpu"\n', "model.device"),
        ("[node\n", "not TOML"),
        ('[[pacs]]\nname = "a"\n[[pacs]]\nname = "a"\n', "name of its own"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=r"site\.toml") as caught:
        load_settings(written(tmp_path, text))
    assert named in str(caught.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load_settings(tmp_path / "absent.toml")
