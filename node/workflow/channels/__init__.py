"""Channels: the kinds of destinations that reports are delivered to, one module each; `channel` is their interface."""
