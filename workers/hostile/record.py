"""verification.json beside a bundle's manifest: what its hostile suite stopped, and whether the stated rates are met.

The record names the digest of the bundle that it is of; a record of another digest counts as none. It is no part of the
bundle, so that measuring a bundle does not change what it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.atomic_files import write_atomically
from config.bundle_manifest import BundleManifest
from config.version import software_version

RECORD = "verification.json"
STOPPED_AT_LEAST = 0.95
UNTOUCHED_AT_MOST, OTHER_SCANNERS_AT_MOST = 0.02, 0.05


@dataclass(frozen=True)
class Share:
    """How many studies of one kind were stopped.

    Attributes
    ----------
    kind : str
        What was done to them, or that nothing was.
    n, stopped : int
        Number of studies, and of those that were refused.
    at_least, at_most : float or None
        Required share; both None where the share is only stated.
    reasons : dict of str to int
        Reason codes of the refusals.
    """

    kind: str
    n: int
    stopped: int
    at_least: float | None
    at_most: float | None
    reasons: dict[str, int]

    @property
    def share(self) -> float:
        """Share that was stopped, 0..1."""
        return self.stopped / self.n if self.n else 0.0

    @property
    def meets(self) -> bool:
        """Whether the share is as required."""
        low_enough = self.at_most is None or self.share <= self.at_most
        return low_enough and (self.at_least is None or self.share >= self.at_least)


@dataclass(frozen=True)
class VerificationRecord:
    """Result of a hostile suite.

    Attributes
    ----------
    bundle_digest : str
        Of the bundle that was measured.
    created : str
        ISO 8601.
    software_version : str
        Of the program.
    patients : str
        Whose studies they were.
    shares : tuple of Share
        One for each kind.
    """

    bundle_digest: str
    created: str
    software_version: str
    patients: str
    shares: tuple[Share, ...]

    @property
    def below(self) -> tuple[str, ...]:
        """The kinds whose share is not as required."""
        return tuple(share.kind for share in self.shares if not share.meets)

    def to_json(self) -> dict[str, Any]:
        """Return the document of verification.json."""
        shares = [{**asdict(share), "share": round(share.share, 4), "meets": share.meets} for share in self.shares]
        return {**asdict(self), "meets_stated_rates": not self.below, "below": list(self.below), "shares": shares}


def new_record(manifest: BundleManifest, patients: str, shares: Sequence[Share]) -> VerificationRecord:
    """Return the record of a suite that has just been run."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return VerificationRecord(manifest.digest, now, software_version(), patients, tuple(shares))


def write_record(folder: Path, record: VerificationRecord) -> None:
    """Write verification.json; raises OSError where the folder cannot be written to."""
    write_atomically(folder / RECORD, json.dumps(record.to_json(), indent=1, ensure_ascii=False) + "\n")


def read_record(manifest: BundleManifest) -> VerificationRecord | None:
    """Read the record of a bundle.

    Parameters
    ----------
    manifest : BundleManifest
        Of the bundle.

    Returns
    -------
    VerificationRecord or None
        None where there is none, it cannot be read, or it is of another digest.
    """
    names = ("kind", "n", "stopped", "at_least", "at_most", "reasons")
    try:
        document = json.loads((manifest.folder / RECORD).read_text(encoding="utf-8"))
        shares = tuple(Share(**{name: share[name] for name in names}) for share in document["shares"])
        kept = {name: str(document[name]) for name in ("bundle_digest", "created", "software_version", "patients")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return VerificationRecord(**kept, shares=shares) if kept["bundle_digest"] == manifest.digest else None
