"""The sections of the configuration about work items: what is accepted, queried, and who is notified."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from config.sections import TlsSettings


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkItemSettings(_Section):
    """Unified procedure steps (IHE AIW-I) that this node performs."""

    receive: bool = False
    code: str = Field("NPC-TREATMENT", min_length=1, max_length=16)  # VR SH
    code_scheme: str = Field("99CPTDN", min_length=1, max_length=16)
    code_meaning: str = Field("Prognosis and regimen of nasopharyngeal carcinoma", min_length=1, max_length=64)
    wait_days: float = Field(7.0, gt=0)


class _PeerSection(_Section):
    timeout_s: float = Field(30.0, gt=0)
    retry_first_s: float = Field(5.0, gt=0)
    retry_longest_s: float = Field(3600.0, gt=0)
    give_up_after_days: float = Field(7.0, gt=0)
    tls: TlsSettings | None = None


class WorklistSettings(_PeerSection):
    """One worklist manager that is queried for work items, by DIMSE or by UPS-RS."""

    # In the ledger: with another name it counts as another one.
    name: str = Field("worklist", min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_.-]+$")
    ae_title: str = Field("WORKLIST", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(11114, ge=1, le=65535)
    url: str | None = Field(None, pattern=r"^https?://")  # None: DIMSE
    token_file: Path | None = None
    poll_every_s: float = Field(30.0, gt=0)


class NotifiedAeSettings(_PeerSection):
    """One application entity that gets notifications: of work items it has subscribed to, of available instances."""

    ae_title: str = Field("SUBSCRIBER", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(11115, ge=1, le=65535)
    instance_availability: bool = False
