"""Errors of this room.

ReportError (ValueError)
 ├─ InvalidReportError      a report or an object contradicts itself: nothing may be stored or sent
 └─ UnreadableReportError   a data set is not a report of this software, or is damaged
"""

from __future__ import annotations


class ReportError(ValueError):
    """A report cannot be written or read; the message says what was expected and what was found."""


class InvalidReportError(ReportError):
    """A report value, or an object made from it, contradicts itself or its IOD."""


class UnreadableReportError(ReportError):
    """The data set is not a report of this software, or part of it is missing."""
