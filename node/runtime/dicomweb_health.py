"""Whether DICOMweb works on both sides: the node's own intake, and the servers that are searched."""

from __future__ import annotations

import socket

from config.errors import CptdnError, SettingsError
from config.settings import PacsSettings, Settings

PATH = "/dicomweb/studies"


def intake_url(settings: Settings) -> str:
    """Return the address of STOW-RS at the web part."""
    return f"{'https' if settings.web.tls else 'http'}://{settings.web.bind}:{settings.web.port}{PATH}"


def sources(settings: Settings) -> list[str]:
    """Return the ways by which objects come to the node, for people.

    Parameters
    ----------
    settings : Settings
        `[node]`, `[dicomweb]`, and each `[[pacs]]` with `query_retrieve`.

    Returns
    -------
    list of str
        C-STORE first.
    """
    node = settings.node
    stow = [f"STOW-RS {intake_url(settings)}"] if settings.dicomweb.receive else []
    queried = [
        f"{pacs.name} by QIDO-RS and WADO-RS {pacs.wado_url}" if pacs.wado_url else f"{pacs.name} by C-FIND"
        for pacs in settings.pacs
        if pacs.query_retrieve
    ]
    return [f"C-STORE {node.ae_title} {node.bind}:{node.port}", *stow, *queried]


def check_intake(settings: Settings) -> tuple[str, str]:
    """Check that STOW-RS can be used.

    Parameters
    ----------
    settings : Settings
        With `[dicomweb] receive`.

    Returns
    -------
    found, problem : str
        What was found, and what is wrong; empty where nothing is.
    """
    from node.dicom.dicomweb.tokens import SenderTokens

    where = intake_url(settings)
    senders = "this machine without a token"
    if settings.dicomweb.senders_file is not None:
        try:
            senders = ", ".join(SenderTokens(settings.dicomweb.senders_file).read())
        except SettingsError as error:
            return where, str(error)
    try:
        host = "127.0.0.1" if settings.web.bind == "0.0.0.0" else settings.web.bind  # noqa: S104 - only compared
        socket.create_connection((host, settings.web.port), timeout=3).close()
    except OSError as error:
        return where, f"the web part does not listen ({error}): `cptdn up` or `cptdn web` starts it"
    return f"STOW-RS at {where}; senders: {senders}", ""


def check_source(pacs: PacsSettings) -> tuple[str, str]:
    """Ask a server for one study by QIDO-RS.

    Parameters
    ----------
    pacs : PacsSettings
        With `wado_url`.

    Returns
    -------
    found, problem : str
        What was found, and what is wrong; empty where nothing is.
    """
    from node.dicom.query.qido_client import check_qido

    try:
        return check_qido(pacs), ""
    except CptdnError as error:
        return str(pacs.wado_url), str(error)
