"""Typed settings: one frozen value per room, read from TOML and the environment.

Order of precedence, highest first: environment (`CPTDN__SECTION__KEY`), the configuration file, the defaults
below. Every key, its unit and its meaning also stand in `default.toml`, which a test compares with this module.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.errors import SettingsError

ENV_PREFIX = "CPTDN__"
CONFIG_VARIABLE = "CPTDN_CONFIG"
DEFAULT_FILE = Path("cptdn.toml")
BUNDLES = Path(__file__).parent / "bundles"

# Defined terms of (0008,0005), PS3.3 C.12.1.1.2, that stand alone.
CharacterSet = Literal[
    "GB18030", "GBK", "ISO_IR 192", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127",
    "ISO_IR 126", "ISO_IR 138", "ISO_IR 148", "ISO_IR 13", "ISO_IR 166",
]  # fmt: skip
ObjectKind = Literal["sr", "pdf", "sc", "seg", "attribution"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TlsSettings(_Section):
    """Certificates of one side of a DICOM connection; PEM files."""

    certificate: Path
    private_key: Path
    ca: Path
    require_client_certificate: bool = True


class NodeSettings(_Section):
    ae_title: str = Field("CPTDN", min_length=1, max_length=16)
    bind: str = "127.0.0.1"
    port: int = Field(11112, ge=0, le=65535)
    max_associations: int = Field(64, ge=1)
    max_pdu_bytes: int = Field(131072, ge=4096)
    max_object_mb: int = Field(2048, ge=1)
    network_timeout_s: float = Field(60.0, gt=0)
    allowed_calling_aes: tuple[str, ...] = ()
    require_called_ae: bool = True
    character_sets: dict[str, CharacterSet] = {}  # calling AE title -> what its text really is
    tls: TlsSettings | None = None


class PacsSettings(_Section):
    name: str = "main"
    ae_title: str = Field("PACS", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(11113, ge=1, le=65535)
    send: tuple[ObjectKind, ...] = ("sr", "pdf", "sc", "seg")
    storage_commitment: bool = True
    commitment_wait_s: float = Field(3600.0, gt=0)
    retry_first_s: float = Field(5.0, gt=0)
    retry_longest_s: float = Field(3600.0, gt=0)
    give_up_after_days: float = Field(7.0, gt=0)
    timeout_s: float = Field(30.0, gt=0)
    tls: TlsSettings | None = None
    query_retrieve: bool = False
    retrieve_by: Literal["auto", "move", "get"] = "auto"
    retrieve_timeout_s: float = Field(300.0, gt=0)


class StorageSettings(_Section):
    root: Path = Path("./data")
    min_free_gb: float = Field(5.0, ge=0)
    retention_days: int | None = Field(None, ge=1)


class LedgerSettings(_Section):
    url: str | None = None  # None: sqlite:///<storage.root>/ledger.db


class BrokerSettings(_Section):
    url: str = "embedded"
    visibility_timeout_s: int = Field(3600, ge=60)


class WebTlsSettings(_Section):
    """Certificate of the pages; PEM files. The certificate's file may hold its chain."""

    certificate: Path
    private_key: Path


class WebSettings(_Section):
    bind: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535)
    tls: WebTlsSettings | None = None
    hosts: tuple[str, ...] = ()  # names by which browsers may call the pages, beside loopback and the bound address
    idle_minutes: int = Field(30, ge=1)
    session_hours: int = Field(12, ge=1)


class SeriesRules(_Section):
    """Thresholds that tell T1w from T2w; milliseconds and degrees."""

    t1_max_repetition_time_ms: float = 1000.0
    t1_max_echo_time_ms: float = 30.0
    t2_min_repetition_time_ms: float = 2000.0
    t2_min_echo_time_ms: float = 60.0
    t2_min_echo_train: int = 4  # with so many echoes a long TE is T2w whatever TR (single shot, SPACE)
    max_echo_time_ms: float = 700.0  # beyond: hydrography
    stir_max_inversion_time_ms: float = 300.0
    t1_max_inversion_time_ms: float = 1700.0
    flair_min_inversion_time_ms: float = 1300.0
    flair_min_repetition_time_ms: float = 6000.0  # without a stated sequence type, a T2w this slow may be FLAIR
    gr_t1_max_echo_time_ms: float = 10.0
    gr_t1_max_repetition_time_ms: float = 800.0
    max_pixel_spacing_mm: float = 1.7  # coarser in plane is functional or diffusion imaging, not one of the three
    stir_as_t2w: bool = False  # True: the site's T2w is a STIR
    min_slices: int = 8
    axial_only: bool = True
    max_oblique_degrees: float = 40.0
    min_confidence: float = 0.7


class CaseSettings(_Section):
    roi_names: tuple[str, ...] = (
        "GTVp", "GTVp_MR", "GTVnx", "GTV_nx", "GTV-NX", "GTV-T", "GTV_T", "GTVt", "GTV70", "P-GTV", "GTV-P", "GTV",
        "鼻咽",
    )  # fmt: skip
    stable_after_s: float = Field(60.0, gt=0)
    series_rules: SeriesRules = SeriesRules()
    mr_max_age_days: int = Field(14, ge=0)
    report_refusals: bool = False


