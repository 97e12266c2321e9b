"""The DICOMweb services of the conformance statement (PS3.2, PS3.18): storing on both sides, searching, retrieving."""

from __future__ import annotations

from config.settings import PacsSettings, Settings
from node.conformance.document import Block, Heading, Paragraph, Table
from node.dicom.dicomweb.arrivals import CLASS_NOT_SUPPORTED, SYNTAX_NOT_SUPPORTED
from node.dicom.dicomweb.reception import MOST_PARTS


def dicomweb_rows(settings: Settings) -> list[tuple[str, str, str]]:
    """Return the rows of the overview: service, whether the node is its user agent, whether it is its origin server.

    Returns
    -------
    list of tuple of str
        Empty where no service of DICOMweb is configured.
    """
    stores = any(pacs.stow_url is not None for pacs in settings.pacs)
    rows = []
    if stores or settings.dicomweb.receive:
        received = "yes (origin server)" if settings.dicomweb.receive else ""
        rows.append(("DICOMweb: Store (STOW-RS)", "yes (user agent)" if stores else "", received))
    if _sources(settings):
        rows += [
            ("DICOMweb: Search (QIDO-RS)", "yes (user agent)", ""),
            ("DICOMweb: Retrieve (WADO-RS)", "yes (user agent)", ""),
        ]
    return rows


def received_by_dicomweb(settings: Settings) -> list[Block]:
    """Build what is said of the origin server of STOW-RS.

    Returns
    -------
    list of Block
        Empty where it is off.
    """
    web = settings.dicomweb
    if not web.receive:
        return []
    tokens = "bearer token of the sender" if web.senders_file else "none; this machine only"
    return [
        Heading(4, "4.1.6 Studies service, Store transaction (STOW-RS, PS3.18 10.5), origin server"),
        Table(
            ("Property", "Value"),
            (
                ("Target resources", "POST /dicomweb/studies and /dicomweb/studies/{study} of the web part"),
                (
                    "Request",
                    'multipart/related; type="application/dicom"; no Content-Encoding, no bulk data',
                ),
                ("Response", "application/dicom+json, or application/dicom+xml where only that is accepted"),
                ("SOP classes and transfer syntaxes", "those of the storage application entity"),
                ("Authentication", tokens),
                ("TLS", "on" if settings.web.tls else "off"),
                ("Simultaneous requests", str(web.max_requests)),
                ("Largest request", f"{web.max_request_mb} MB, {MOST_PARTS} objects"),
                ("Retrieve URL", "empty: nothing can be retrieved from this node"),
            ),
        ),
        Table(
            ("HTTP status", "Meaning"),
            (
                ("200", "every object is on the disk (fsync) and indexed, or discarded as by C-STORE"),
                ("202", "some are; the response names the others with their Failure Reason"),
                ("409", "none is; the response names each with its Failure Reason"),
                ("400", "no multipart message, or it ends before its last delimiter"),
                ("401, 403", "no token of a sender; an address that is not allowed"),
                ("408", "silence, or a sender that is too slow, or too long a request"),
                ("413", "larger than the limits"),
                ("415", "another media type, or a Content-Encoding"),
                (
                    "429, 503",
                    "too many requests; no room on the disk, no answer of the ledger: send it later",
                ),
            ),
            "Responses; what arrived as a whole before a request was given up is named in the response and stays",
        ),
        Paragraph(
            "Failure Reasons are the statuses of 4.1.4, and "
            f"{CLASS_NOT_SUPPORTED:04X} (SOP class not supported) and {SYNTAX_NOT_SUPPORTED:04X} (transfer syntax not "
            "supported). A part without a readable instance is counted in Other Failures Sequence (0008,119A). The "
            "reason of the first failure is the Warning header."
        ),
    ]


def sent_by_dicomweb(settings: Settings) -> list[Block]:
    """Build what is said of DICOMweb servers that get reports or are searched for missing series.

    Returns
    -------
    list of Block
        Empty where there is none.
    """
    return [*_stored(settings), *_searched(settings)]


def _stored(settings: Settings) -> list[Block]:
    urls = tuple((pacs.name, f"{pacs.stow_url}/studies") for pacs in settings.pacs if pacs.stow_url is not None)
    if not urls:
        return []
    return [
        Table(("Destination", "Store transaction (STOW-RS, PS3.18 10.5), user agent"), urls),
        Paragraph(
            "One POST for each delivery: multipart/related with application/dicom parts in the stored transfer syntax, "
            "in chunks, with a length where the server answers 411. Accepted is application/dicom+json. 200, 202 and "
            "409 are read object by object: Failure Reasons mean what the same C-STORE statuses mean below, an object "
            "that is not named is sent again. 400, 406, 413, 415 and 422 refuse all objects; any other status is "
            "repeated with doubling waits. There is no storage commitment."
        ),
    ]


def _searched(settings: Settings) -> list[Block]:
    urls = tuple((pacs.name, str(pacs.wado_url)) for pacs in _sources(settings))
    if not urls:
        return []
    return [
        Table(("Source", "Search and Retrieve transactions (QIDO-RS, PS3.18 10.6; WADO-RS, 10.4), user agent"), urls),
        Table(
            ("Transaction", "Request", "Accept"),
            (
                ("Search", "/studies?PatientID&ModalitiesInStudy&limit", "application/dicom+json"),
                ("Search", "/studies/{study}/series?includefield&limit", "application/dicom+json"),
                ("Search", "/studies/{study}/series/{series}/instances?includefield&limit", "application/dicom+json"),
                (
                    "Retrieve", "/studies/{study}/series/{series}",
                    'multipart/related; type="application/dicom"; transfer-syntax=*; after 406 without the last',
                ),
            ),
        ),
        Paragraph(
            "Objects pass the checks of 4.1; those of another study or series than the requested one are not stored. "
            "Search: 204 and an empty list mean nothing; any other answer than 200 with DICOM JSON is repeated with "
            "doubling waits. Retrieve: 204, 404, 406, 410 and an answer that is not whole end the attempt for that "
            "series, at most three times; 401, 403, 413, 429, 5xx and a broken connection are repeated with doubling "
            "waits. Redirects are not followed."
        ),
    ]  # fmt: skip


def _sources(settings: Settings) -> list[PacsSettings]:
    return [pacs for pacs in settings.pacs if pacs.query_retrieve and pacs.wado_url is not None]
