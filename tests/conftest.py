"""Fixtures that every room shares."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Speed is a benchmark, never a test: a busy machine must not fail a property.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["TCP_NODELAY"] = "1"  # dcmtk and Orthanc leave Nagle on otherwise and crawl on loopback
