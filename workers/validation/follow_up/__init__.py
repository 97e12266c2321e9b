"""Followed patients of a bundle: observed against expected events, monitoring, recalibration, one page."""
