"""What makes two computations the same: the digest that a report is known by.

Node and workers share it: a node can tell that nothing has changed without computing anything.
"""

from __future__ import annotations

import hashlib
import json

from config.settings import ReportSettings, Settings
from config.version import software_version


def computation_digest(request_digest: str, bundle_digest: str, wording: ReportSettings) -> str:
    """Digest over everything that decides what a report says; equal means that nothing has changed."""
    parts = [request_digest, bundle_digest, software_version(), wording.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def comparison_digest(request_digest: str, bundle_digest: str, settings: Settings) -> str:
    """Digest over everything that decides what a computation for comparison answers: scores, or a refusal."""
    policy = [settings.eligibility.out_of_distribution, settings.model.allow_demonstration]
    parts = [request_digest, bundle_digest, software_version(), policy]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def artefacts_digest(request_digest: str, preprocessing_digest: str) -> str:
    """Names the folder of what a computation keeps: the inputs, and the part of the bundle that shapes patches."""
    return hashlib.sha256(f"{request_digest}/{preprocessing_digest}".encode()).hexdigest()


def identity_of(computation: str, predecessor: str | None) -> str:
    """Seed of all UIDs of a report.

    With the predecessor in it, a return to an earlier value is a new document that names the one it replaces, while a
    first computation gives the same UIDs wherever it is repeated.
    """
    return hashlib.sha256(f"{computation}/{predecessor or ''}".encode()).hexdigest()
