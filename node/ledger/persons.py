"""Which patient identifiers are of one person, by the merges that hospitals have sent; only read here."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from node.ledger.tables import Case, PatientMerge

Identity = tuple[str, str]  # Patient ID and issuer, empty where it is not named


def merge_of(session: Session, patient_id: str, issuer: str) -> PatientMerge | None:
    """Return the newest merge that retired an identifier; None where it is in use.

    Parameters
    ----------
    issuer : str
        An empty one matches any, on either side.
    """
    query = select(PatientMerge).where(PatientMerge.prior_patient_id == patient_id, PatientMerge.undone_at.is_(None))
    if issuer:
        query = query.where(or_(PatientMerge.prior_issuer == issuer, PatientMerge.prior_issuer == ""))
    return session.scalar(query.order_by(PatientMerge.id.desc()).limit(1))


def survivor_of(session: Session, patient_id: str, issuer: str) -> Identity:
    """Return the identifier that is in use for a person: the end of a chain of merges, or the one that was given.

    Parameters
    ----------
    patient_id, issuer : str
        As in the images.
    """
    return merges_from(session, patient_id, issuer)[-1]


def merges_from(session: Session, patient_id: str, issuer: str) -> Sequence[Identity]:
    """Return the identifiers from one to the surviving one, in order; the first is the one that was given."""
    chain = [(patient_id, issuer)]
    while (merge := merge_of(session, *chain[-1])) is not None:
        following = (merge.patient_id, merge.issuer)
        if any(_is_same(following, known) for known in chain):  # two merges that undo each other
            break
        chain.append(following)
    return chain


def other_identities(session: Session, patient_id: str, issuer: str) -> list[Identity]:
    """Return every other identifier of the person whom an identifier names; empty without merges.

    Parameters
    ----------
    patient_id, issuer : str
        As in the images.

    Returns
    -------
    list of (str, str)
        The surviving one first, then those that were merged into it, directly or by way of others.
    """
    known = [survivor_of(session, patient_id, issuer)]
    for identity in known:  # grows: a tree of merges whose root is the survivor
        query = select(PatientMerge).where(PatientMerge.patient_id == identity[0], PatientMerge.undone_at.is_(None))
        for merge in session.scalars(query.order_by(PatientMerge.id)):
            prior = (merge.prior_patient_id, merge.prior_issuer)
            into = (merge.patient_id, merge.issuer)
            # Merged elsewhere since: the newest merge of an identifier counts.
            newest = merge_of(session, *prior)
            if newest is None or newest.id != merge.id or not _is_same(into, identity):
                continue
            if not any(_is_same(prior, each) for each in known):
                known.append(prior)
    return [identity for identity in known if not _is_same(identity, (patient_id, issuer))]


def cases_of_person(session: Session, patient_id: str, issuer: str) -> list[Case]:
    """Return the cases of a patient, under every identifier of the person, in order of arrival.

    Parameters
    ----------
    patient_id, issuer : str
        As in the images; an empty issuer, and one that the images do not have, match any.
    """
    cases: dict[str, Case] = {}
    for each_id, each_issuer in ((patient_id, issuer), *other_identities(session, patient_id, issuer)):
        query = select(Case).where(Case.patient_id == each_id)
        if each_issuer:
            query = query.where(Case.issuer.in_((each_issuer, "")))
        cases.update({case.study_instance_uid: case for case in session.scalars(query)})
    return sorted(cases.values(), key=lambda case: case.received_at)


def _is_same(first: Identity, second: Identity) -> bool:
    return first[0] == second[0] and (first[1] == second[1] or not first[1] or not second[1])
