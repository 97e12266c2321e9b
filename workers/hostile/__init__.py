"""Hostile inputs: studies that must not be scored, made from ones that may, and the share of them that is stopped."""
