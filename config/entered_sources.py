"""Where a clinical fact came from, as a message: the ledger has a plain text, which is a part of the fact."""

from __future__ import annotations

from config.messages.message import message

WEB_PAGE, COMMAND_LINE = "web page", "command line"
FILE = "file "
_NAMED = {WEB_PAGE: message("source.web_page"), COMMAND_LINE: message("source.command_line")}


def source_of(text: str) -> str:
    """Return the source of a fact.

    Parameters
    ----------
    text : str
        As recorded, for example "web page", "file facts.csv" or "HL7 ORU from LIS".

    Returns
    -------
    str
        A message; another text, such as the name of an interface, stays as it is.
    """
    if text in _NAMED:
        return _NAMED[text]
    if text.startswith(FILE):
        return message("source.file", name=text.removeprefix(FILE))
    return text
