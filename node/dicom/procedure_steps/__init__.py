"""Unified procedure steps: their data sets, and what those who watch them are told (PS3.4 Annex CC, PS3.3 C.30)."""
