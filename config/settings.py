"""All settings as one frozen value, read from TOML and the environment.

Order of precedence, highest first: environment (`CPTDN__SECTION__KEY`), the configuration file, the defaults of
`sections.py`. `default.toml` explains every key with its unit; a test compares it with the defaults.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.errors import SettingsError
from config.sections import (
    AuditSettings,
    BrokerSettings,
    CaseSettings,
    CharacterSet,
    ClinicalSettings,
    DecisionSettings,
    DicomwebSettings,
    EligibilitySettings,
    FhirSettings,
    Hl7Message,
    Hl7OutSettings,
    Hl7Settings,
    IuFactor,
    JobSettings,
    LedgerSettings,
    MetricsSettings,
    ModelSettings,
    NodeSettings,
    NotifiedEvent,
    NotifySettings,
    ObjectKind,
    PacsSettings,
    ReportSettings,
    SeriesRules,
    StorageSettings,
    SyslogSettings,
    TlsSettings,
    TracingSettings,
    WebSettings,
    WebTlsSettings,
)
from config.worklist_sections import NotifiedAeSettings, WorkItemSettings, WorklistSettings

__all__ = [
    "BUNDLES",
    "CONFIG_VARIABLE",
    "ENV_PREFIX",
    "AuditSettings",
    "BrokerSettings",
    "CaseSettings",
    "CharacterSet",
    "ClinicalSettings",
    "DecisionSettings",
    "DicomwebSettings",
    "EligibilitySettings",
    "FhirSettings",
    "Hl7Message",
    "Hl7OutSettings",
    "Hl7Settings",
    "IuFactor",
    "JobSettings",
    "LedgerSettings",
    "MetricsSettings",
    "ModelSettings",
    "NodeSettings",
    "NotifiedAeSettings",
    "NotifiedEvent",
    "NotifySettings",
    "ObjectKind",
    "PacsSettings",
    "ReportSettings",
    "SeriesRules",
    "Settings",
    "StorageSettings",
    "SyslogSettings",
    "TlsSettings",
    "TracingSettings",
    "WebSettings",
    "WebTlsSettings",
    "WorkItemSettings",
    "WorklistSettings",
    "load_settings",
]

ENV_PREFIX = "CPTDN__"
CONFIG_VARIABLE = "CPTDN_CONFIG"
DEFAULT_FILE = Path("cptdn.toml")
BUNDLES = Path(__file__).parent / "bundles"


class Settings(BaseSettings):
    """Everything that can be set; frozen, safe to share between threads."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__",
        nested_model_default_partial_update=True, case_sensitive=False,
    )  # fmt: skip

    node: NodeSettings = NodeSettings()
    pacs: tuple[PacsSettings, ...] = (PacsSettings(),)
    storage: StorageSettings = StorageSettings()
    ledger: LedgerSettings = LedgerSettings()
    broker: BrokerSettings = BrokerSettings()
    jobs: JobSettings = JobSettings()
    web: WebSettings = WebSettings()
    dicomweb: DicomwebSettings = DicomwebSettings()
    case: CaseSettings = CaseSettings()
    eligibility: EligibilitySettings = EligibilitySettings()
    clinical: ClinicalSettings = ClinicalSettings()
    hl7: Hl7Settings = Hl7Settings()
    hl7_out: tuple[Hl7OutSettings, ...] = ()
    fhir: FhirSettings = FhirSettings()
    work_items: WorkItemSettings = WorkItemSettings()
    worklist: tuple[WorklistSettings, ...] = ()
    notified_ae: tuple[NotifiedAeSettings, ...] = ()
    model: ModelSettings = ModelSettings()
    decision: DecisionSettings = DecisionSettings()
    report: ReportSettings = ReportSettings()
    audit: AuditSettings = AuditSettings()
    metrics: MetricsSettings = MetricsSettings()
    notify: NotifySettings = NotifySettings()
    tracing: TracingSettings = TracingSettings()
    source: Path | None = None  # the file these settings were read from

    @field_validator("pacs")
    @classmethod
    def _names_differ(cls, pacs: tuple[PacsSettings, ...]) -> tuple[PacsSettings, ...]:
        names = [p.name for p in pacs]
        if len(set(names)) != len(names):
            raise ValueError(f"each [[pacs]] needs a name of its own, found {names}")
        if "fhir" in names:
            raise ValueError('the name "fhir" is kept for the FHIR server; give this [[pacs]] another')
        return pacs

    @field_validator("hl7_out")
    @classmethod
    def _receivers_differ(cls, hl7_out: tuple[Hl7OutSettings, ...], info: ValidationInfo) -> tuple[Hl7OutSettings, ...]:
        # Deliveries know their destination by its name alone.
        names = [destination.name for destination in (*info.data.get("pacs", ()), *hl7_out)]
        if len({*names, "fhir"}) <= len(names):
            raise ValueError(
                f'each [[hl7_out]] needs a name of its own, also beside [[pacs]] and "fhir", found {names}'
            )
        return hl7_out

    @field_validator("worklist")
    @classmethod
    def _worklists_differ(cls, worklist: tuple[WorklistSettings, ...]) -> tuple[WorklistSettings, ...]:
        names = [each.name for each in worklist]
        if len(set(names)) != len(names):
            raise ValueError(f"each [[worklist]] needs a name of its own, found {names}")
        return worklist

    @field_validator("notified_ae")
    @classmethod
    def _titles_differ(cls, notified_ae: tuple[NotifiedAeSettings, ...]) -> tuple[NotifiedAeSettings, ...]:
        titles = [each.ae_title for each in notified_ae]
        if len(set(titles)) != len(titles):
            raise ValueError(f"each [[notified_ae]] needs an ae_title of its own, found {titles}")
        return notified_ae

    @model_validator(mode="after")
    def _paths_are_absolute(self) -> Settings:
        """Paths in a file are relative to that file, so a service manager's working folder does not matter."""
        base = self.source.parent if self.source else Path.cwd()
        # The value is frozen for everyone else; here it is still being built.
        for name in type(self).model_fields:
            object.__setattr__(self, name, _absolute(getattr(self, name), base))
        root = (base / self.storage.root).resolve()
        url = self.ledger.url or f"sqlite:///{root / 'ledger.db'}"
        relative = url.removeprefix("sqlite:///")
        if url.startswith("sqlite:///") and relative != ":memory:":
            url = f"sqlite:///{(base / relative).resolve()}"
        # A name of a bundle that the program brings takes precedence, as in `bundle_folder`.
        if not (BUNDLES / self.model.bundle).is_dir() and (base / self.model.bundle).is_dir():
            bundle = str((base / self.model.bundle).resolve())
            object.__setattr__(self, "model", self.model.model_copy(update={"bundle": bundle}))
        object.__setattr__(self, "storage", self.storage.model_copy(update={"root": root}))
        url = _with_password(url, self.ledger.password_file, "ledger")
        broker = _with_password(self.broker.url, self.broker.password_file, "broker")
        object.__setattr__(self, "ledger", self.ledger.model_copy(update={"url": url}))
        object.__setattr__(self, "broker", self.broker.model_copy(update={"url": broker}))
        if self.fhir.bearer_token_file is not None:
            token = _secret(self.fhir.bearer_token_file, "fhir.bearer_token_file")
            object.__setattr__(self, "fhir", self.fhir.model_copy(update={"bearer_token": token}))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before the file, whose values arrive as arguments; read no .env file and no secrets."""
        # No .env file: a file in the working folder must not change what a service does.
        return env_settings, init_settings


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings.

    Parameters
    ----------
    path : Path, optional
        A TOML file; None: ``$CPTDN_CONFIG``, then ``./cptdn.toml`` where it exists, then the built-in defaults.

    Returns
    -------
    Settings
        With absolute paths and with the content of secret files.

    Raises
    ------
    SettingsError
        Names the file, the key, what was expected and what was found.
    """
    chosen = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if chosen is None and DEFAULT_FILE.is_file():
        chosen = DEFAULT_FILE
    values: dict[str, Any] = {}
    if chosen is not None:
        try:
            values = tomllib.loads(chosen.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"cannot read the configuration {chosen}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"the configuration {chosen} is not TOML: {error}") from error
        _refuse_open_secrets(values, chosen)
        values["source"] = chosen.resolve()
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        # Values of secrets are not shown: the message goes to a log.
        shown = isinstance(first["input"], str | int | float) and "token" not in key and "url" not in key
        found = f", found {first['input']!r}" if shown and first["type"] != "extra_forbidden" else ""
        where = chosen or "the environment"
        raise SettingsError(f"{where}: [{key}] {first['msg'].lower()}{found}") from error


def _absolute(value: Any, base: Path) -> Any:
    """Return the same value with every relative path in it counted from `base`."""
    if isinstance(value, Path):
        return base / value
    if isinstance(value, tuple):
        return tuple(_absolute(one, base) for one in value)
    if isinstance(value, BaseModel):
        found = {name: getattr(value, name) for name in type(value).model_fields}
        changed = {name: new for name, old in found.items() if (new := _absolute(old, base)) != old}
        return value.model_copy(update=changed) if changed else value
    return value


def _secret(path: Path, key: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"[{key}] cannot read {path}: {type(error).__name__}") from error


def _with_password(url: str, path: Path | None, section: str) -> str:
    """Return `url` with the password that a file contains."""
    if path is None:
        return url
    scheme, mark, rest = url.partition("://")
    user, _, host = rest.rpartition("@")
    # Characters such as "@" and "/" would otherwise end the user part of the URL.
    password = quote(_secret(path, f"{section}.password_file"), safe="")
    return f"{scheme}{mark}{user.partition(':')[0]}:{password}@{host}" if mark else url


def _refuse_open_secrets(values: dict[str, Any], path: Path) -> None:
    """Refuse a secret in a configuration that others can read. Raises SettingsError naming the key."""
    if path.stat().st_mode & 0o077 == 0:
        return
    for section, key in (("ledger", "url"), ("broker", "url"), ("fhir", "bearer_token"), ("fhir", "receive_token")):
        value = values.get(section, {}).get(key) if isinstance(values.get(section), dict) else None
        secret = _password_in(value) if key == "url" else value
        if secret:
            name = f"{ENV_PREFIX}{section.upper()}__{key.upper()}"
            file_key = {"url": "password_file", "bearer_token": "bearer_token_file"}.get(key)
            instead = f"by [{section}] {file_key} or " if file_key else ""
            raise SettingsError(
                f"{path}: [{section}.{key}] holds a secret that other users of this machine can read: "
                f"give it {instead}as {name}, or make the file readable by its owner only"
            )


def _password_in(url: Any) -> bool:
    user, at, _ = str(url or "").partition("://")[2].rpartition("@")
    return bool(at) and bool(user.partition(":")[2])
