"""The version of this program, as every report, statement and backup names it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def software_version() -> str:
    """Return the program with its version, for example ``cptdn-node 0.9.0``.

    Returns
    -------
    str
        From the metadata of the installed distribution, cached: a report of one process has one version.
    """
    return f"cptdn-node {version('cptdn-node')}"
