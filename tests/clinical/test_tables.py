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
    for stage in ("T2N1M0", "T3N1M0"):  # in two files: in one they would contradict each other
        table(tmp_path, f"patient_id,stage\nA,{stage}\n")
        import_drop_folder(tmp_path, ledger, SETTINGS)
    with ledger.begin() as session:
        assert len(history_of(session, "A")) == 2
        stage = facts_of(session, "A").stage
        assert stage is not None
        assert stage.stage.text == "T3N1M0"


@pytest.mark.parametrize(
    ("heading", "meant"),
    [
        ("EBV", "ebv_dna"), ("EBV-DNA(copies/mL)", "ebv_dna"), ("EB病毒DNA", "ebv_dna"), ("ebv_dna_dat", "ebv_dna"),
        ("EBV date", "ebv_dna_date"), ("采血日期", "ebv_dna_date"), ("draw date", "ebv_dna_date"), ("分期", "stage"),
        ("临床分期", "stage"), ("TNM分期", "stage"), ("Stages", "stage"), ("T分期", "t"), ("cN", "n"),
        ("分期版本", "ajcc"), ("出生日期", "birth_date"), ("birthdate", "birth_date"), ("lab", "laboratory"),
        ("start of treatment", "treatment_start"), ("治疗开始日期", "treatment_start"),
        ("treatement_start", "treatment_start"), ("prior therapy", "prior_treatment"),
    ],
)  # fmt: skip
def test_a_heading_that_is_nearly_right_is_an_error_that_names_the_right_one(
    tmp_path: Path, ledger: Ledger, heading: str, meant: str
) -> None:
    file = table(tmp_path, f"patient_id,{heading},prior_treatment\nA,5000,no\n")
    with pytest.raises(InputError, match=f"did you mean {meant}\\?") as caught:
        import_file(file, ledger, SETTINGS, "tester")
    assert heading in str(caught.value)
    with ledger.begin() as session:
        assert history_of(session, "A") == []


@pytest.mark.parametrize(
    "heading", ["room", "patient name", "age", "sex", "EBV VCA IgA", "treatment arm", "stage comment", "MRI date", "hb"]
)
def test_other_headings_are_ignored_and_named(tmp_path: Path, ledger: Ledger, heading: str) -> None:
    result = import_file(table(tmp_path, f"patient_id,ebv_dna,{heading}\nA,5000,x\n"), ledger, SETTINGS, "tester")
    assert (result.bad, result.ignored_columns) == ((), (heading,))


def test_a_missing_patient_id_column_is_told_with_the_one_that_may_be_it(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(InputError, match="rename '住院号' to patient_id"):
        import_file(table(tmp_path, "住院号,ebv_dna\nA,5000\n"), ledger, SETTINGS, "tester")


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        ("A,5000,,T3N1M0,,\nA,900,,T3N1M0,,\n", [1, 2]),
        ("A,5000,2026-05-01,,,\nB,1,,,,\nA,900,2026-05-01,,,\n", [1, 3]),
        ("A,,,,1980-02-03,\nA,,,,1980-02-04,\n", [1, 2]),
        ("A,,,,,2026-05-11\nA,5000,,,,2026-05-12\n", [1, 2]),
        ("A,5000,2026-05-01,,,\nA,900,2026-05-04,,,\n", []),
        ("A,5000,,T3N1M0,,\nA,\"5,000\",,T3N1M0,,\n", []),
        ("A,5000,,,,\nB,900,,,,\n", []),
    ],
)  # fmt: skip
def test_one_patient_twice_with_different_values_is_an_error_of_both_rows(
    tmp_path: Path, ledger: Ledger, rows: str, bad: list[int]
) -> None:
    file = table(tmp_path, f"patient_id,ebv_dna,ebv_dna_date,stage,birth_date,treatment_start\n{rows}")
    result = import_file(file, ledger, SETTINGS, "tester")
    assert [each.row for each in result.bad] == bad
    assert all("different values of" in each.text and "patient A" in each.text for each in result.bad)
    with ledger.begin() as session:
        assert (history_of(session, "A") == []) is bool(bad)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("A,5000,2999-01-01,,", "is in the future; expected a day up to today"),
        ("A,,,2026-05-03,1926-05-02", "expected a start of treatment after the birth of the patient on 2026-05-03"),
        ("A,5000,2026-05-01,2026-05-03,", "expected a draw of EBV DNA after the birth"),
    ],
)
def test_days_that_cannot_be_are_refused_with_both_days(
    tmp_path: Path, ledger: Ledger, row: str, sentence: str
) -> None:
    file = table(tmp_path, f"patient_id,ebv_dna,ebv_dna_date,birth_date,treatment_start\n{row}\n")
    result = import_file(file, ledger, SETTINGS, "tester")
    assert sentence in result.bad[0].text
    assert result.n_new_facts == 0


def test_a_birth_date_after_what_is_recorded_is_refused(tmp_path: Path, ledger: Ledger) -> None:
    import_file(table(tmp_path, "patient_id,treatment_start\nA,2026-05-11\n"), ledger, SETTINGS, "tester")
    result = import_file(table(tmp_path, "patient_id,birth_date\nA,2026-06-01\n"), ledger, SETTINGS, "tester")
    assert "found 2026-05-11" in result.bad[0].text
