"""Fixtures that every room shares."""

from __future__ import annotations

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["TCP_NODELAY"] = "1"  # dcmtk and Orthanc leave Nagle on otherwise and crawl on loopback
