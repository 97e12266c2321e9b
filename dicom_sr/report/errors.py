"""Errors of this room.

ReportError (ValueError)
 ├─ InvalidReportError      what was to be written does not hold together: nothing may be stored or sent
 └─ UnreadableReportError   what was to be read is not a report of ours, or was cut on the way
"""

from __future__ import annotations


class ReportError(ValueError):
    """A report cannot be written or read; the message says what was expected and what was found."""


class InvalidReportError(ReportError):
    """A report value, or an object made from it, contradicts itself or its IOD."""


class UnreadableReportError(ReportError):
    """The data set is not a report of this software, or part of it is missing."""
