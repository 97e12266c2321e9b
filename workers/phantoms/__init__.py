"""Synthetic patients: facts, survival, MR series and contours, all drawn from seeds; no real person's data."""
