"""The sections of the configuration, each one frozen value with its limits.

A section belongs to the room that reads it; `settings.py` puts them together and reads them. `default.toml` says what
each key means. None as a default means: not set, and the comment behind the field says what then applies.
"""

from __future__ import annotations

import ipaddress
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from config.local_codes import LocalCodes

# Defined terms of (0008,0005), PS3.3 C.12.1.1.2, that stand alone.
CharacterSet = Literal[
    "GB18030", "GBK", "ISO_IR 192", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127",
    "ISO_IR 126", "ISO_IR 138", "ISO_IR 148", "ISO_IR 13", "ISO_IR 166",
]  # fmt: skip
ObjectKind = Literal["sr", "pdf", "sc", "seg", "attribution", "rtstruct"]
Hl7Message = Literal["ORU^R01", "MDM^T02"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _are_networks(values: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses and networks such as 192.0.2.7, 192.0.2.0/24, 2001:db8::/32."""
    # strict=False: administrators write "192.0.2.7/24" for the network of a machine.
    for value in values:
        ipaddress.ip_network(value, strict=False)
    return values


class TlsSettings(_Section):
    """Certificates of one side of a DICOM connection; PEM files."""

    certificate: Path
    private_key: Path
    ca: Path
    require_client_certificate: bool = True


class NodeSettings(_Section):
    """The DICOM side of the node: its address, its limits, and who may call."""

    ae_title: str = Field("CPTDN", min_length=1, max_length=16)
    bind: str = "127.0.0.1"
    port: int = Field(11112, ge=0, le=65535)
    max_associations: int = Field(64, ge=1)
    max_pdu_bytes: int = Field(131072, ge=4096)
    max_object_mb: int = Field(2048, ge=1)
    network_timeout_s: float = Field(60.0, gt=0)
    max_associations_per_peer: int = Field(48, ge=1)  # at once, from one address
    associations_per_minute: int = Field(6000, ge=1)  # new ones, from one address
    max_association_s: float = Field(14400.0, gt=0)
    # Both empty: any peer on loopback and none from elsewhere, so that a fresh installation is closed.
    allowed_calling_aes: tuple[str, ...] = ()
    allowed_addresses: tuple[str, ...] = ()  # addresses and networks; empty: any, where titles are named
    require_called_ae: bool = True
    # Of objects that no case is made of: many senders stop at the first one that is not accepted.
    other_classes: Literal["accept_and_discard", "reject"] = "accept_and_discard"
    character_sets: dict[str, CharacterSet] = {}  # calling AE title -> what its text really is
    users_file: Path | None = None  # name:argon2 hash, one a line; None: user identities are not asked for
    require_user_identity: bool = False
    tls: TlsSettings | None = None

    _networks = field_validator("allowed_addresses")(_are_networks)

    @model_validator(mode="after")
    def _identities_need_users(self) -> NodeSettings:
        if self.require_user_identity and self.users_file is None:
            raise ValueError("require_user_identity needs a users_file")
        return self


class PacsSettings(_Section):
    """One destination of reports, and how it is tried again; optionally also a source of missing series."""

    name: str = "main"
    ae_title: str = Field("PACS", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(11113, ge=1, le=65535)
    send: tuple[ObjectKind, ...] = ("sr", "pdf", "sc", "seg")
    # IHE IOCM; off: a PACS without the profile shows the note as one more key object document.
    rejection_notes: bool = False
    storage_commitment: bool = True
    commitment_wait_s: float = Field(3600.0, gt=0)
    stow_url: str | None = Field(None, pattern=r"^https?://")  # None: C-STORE
    stow_token_file: Path | None = None
    retry_first_s: float = Field(5.0, gt=0)
    retry_longest_s: float = Field(3600.0, gt=0)
    give_up_after_days: float = Field(7.0, gt=0)
    timeout_s: float = Field(30.0, gt=0)
    tls: TlsSettings | None = None
    query_retrieve: bool = False
    retrieve_by: Literal["auto", "move", "get"] = "auto"
    retrieve_timeout_s: float = Field(300.0, gt=0)
    wado_url: str | None = Field(None, pattern=r"^https?://")  # None: C-FIND, C-MOVE and C-GET
    wado_token_file: Path | None = None


class StorageSettings(_Section):
    """Where objects and results are stored, how much space stays free, and for how long they are kept."""

    root: Path = Path("./data")
    min_free_gb: float = Field(5.0, ge=0)
    retention_days: int | None = Field(None, ge=1)


class LedgerSettings(_Section):
    """The database of cases, jobs and reports."""

    url: str | None = None  # None: sqlite:///<storage.root>/ledger.db
    password_file: Path | None = None  # its content becomes the password of the url


class BrokerSettings(_Section):
    """The broker between node and workers."""

    url: str = "embedded"
    password_file: Path | None = None  # its content becomes the password of the url
    visibility_timeout_s: int = Field(3600, ge=60)
    waiting_most: int = Field(16, ge=1)


class JobSettings(_Section):
    """The leases by which workers keep computations and deliveries."""

    lease_s: float = Field(60.0, ge=1)


class WebTlsSettings(_Section):
    """Certificate of the pages; PEM files. The file of the certificate may contain its chain."""

    certificate: Path
    private_key: Path


class WebSettings(_Section):
    """The pages: address, TLS and sessions."""

    bind: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535)
    tls: WebTlsSettings | None = None
    hosts: tuple[str, ...] = ()  # names by which browsers may call the pages, beside loopback and the bound address
    idle_minutes: int = Field(30, ge=1)
    session_hours: int = Field(12, ge=1)


class DicomwebSettings(_Section):
    """Objects by DICOMweb: STOW-RS at the web part. Limits of objects, times and addresses are those of `[node]`."""

    receive: bool = False
    senders_file: Path | None = None  # NAME:TOKEN, one a line; None: without a token, on loopback only
    max_requests: int = Field(16, ge=1)  # at once; further ones are told to come later
    max_request_mb: int = Field(16384, ge=1)


class SeriesRules(_Section):
    """Thresholds that tell T1w from T2w; milliseconds and degrees."""

    t1_max_repetition_time_ms: float = 1000.0
    t1_max_echo_time_ms: float = 30.0
    t2_min_repetition_time_ms: float = 2000.0
    t2_min_echo_time_ms: float = 60.0
    t2_min_echo_train: int = 4  # with this many echoes a long TE is T2w at any TR (single shot, SPACE)
    max_echo_time_ms: float = 700.0  # above it: hydrography
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
    # False: a scanner states more Images in Acquisition than a series contains.
    check_image_count: bool = True
    min_confidence: float = 0.7


class CaseSettings(_Section):
    """When a study is complete, which contour is the tumour, how old an MR may be."""

    roi_names: tuple[str, ...] = (
        "GTVp", "GTVp_MR", "GTVnx", "GTV_nx", "GTV-NX", "GTV-T", "GTV_T", "GTVt", "GTV70", "P-GTV", "GTV-P", "GTV",
        "鼻咽",
    )  # fmt: skip
    stable_after_s: float = Field(60.0, gt=0)
    series_rules: SeriesRules = SeriesRules()
    mr_max_age_days: int = Field(14, ge=0)
    freeze_after_days: int = Field(45, ge=0)  # from then on only a person makes a new revision of a report
    # Off: a PACS gets no document that says only that nothing was computed, unless the site wants it.
    report_refusals: bool = False
    withdraw_after_s: float = Field(30.0, ge=0)


class EligibilitySettings(_Section):
    """For whom a result is computed, and what happens where a fact is not known."""

    stage: str | None = None  # None: the bundle's; another stage than the bundle's is an error
    stage_edition: str | None = None  # AJCC/UICC edition of that stage; None: the bundle's
    stage_unknown: Literal["hold", "report_unverified"] = "hold"
    ebv_unknown: Literal["both_categories", "hold"] = "both_categories"
    # Refused by default: a score for images unlike those of the training is a number without evidence.
    out_of_distribution: Literal["refuse", "warn"] = "refuse"
    diagnosis: Literal["require", "assume"] = "require"  # where no diagnosis is recorded
    # Refused by default: noise, a flipped series or a contour elsewhere gives a number as confident as any other.
    plausibility: Literal["refuse", "warn"] | None = None  # None: as out_of_distribution


def plain_name(text: str | None) -> str:
    """Return a name for comparison: without case, and with single spaces."""
    return " ".join((text or "").casefold().split())


class IuFactor(_Section):
    """Copies per international unit of EBV DNA, as one laboratory has measured them with one assay."""

    factor: float = Field(gt=0)
    laboratory: str | None = None  # as in its results; None: any
    assay: str | None = None  # as in its results; None: any
    since: date | None = None  # first day of a draw for which it holds
    until: date | None = None  # last day of a draw for which it holds

    def holds_with(self, other: IuFactor) -> bool:
        """Return whether both are for one laboratory and assay, and for a day in common."""
        named = [(plain_name(each.laboratory), plain_name(each.assay)) for each in (self, other)]
        begins = max(self.since or date.min, other.since or date.min)
        ends = min(self.until or date.max, other.until or date.max)
        return named[0] == named[1] and begins <= ends


class ClinicalSettings(_Section):
    """Facts that no image contains: laboratory results, stage, dates."""

    drop_folder: Path | None = None  # watched for .csv and .json; None: off
    stage_edition_default: str | None = "8"  # assumed where a stage is given without its edition; None: then unknown
    copies_per_iu: tuple[IuFactor, ...] = ()  # conversions of the site's laboratories; without one, IU/mL is refused
    ebv_window_days: int = Field(60, ge=0)  # a draw longer before the MR does not describe this tumour
    ebv_window_after_days: int = Field(14, ge=0)  # a draw longer after the MR is a follow-up
    ebv_band_fraction: float = Field(0.25, ge=0, lt=1)  # a result this close to the threshold carries a warning

    @field_validator("copies_per_iu", mode="before")
    @classmethod
    def _one_number_is_a_factor_for_all(cls, value: Any) -> Any:
        """Read the number of earlier versions as a factor that holds for every laboratory, assay and day."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return ({"factor": value},)
        return value

    @field_validator("copies_per_iu")
    @classmethod
    def _factors_do_not_contradict(cls, factors: tuple[IuFactor, ...]) -> tuple[IuFactor, ...]:
        for number, first in enumerate(factors):
            for second in factors[number + 1 :]:
                if first.holds_with(second) and first.factor != second.factor:
                    raise ValueError(f"two factors hold for the same draws: {first.factor:g} and {second.factor:g}")
        return factors


class Hl7Settings(_Section):
    """Laboratory results by HL7 v2 ORU^R01 over MLLP."""

    enabled: bool = False
    bind: str = "127.0.0.1"
    port: int = Field(2575, ge=0, le=65535)
    allowed_addresses: tuple[str, ...] = ()  # empty: loopback only
    default_charset: str = "UTF-8"  # where MSH-18 says nothing
    issuer: str | None = None  # replaces PID-3.4; None: PID-3.4 as sent
    codes: LocalCodes = {}  # local OBX-3 codes: {"EBVDNA": "ebv_dna", ...}; LOINC is known
    max_message_kb: int = Field(1024, ge=1)
    idle_timeout_s: float = Field(300.0, gt=0)
    tls: TlsSettings | None = None


class Hl7OutSettings(_Section):
    """One receiver of results by HL7 v2 over MLLP, and how it is tried again."""

    # In deliveries and control ids: with another name a receiver counts as another one.
    name: str = Field("his", min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_.-]+$")
    host: str = "127.0.0.1"
    port: int = Field(2576, ge=1, le=65535)
    messages: tuple[Hl7Message, ...] = Field(("ORU^R01",), min_length=1)
    pdf: bool = True
    # A namespace, or namespace^universal id^type (data type HD).
    sending_application: str = Field("CPTDN", min_length=1, max_length=180)
    sending_facility: str = Field("", max_length=180)
    receiving_application: str = Field("", max_length=180)
    receiving_facility: str = Field("", max_length=180)
    version: Literal["2.3.1", "2.4", "2.5", "2.5.1"] = "2.5.1"
    character_set: Literal["UNICODE UTF-8", "GB 18030-2000"] = "UNICODE UTF-8"
    withdrawn_document: Literal["cancel", "replace"] = "cancel"
    timeout_s: float = Field(30.0, gt=0)
    answer_timeout_s: float = Field(60.0, gt=0)
    retry_first_s: float = Field(5.0, gt=0)
    retry_longest_s: float = Field(3600.0, gt=0)
    give_up_after_days: float = Field(7.0, gt=0)
    tls: TlsSettings | None = None


class FhirSettings(_Section):
    """Clinical facts by FHIR R4: polled from a server, or posted to the web part."""

    base_url: str | None = None  # of the server to poll; None: off
    poll_every_s: float = Field(300.0, gt=0)
    poll_days: int = Field(60, ge=1)  # patients whose studies arrived within this many days
    follow_up_days: int = Field(0, ge=0)  # once a day also patients whose studies arrived within this many days; 0: off
    identifier_system: str | None = None  # system of the Patient ID; None: any
    issuer: str = ""  # recorded with facts that come by FHIR
    bearer_token: str | None = None  # by CPTDN__FHIR__BEARER_TOKEN
    bearer_token_file: Path | None = None
    timeout_s: float = Field(20.0, gt=0)
    ca: Path | None = None  # certificate authority of the server; None: those of the system
    codes: LocalCodes = {}  # local Observation codes, as for [hl7]
    receive: bool = False  # take resources posted to the web part
    receive_token: str | None = Field(None, min_length=16)  # preferably by CPTDN__FHIR__RECEIVE_TOKEN
    report_url: str | None = None  # base address that gets each report as DiagnosticReport and RiskAssessment


class ModelSettings(_Section):
    """The configured model bundle, and whose signature it needs."""

    bundle: str = "demonstration"  # a name under config/bundles, or a path
    device: Literal["auto", "cpu", "cuda"] = "auto"
    allow_demonstration: bool = False
    trusted_keys: tuple[Path, ...] = ()  # PEM files with Ed25519 public keys of those who may sign bundles
    require_signature: bool = False  # refuse bundles without a signature by one of them
    trial_evidence: Path | None = None  # TOML; None: config/trial_evidence.toml

    @model_validator(mode="after")
    def _signatures_need_keys(self) -> ModelSettings:
        if self.require_signature and not self.trusted_keys:
            raise ValueError("require_signature needs trusted_keys")
        return self


class DecisionSettings(_Section):
    """The site's choices; None: as the bundle says. What contradicts the bundle is an error (`decision_policy.py`)."""

    rule: Literal["interval", "point"] = "interval"
    stability: bool = True
    stability_share: float = Field(0.9, ge=0, le=1)
    horizon_months: int | None = Field(None, ge=1)  # one of the bundle's horizons
    threshold: float | None = Field(None, ge=-1, le=1)
    ebv_threshold_copies_per_ml: float | None = Field(None, gt=0)
    ebv_threshold_inclusive: bool | None = None  # True: a value equal to the threshold counts as above it


class ReportSettings(_Section):
    """Language and form of the report."""

    language: Literal["en", "zh"] = "en"
    sop_class: Literal["comprehensive_3d", "comprehensive", "enhanced"] = "comprehensive_3d"
    timezone: str | None = None  # e.g. "+0800"; None: that of the machine
    preliminary: bool = True
    guideline_text: str | None = None
    guideline_source: str | None = None
    guideline_date: str | None = None
    guideline_signer: str | None = None
    device_serial_number: str | None = Field(None, min_length=1, max_length=64)  # VR LO
    device_udi: str | None = Field(None, min_length=1)

    @field_validator("guideline_date")
    @classmethod
    def _is_a_day(cls, text: str | None) -> str | None:
        # By the round trip: other ISO forms, such as 20260131, are read as well.
        try:
            is_day = text is None or date.fromisoformat(text).isoformat() == text
        except ValueError:
            is_day = False
        if not is_day:
            raise ValueError(f"expected the date of the text as YYYY-MM-DD, found {text!r}")
        return text

    @model_validator(mode="after")
    def _guideline_text_is_signed(self) -> ReportSettings:
        names = ("guideline_text", "guideline_source", "guideline_date", "guideline_signer")
        missing = [name for name in names if not getattr(self, name)]
        if 0 < len(missing) < len(names):
            raise ValueError(
                f"expected {', '.join(names)} together, since a text about treatment has a source, a date and a "
                f"signer; found no {' and no '.join(missing)}"
            )
        return self


class SyslogSettings(_Section):
    """The audit repository: RFC 5424 messages over TLS (RFC 5425), TCP (RFC 6587) or UDP (RFC 5426)."""

    host: str
    port: int = Field(6514, ge=1, le=65535)
    transport: Literal["tls", "tcp", "udp"] = "tls"
    ca: Path | None = None  # certificate authority of the repository; needed with tls
    certificate: Path | None = None  # ours, where the repository asks for one
    private_key: Path | None = None
    timeout_s: float = Field(10.0, gt=0)

    @model_validator(mode="after")
    def _tls_needs_an_authority(self) -> SyslogSettings:
        if self.transport == "tls" and self.ca is None:
            raise ValueError("a syslog repository over tls needs its ca")
        return self


class AuditSettings(_Section):
    """The audit trail, DICOM PS3.15 Annex A.5."""

    enabled: bool = True
    folder: Path | None = None  # None: <storage.root>/audit/<name of the machine>
    patient_id: Literal["plain", "hashed", "none"] = "plain"  # never a name
    source_id: str | None = None  # AuditSourceID; None: node.ae_title
    site: str | None = None  # AuditEnterpriseSiteID
    rotate_mb: int = Field(64, ge=1)
    keep_days: int | None = Field(None, ge=1)  # None: for ever
    alerts_every_s: float = Field(60.0, ge=0)  # the same refusal of the same peer is reported once in this time
    syslog: SyslogSettings | None = None


class MetricsSettings(_Section):
    """Prometheus metrics and health, by a listener of the node; the web part has them too."""

    enabled: bool = False
    bind: str = "127.0.0.1"
    port: int = Field(9404, ge=0, le=65535)
    allowed_addresses: tuple[str, ...] = ()  # who may read them; empty: loopback only

    _networks = field_validator("allowed_addresses")(_are_networks)


NotifiedEvent = Literal["failed_case", "dead_delivery", "low_disk", "quarantine", "withdrawn_answer"]


class NotifySettings(_Section):
    """Notifications of the operator by mail or webhook; they contain nothing about a patient."""

    on: tuple[NotifiedEvent, ...] = ("failed_case", "dead_delivery", "low_disk", "quarantine", "withdrawn_answer")
    every_s: float = Field(900.0, gt=0)  # at most one message in this time, about everything since the last
    retry_for_s: float = Field(86400.0, gt=0)
    smtp_host: str | None = None  # None: no mail
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_ca: Path | None = None
    smtp_user: str | None = None
    smtp_password_file: Path | None = None
    mail_from: str = "cptdn-node"
    mail_to: tuple[str, ...] = ()
    webhook_url: str | None = None  # gets one JSON document by POST
    webhook_token_file: Path | None = None  # sent as bearer token
    timeout_s: float = Field(20.0, gt=0)


class TracingSettings(_Section):
    """OpenTelemetry traces through the pipeline; needs the optional libraries (pip install cptdn-node[tracing])."""

    enabled: bool = False
    endpoint: str = "http://127.0.0.1:4318/v1/traces"  # of a collector, OTLP over HTTP
    service_name: str = "cptdn"
