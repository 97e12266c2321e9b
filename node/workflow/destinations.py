"""Destinations of reports: which objects each one gets, and what a refusal of one of them means."""

from __future__ import annotations

from sqlalchemy.orm import Session

from config.settings import PacsSettings, Settings
from node.ledger.deliveries import REFUSED, STORED
from node.ledger.reports import StoredObject, objects_of
from node.ledger.tables import Delivery, ReportObject

FHIR = "fhir"  # name of the destination that gets FHIR resources, and kind of the object that contains them
FALLBACK = "_fallback"  # suffix of the kind of an object that replaces one of a refused SOP class: "sr_fallback"


def destination(settings: Settings, name: str) -> PacsSettings | None:
    """Return the destination of this name, None where it is not configured.

    The FHIR server is a destination without DICOM objects; it is retried as a PACS with the default settings is.
    """
    if name == FHIR and settings.fhir.report_url:
        return PacsSettings(name=FHIR, send=(), storage_commitment=False)
    return next((pacs for pacs in settings.pacs if pacs.name == name), None)


def objects_for(session: Session, delivery: Delivery, pacs: PacsSettings) -> list[StoredObject]:
    """Return the objects of a report that a destination gets.

    Parameters
    ----------
    session : Session
        An open transaction; it is only read from.
    delivery : Delivery
        The delivery, which records what the destination has refused.
    pacs : PacsSettings
        The destination.

    Returns
    -------
    list of StoredObject
        In the order of `send`; the fallback of a kind follows it where the destination refused that kind.
    """
    rows = objects_of(session, delivery.report_id)
    refused = {
        row.kind for row in rows if delivery.objects.get(row.sop_instance_uid, {}).get("status") == REFUSED
    }  # fmt: skip
    kinds: list[str] = [FHIR] if pacs.name == FHIR else []
    for kind in pacs.send:
        kinds += [kind, kind + FALLBACK] if kind in refused else [kind]
    return [stored_object(row) for kind in kinds for row in rows if row.kind == kind]


def stored_object(row: ReportObject) -> StoredObject:
    """Return the object of a row of the ledger as a value, for use after the transaction."""
    return StoredObject(
        row.kind, row.sop_class_uid, row.sop_instance_uid, row.transfer_syntax_uid, row.digest, row.path
    )  # fmt: skip


def refusal_of(session: Session, delivery: Delivery, pacs: PacsSettings) -> str | None:
    """Return why a delivery cannot succeed, None when it can.

    The first kind of `send` that the report has is the document itself. When the destination refuses it, and stored no
    fallback either, the companions alone are worth nothing to a reader.
    """
    rows = {row.sop_instance_uid: row.kind for row in objects_of(session, delivery.report_id)}
    stored = {rows.get(uid, "") for uid, entry in delivery.objects.items() if entry["status"] == STORED}
    refused = {
        rows.get(uid, ""): entry["note"] for uid, entry in delivery.objects.items() if entry["status"] == REFUSED
    }
    # The site decides by the order of `send` which object is the document.
    leading = next((kind for kind in pacs.send if kind in rows.values()), None)
    if leading is None:
        return f"expected one of the objects that this PACS gets ({', '.join(pacs.send)}), the report has none of them"
    if leading in stored or leading + FALLBACK in stored:
        return None
    return f"the PACS refuses the {leading.upper()}: {refused.get(leading, 'no reason given')}"


def remark_on(delivery: Delivery) -> str:
    """Return the remark on a successful delivery: how many companions were refused; empty when none was."""
    refused = sum(entry["status"] == REFUSED for entry in delivery.objects.values())
    return f"{refused} object(s) refused by the PACS" if refused else ""
