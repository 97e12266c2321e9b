"""A study is found by what a person has at hand; what names several, or none, gets a sentence and no guess."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from config.errors import InputError
from node.ledger.cases import open_case
from node.ledger.database import Ledger, now_utc
from node.ledger.study_names import find_study
from node.ledger.tables import Instance

STUDIES = {"1.2.840.1": ("PID-1", "ACC-1"), "1.2.840.12": ("PID-2", "ACC-2"), "1.2.840.2": ("PID-2", "1.2.840.1")}


@pytest.fixture
def studies(ledger: Ledger) -> Ledger:
    with ledger.begin() as session:
        for uid, (patient_id, accession) in STUDIES.items():
            open_case(session, uid, patient_id, "")
            row = {
                "sop_instance_uid": f"{uid}.9", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4",
                "transfer_syntax_uid": "1.2.840.10008.1.2.1", "study_instance_uid": uid, "series_instance_uid": "1.9",
                "frame_of_reference_uid": None, "modality": "MR", "patient_id": patient_id, "issuer": "",
                "digest": "0", "size_bytes": 1, "path": f"{uid}.dcm", "header": {"AccessionNumber": accession},
                "calling_ae": "PACS", "received_at": now_utc(),
            }  # fmt: skip
            session.execute(insert(Instance), [row])
    return ledger


@pytest.mark.parametrize(
    ("text", "study"),
    [
        ("1.2.840.1", "1.2.840.1"),  # the whole UID, although it begins another and is an accession number, too
        ("1.2.840.2", "1.2.840.2"),
        ("1.2.840.12", "1.2.840.12"),
        ("PID-1", "1.2.840.1"),
        (" ACC-2 ", "1.2.840.12"),
    ],
)
def test_one_study_is_found(studies: Ledger, text: str, study: str) -> None:
    with studies.read() as session:
        assert find_study(session, text) == study


@pytest.mark.parametrize("text", ["1.2.840", "PID-2"])
def test_several_studies_are_named_and_none_is_chosen(studies: Ledger, text: str) -> None:
    with studies.read() as session, pytest.raises(InputError, match=r"expected one study, found several") as caught:
        find_study(session, text)
    assert "1.2.840.12 (receiving)" in str(caught.value)
    assert "1.2.840.2 (receiving)" in str(caught.value)


@pytest.mark.parametrize("text", ["", "%", "PID", "9.9", "_.2.840.1"])
def test_what_no_study_has_is_said(studies: Ledger, text: str) -> None:
    with studies.read() as session, pytest.raises(InputError, match="there is no study"):
        find_study(session, text)
