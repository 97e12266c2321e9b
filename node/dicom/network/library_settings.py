"""Process-wide settings of pynetdicom and pydicom; called by what starts a server or opens an association."""

from __future__ import annotations

import logging
import warnings

import pydicom.config

from node.dicom.network.pynetdicom_internals import set_switches


def configure_pydicom_pynetdicom() -> None:
    """Configure both libraries for this process; safe to call again.

    No log line of theirs is written. Values of other systems are read as they are: what does not follow the standard is
    judged by our rules, not by a warning of pydicom.
    """
    set_switches()
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom\..*")
