"""Tables of facts: CSV and JSON, by command and by drop folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import InputError
from config.settings import Settings
from node.clinical import drop_folder
from node.clinical.drop_folder import import_drop_folder
from node.clinical.tables import import_file
from node.ledger.database import Ledger, open_ledger
from node.ledger.facts import facts_of, history_of

SETTINGS = Settings()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def table(folder: Path, text: str, name: str = "facts.csv", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    os.utime(file, (1, 1))
    return file


GOOD_AND_BAD = (
    "Patient ID,EBV DNA,stage,ajcc,birth_date,room\n"
    "A,5000,T3N1M0,8,1980-02-03,12\n"
    "B,abc,T3N1M0,8,,\n"
    ",1,,,,\n"
    "C,<400,,,,\n"
    "D,,III,,,\n"
    "E,,,,,\n"
    "F,1,2,3,4,5,6\n"
)


def test_good_rows_are_recorded_and_each_bad_one_gets_a_sentence(tmp_path: Path, ledger: Ledger) -> None:
    result = import_file(table(tmp_path, GOOD_AND_BAD), ledger, SETTINGS, "tester")
    assert (result.n_rows, result.n_new_facts) == (7, 4)
    assert [bad.row for bad in result.bad] == [2, 3, 5, 6, 7]
    assert result.ignored_columns == ("room",)
    assert all(sentence.endswith(".") for sentence in result.sentences())
    with ledger.begin() as session:
        known = facts_of(session, "A")
        assert known.ebv_dna[0].text == "5000"
        assert known.stage is not None
        assert known.stage.stage.text == "T3N1M0"
        assert known.stage.provenance.source == "file facts.csv"
        assert facts_of(session, "B").stage is None  # a row enters whole or not at all


def test_the_same_table_again_changes_nothing(tmp_path: Path, ledger: Ledger) -> None:
    file = table(tmp_path, "patient_id,ebv_dna,ebv_dna_date\nA,5000,2026-05-01\nA,900,2026-05-04\n")
    assert import_file(file, ledger, SETTINGS, "tester").n_new_facts == 2
    assert import_file(file, ledger, SETTINGS, "tester").n_new_facts == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_tables_come_in_any_encoding_and_delimiter(tmp_path: Path, ledger: Ledger, encoding: str) -> None:
    file = table(tmp_path, "患者编号;EBV_DNA;T;N;M\n甲1;阴性;3;1;M0\n", encoding=encoding)
    assert import_file(file, ledger, SETTINGS, "tester").bad == ()
    with ledger.begin() as session:
        known = facts_of(session, "甲1")
        assert known.ebv_dna[0].text == "阴性"
        assert known.stage is not None
        assert known.stage.stage.text == "T3N1M0"


def test_json_lists_and_numbers(tmp_path: Path, ledger: Ledger) -> None:
    rows = [{"patient_id": 12, "ebv_dna": 5000.0, "prior_treatment": True}, {"patient_id": "B", "ebv_dna": 4100.5}]
    file = table(tmp_path, json.dumps(rows), "facts.json")
    assert import_file(file, ledger, SETTINGS, "tester").n_new_facts == 3
    with ledger.begin() as session:
        assert facts_of(session, "12").ebv_dna[0].text == "5000"
        prior = facts_of(session, "12").prior_treatment
        assert prior is not None
        assert prior.given is True


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("", "facts.csv", "has no rows"),
        ("ebv_dna\n5000\n", "facts.csv", "no column patient_id"),
        ("{", "facts.json", "is not JSON"),
        ("[1]", "facts.json", "not a list of objects"),
        ("[" * 100_000, "facts.json", "is not JSON"),
        ('patient_id,stage\n"A,T3\n', "facts.csv", "not a CSV table"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(
    tmp_path: Path, ledger: Ledger, text: str, name: str, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        import_file(table(tmp_path, text, name), ledger, SETTINGS, "tester")


def test_binary_and_missing_files_are_refused(tmp_path: Path, ledger: Ledger) -> None:
    file = tmp_path / "facts.csv"
    file.write_bytes(b"patient_id\n\xff\xff\xff")
    with pytest.raises(InputError, match="neither UTF-8"):
        import_file(file, ledger, SETTINGS, "tester")
    with pytest.raises(InputError, match="cannot read"):
        import_file(tmp_path / "none.csv", ledger, SETTINGS, "tester")


def test_dropped_tables_move_to_done_or_rejected_with_the_reason(tmp_path: Path, ledger: Ledger) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    table(folder, "patient_id,ebv_dna\nA,5000\n", "good.csv")
    table(folder, GOOD_AND_BAD, "mixed.csv")
    table(folder, "nonsense", "bad.json")
    table(folder, "not ours", "readme.txt")
    found = {one.path.name: one for one in import_drop_folder(folder, ledger, SETTINGS)}
    assert {name: one.accepted for name, one in found.items()} == {
        "good.csv": True,
        "mixed.csv": False,
        "bad.json": False,
    }
    reason = (folder / "rejected" / "mixed.csv.reason.txt").read_text(encoding="utf-8")
    assert "2 of 7 rows were entered." in reason
    assert "Row 2 was not entered: EBV DNA 'abc'" in reason
    assert "is not JSON" in (folder / "rejected" / "bad.json.reason.txt").read_text(encoding="utf-8")
    assert sorted(path.name for path in folder.iterdir()) == ["done", "readme.txt", "rejected"]
    assert import_drop_folder(folder, ledger, SETTINGS) == []


def test_a_file_of_the_same_name_is_not_replaced(tmp_path: Path, ledger: Ledger) -> None:
    for value in ("5000", "6000"):
        table(tmp_path, f"patient_id,ebv_dna\nA,{value}\n")
        import_drop_folder(tmp_path, ledger, SETTINGS)
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == ["facts-2.csv", "facts.csv"]


def test_a_file_that_is_being_written_is_not_read(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    file = folder / "facts.csv"
    file.write_text("patient_id,ebv_dna\nA,5000\n")
    monkeypatch.setattr(drop_folder, "UNCHANGED_S", 60.0)
    assert import_drop_folder(folder, ledger, SETTINGS) == []
    monkeypatch.setattr(drop_folder, "UNCHANGED_S", -60.0)
    assert len(import_drop_folder(folder, ledger, SETTINGS)) == 1


def test_history_keeps_what_was_replaced(tmp_path: Path, ledger: Ledger) -> None:
    table(tmp_path, "patient_id,stage\nA,T2N1M0\nA,T3N1M0\n")
    import_drop_folder(tmp_path, ledger, SETTINGS)
    with ledger.begin() as session:
        assert len(history_of(session, "A")) == 2
        stage = facts_of(session, "A").stage
        assert stage is not None
        assert stage.stage.text == "T3N1M0"
