"""Errors of a peer or its connection that end an association."""

from __future__ import annotations


class ProtocolError(Exception):
    """The peer violated PS3.7 or PS3.8, or a limit of this node; the association is aborted."""


class ConnectionLostError(OSError):
    """The peer closed the connection in the middle of a message."""
