"""The errors of the program, by what an operator does about them.

CptdnError
 ├─ SettingsError         correct the configuration
 ├─ InputError            correct what was given (a file, a value, a cohort); nothing was changed
 │   └─ IneligibleStudyError   this study cannot be scored; `code` is a reason code of the contract
 ├─ ModelBundleError      the model bundle is damaged, missing or not permitted: call the physicist
 ├─ StorageFullError      free space; waiting work then continues
 ├─ PacsUnavailableError  the peer did not answer or refused for now: tried again later
 └─ LedgerError           the ledger cannot be reached or is of another version
"""

from __future__ import annotations


class CptdnError(Exception):
    """Base of all errors whose message is one sentence for the operator."""


class SettingsError(CptdnError, ValueError):
    """A setting is missing or wrong."""


class InputError(CptdnError, ValueError):
    """An input cannot be used; the message says what was expected and what was found."""


class IneligibleStudyError(InputError):
    """The study cannot be scored, and `code` (a reason code of the contract) says why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class ModelBundleError(CptdnError):
    """The model bundle is damaged, missing or not permitted."""


class StorageFullError(CptdnError):
    """The disk of the storage has less free space than ``[storage] min_free_gb``."""


class PacsUnavailableError(CptdnError):
    """The peer did not answer, or refused for now."""


class LedgerError(CptdnError):
    """The ledger cannot be reached, or its schema is of another version."""
