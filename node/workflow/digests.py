"""Digests that tell whether two computations are the same; node and workers share them.

A node compares digests to know that nothing has changed, without computing anything:

    request digest (`ComputeRequest.digest`)   the inputs: instances, contour, facts
    artefacts digest                           inputs and preprocessing: names the folder of the patches
    computation digest                         inputs, bundle, software and wording: names the report
    identity digest                            computation and predecessor: seeds the UIDs of the report
    comparison digest                          inputs, bundle, software and policy of a job that only compares
    withdrawal digest                          what a withdrawal says: takes the place of its computation digest
"""

from __future__ import annotations

import hashlib
import json

from config.settings import ReportSettings, Settings
from config.version import software_version


def computation_digest(request_digest: str, bundle_digest: str, wording: ReportSettings) -> str:
    """Return the digest of everything that decides what a report says.

    Parameters
    ----------
    request_digest : str
        `ComputeRequest.digest()` of the inputs, 64 hexadecimal digits.
    bundle_digest : str
        `BundleManifest.digest`, "sha256:" and 64 hexadecimal digits.
    wording : ReportSettings
        Language and form of the report.

    Returns
    -------
    str
        64 hexadecimal digits of SHA-256; equal digests mean that computing again changes nothing.
    """
    parts = [request_digest, bundle_digest, software_version(), wording.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def comparison_digest(request_digest: str, bundle_digest: str, settings: Settings) -> str:
    """Return the digest of everything that decides the outcome of a computation for comparison.

    Parameters
    ----------
    request_digest, bundle_digest : str
        As for `computation_digest`.
    settings : Settings
        The settings count that turn a score into a refusal: out-of-distribution and plausibility policy, demonstration
        models.

    Returns
    -------
    str
        64 hexadecimal digits of SHA-256; a comparison that was interrupted finds its finished jobs by it.
    """
    eligibility = settings.eligibility
    policy = [eligibility.out_of_distribution, eligibility.plausibility, settings.model.allow_demonstration]
    parts = [request_digest, bundle_digest, software_version(), policy]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def withdrawal_digest(request_digest: str) -> str:
    """Return the digest that names a withdrawal; no computation has the same.

    Parameters
    ----------
    request_digest : str
        Of the withdrawing job.

    Returns
    -------
    str
        64 hexadecimal digits of SHA-256.
    """
    return hashlib.sha256(f"withdrawal/{request_digest}".encode()).hexdigest()


def artefacts_digest(request_digest: str, preprocessing_digest: str) -> str:
    """Return the digest that names the folder of a computation's artefacts.

    Parameters
    ----------
    request_digest : str
        `ComputeRequest.digest()` of the inputs.
    preprocessing_digest : str
        Digest of the part of the bundle that shapes patches, so that bundles with equal preprocessing share them.

    Returns
    -------
    str
        64 hexadecimal digits of SHA-256.
    """
    return hashlib.sha256(f"{request_digest}/{preprocessing_digest}".encode()).hexdigest()


def identity_of(computation: str, predecessor: str | None) -> str:
    """Return the seed of all UIDs of a report.

    Parameters
    ----------
    computation : str
        `computation_digest` of the report.
    predecessor : str or None
        Identity of the report that it replaces; None for the first report of a study.

    Returns
    -------
    str
        64 hexadecimal digits of SHA-256. The first report of a study has the same UIDs wherever it is computed. A
        return to earlier inputs has another predecessor, so it is a new document with new UIDs (PS3.3 C.17.2).
    """
    return hashlib.sha256(f"{computation}/{predecessor or ''}".encode()).hexdigest()
