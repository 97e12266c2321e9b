"""Fixtures that every room shares."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Speed is a benchmark, never a test: a busy machine must not fail a property.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

os.environ.setdefault("MPLBACKEND", "Agg")
# Several programs share the cores while tests run, and threads of one that wait for each other keep a core busy: with
# two threads a process, the networks' tests take twice the CPU time.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")
os.environ["TCP_NODELAY"] = "1"  # dcmtk and Orthanc leave Nagle on otherwise and crawl on loopback
