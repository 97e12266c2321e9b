"""How this program wants pynetdicom and pydicom to behave; called by what starts a server or opens an association."""

from __future__ import annotations

import logging
import warnings

import pydicom.config
from pynetdicom import _config


def configure_pydicom_pynetdicom() -> None:
    """Set the libraries' process-wide switches; safe to call again.

    - No log line of theirs: their handlers print identifiers with patient names and cost a third of the receive time.
    - Files are sent with the bytes that stand on the disk.
    - Values of others are read as they are; what does not follow the standard is our rules' business, not a warning's.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.STORE_SEND_CHUNKED_DATASET = True
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom\..*")