class EligibilitySettings(_Section):
    stage: str = "T3N1M0"
    stage_edition: str = "8"  # AJCC/UICC edition in which the stage above is meant
    stage_unknown: Literal["hold", "report_unverified"] = "hold"
    ebv_unknown: Literal["both_categories", "hold"] = "both_categories"
    out_of_distribution: Literal["refuse", "warn"] = "refuse"


class ClinicalSettings(_Section):
    """Facts that come with no image: laboratory results, stage, dates."""

    drop_folder: Path | None = None  # watched for .csv and .json; None: off
    stage_edition_default: str | None = "8"  # assumed where a stage is given without its edition; None: then unknown
    copies_per_iu: float | None = Field(None, gt=0)  # this site's conversion; None: results in IU/mL are refused
    ebv_window_days: int = Field(60, ge=0)  # a draw longer before the MR does not describe this tumour
    ebv_band_fraction: float = Field(0.25, ge=0, lt=1)  # a result this close to the threshold carries a warning


class Hl7Settings(_Section):
    """Laboratory results by HL7 v2 ORU^R01 over MLLP."""

    enabled: bool = False
    bind: str = "127.0.0.1"
    port: int = Field(2575, ge=0, le=65535)
    allowed_addresses: tuple[str, ...] = ()  # empty: loopback only
    default_charset: str = "UTF-8"  # where MSH-18 says nothing
    issuer: str | None = None  # taken for PID-3.4; None: PID-3.4 as sent
    codes: dict[str, str] = {}  # local OBX-3 codes: {"EBVDNA": "ebv_dna", ...}; LOINC is known
    max_message_kb: int = Field(1024, ge=1)
    idle_timeout_s: float = Field(300.0, gt=0)
    tls: TlsSettings | None = None


class FhirSettings(_Section):
    """Clinical facts by FHIR R4: polled from a server, or posted to the web part."""

    base_url: str | None = None  # of the server to poll; None: off
    poll_every_s: float = Field(300.0, gt=0)
    poll_days: int = Field(60, ge=1)  # patients whose studies came within so many days are asked for
    identifier_system: str | None = None  # system of the Patient ID; None: any
    issuer: str = ""  # recorded with facts that come by FHIR
    bearer_token: str | None = None  # better given as CPTDN__FHIR__BEARER_TOKEN
    timeout_s: float = Field(20.0, gt=0)
    ca: Path | None = None  # certificate authority of the server; None: those of the system
    codes: dict[str, str] = {}  # local Observation codes, as for [hl7]
    receive: bool = False  # take resources posted to the web part
    receive_token: str | None = Field(None, min_length=16)  # better given as CPTDN__FHIR__RECEIVE_TOKEN
    report_url: str | None = None  # base address that gets each report as DiagnosticReport and RiskAssessment


class ModelSettings(_Section):
    bundle: str = "demonstration"  # a name under config/bundles, or a path
    device: Literal["auto", "cpu", "cuda"] = "auto"
    allow_demonstration: bool = False


class DecisionSettings(_Section):
    horizon_months: int = Field(60, ge=1)
    threshold: float = Field(0.0, ge=-1, le=1)
    ebv_threshold_copies_per_ml: float = Field(4000.0, gt=0)
    ebv_threshold_inclusive: bool = False  # True: a value equal to the threshold counts as above it


class ReportSettings(_Section):
    language: Literal["en", "zh"] = "en"
    sop_class: Literal["comprehensive_3d", "comprehensive", "enhanced"] = "comprehensive_3d"
    timezone: str | None = None  # e.g. "+0800"; None: that of the machine
    preliminary: bool = True


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
    web: WebSettings = WebSettings()
    case: CaseSettings = CaseSettings()
    eligibility: EligibilitySettings = EligibilitySettings()
    clinical: ClinicalSettings = ClinicalSettings()
    hl7: Hl7Settings = Hl7Settings()
    fhir: FhirSettings = FhirSettings()
    model: ModelSettings = ModelSettings()
    decision: DecisionSettings = DecisionSettings()
    report: ReportSettings = ReportSettings()
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

    @model_validator(mode="after")
    def _paths_are_absolute(self) -> Settings:
        """Paths in a file are relative to that file, so a service manager's working folder does not matter."""
        base = self.source.parent if self.source else Path.cwd()
        root = (base / self.storage.root).resolve()
        url = self.ledger.url or f"sqlite:///{root / 'ledger.db'}"
        relative = url.removeprefix("sqlite:///")
        if url.startswith("sqlite:///") and relative != ":memory:":
            url = f"sqlite:///{(base / relative).resolve()}"
        if not (BUNDLES / self.model.bundle).is_dir() and (base / self.model.bundle).is_dir():
            bundle = str((base / self.model.bundle).resolve())
            object.__setattr__(self, "model", self.model.model_copy(update={"bundle": bundle}))
        object.__setattr__(self, "storage", self.storage.model_copy(update={"root": root}))
        object.__setattr__(self, "ledger", self.ledger.model_copy(update={"url": url}))
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
        return env_settings, init_settings


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings.

    path : a TOML file; None: `$CPTDN_CONFIG`, then `./cptdn.toml` where it exists, then the built-in defaults.
    Raises SettingsError naming the file, the key, what was expected and what was found.
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
        values["source"] = chosen.resolve()
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] == "extra_forbidden" else f", found {first['input']!r}"
        where = chosen or "the environment"
        raise SettingsError(f"{where}: [{key}] {first['msg'].lower()}{found}") from error
