"""Codes, and the content items of a Structured Report that are made from them."""
