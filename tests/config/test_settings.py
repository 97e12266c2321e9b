"""Settings: what is accepted, what is refused and how, and that the explained defaults are the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.settings import load_settings
from tests.config.test_reference import OFF

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
    settings = load_settings().model_dump(exclude={"source"})
    for name, section in OFF.items():
        settings[name] = section().model_dump()
    for section, values in settings.items():
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
        ('[[hl7_out]]\nname = "main"\n', "hl7_out"),  # as the [[pacs]] is called
        ('[[hl7_out]]\nname = "fhir"\n', "hl7_out"),
        ("[[hl7_out]]\n[[hl7_out]]\n", "hl7_out"),
        ("[[worklist]]\n[[worklist]]\n", "worklist"),
        ('[[worklist]]\nurl = "dicom://pacs"\n', "worklist.0.url"),
        ("[[notified_ae]]\n[[notified_ae]]\n", "notified_ae"),
        ("[work_items]\nwait_days = 0\n", "work_items.wait_days"),
        ('[[hl7_out]]\nmessages = ["ADT^A01"]\n', "hl7_out"),
        ('[[hl7_out]]\ncharset = "GBK"\n', "hl7_out"),
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


SECRETS = [
    '[ledger]\nurl = "postgresql+psycopg://cptdn:hidden@db/cptdn"\n',
    '[broker]\nurl = "redis://:hidden@redis:6379/0"\n',
    '[fhir]\nbearer_token = "hidden"\n',
]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_that_group_or_others_can_reach_is_refused_and_not_repeated(
    tmp_path: Path, text: str, mode: int
) -> None:
    path = written(tmp_path, text)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="readable by its owner only") as caught:
        load_settings(path)
    assert "hidden" not in str(caught.value)
    path.chmod(0o600)
    assert "hidden" in load_settings(path).model_dump_json()


def test_secrets_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pw").write_text("p@ss:w/rd\n")
    settings = load_settings(
        written(
            tmp_path,
            '[ledger]\nurl = "postgresql+psycopg://cptdn@db:5432/cptdn"\npassword_file = "pw"\n'
            '[broker]\nurl = "redis://redis:6379/0"\npassword_file = "pw"\n[fhir]\nbearer_token_file = "pw"\n',
        )
    )
    from sqlalchemy.engine import make_url

    assert make_url(settings.ledger.url or "").password == "p@ss:w/rd"
    assert make_url(settings.ledger.url or "").host == "db"
    assert make_url(settings.broker.url).password == "p@ss:w/rd"
    assert settings.fhir.bearer_token == "p@ss:w/rd"
    monkeypatch.setenv("CPTDN__BROKER__PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="password_file"):
        load_settings(tmp_path / "site.toml")


def test_every_path_counts_from_the_file(tmp_path: Path) -> None:
    settings = load_settings(
        written(
            tmp_path,
            '[node]\nusers_file = "users"\ntls = { certificate = "n.pem", private_key = "n.key", ca = "/ca.pem" }\n'
            '[model]\ntrusted_keys = ["keys/anna.pem"]\n'
            '[audit]\nsyslog = { host = "log", ca = "log.pem" }\n',
        )
    )
    assert settings.node.users_file == tmp_path / "users"
    assert settings.node.tls is not None
    assert settings.node.tls.certificate == tmp_path / "n.pem"
    assert settings.node.tls.ca == Path("/ca.pem")
    assert settings.model.trusted_keys == (tmp_path / "keys" / "anna.pem",)
    assert settings.audit.syslog is not None
    assert settings.audit.syslog.ca == tmp_path / "log.pem"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[node]\nrequire_user_identity = true\n", "users_file"),
        ('[node]\nallowed_addresses = ["example.org"]\n', "allowed_addresses"),
        ("[model]\nrequire_signature = true\n", "trusted_keys"),
        ('[audit]\nsyslog = { host = "log" }\n', "needs its ca"),
    ],
)
def test_guards_that_would_guard_nothing_are_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, text))
    assert named in str(caught.value)
