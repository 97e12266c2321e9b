"""`cptdn clinical` as a person and a program call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.cli.app import main
from node.ledger.database import open_ledger
from node.ledger.facts import facts_of, record_fact

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CPTDN__STORAGE__ROOT", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def called(*arguments: str) -> tuple[int, str, str]:
        try:
            main(["clinical", *arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return called


def shown(run: Run, patient_id: str) -> list[dict[str, Any]]:
    code, out, _ = run("show", patient_id, "--json")
    assert code == 0
    return [fact for fact in json.loads(out)["facts"] if fact["current"]]


def test_set_and_show(run: Run) -> None:
    code, out, _ = run("set", "P1", "--ebv-dna", "5200", "--drawn-on", "2026-05-02", "--stage", "T3N1M0", "--ajcc", "8")
    assert code == 0
    assert "2 facts recorded" in out
    found = {fact["name"]: fact for fact in shown(run, "P1")}
    assert found["ebv_dna"]["value"]["text"] == "5200"
    assert found["ebv_dna"]["observed_on"] == "2026-05-02"
    assert found["stage"]["value"]["edition"] == "8"
    assert found["stage"]["source"] == "command line"
    assert "Nothing new" in run("set", "P1", "--stage", "T3N1M0")[1]
    assert "T3N1M0" in run("show", "P1")[1]


def test_a_later_fact_replaces_an_earlier_one(run: Run) -> None:
    run("set", "P1", "--ebv-dna", "5200", "--drawn-on", "2026-05-02")
    run("set", "P1", "--ebv-dna", "<400")
    assert [fact["value"]["text"] for fact in shown(run, "P1")] == ["<400"]


def test_nothing_to_set_is_wrong_usage(run: Run) -> None:
    code, out, err = run("set", "P1")
    assert (code, out) == (2, "")
    assert "nothing to set" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--ebv-dna", ">400"), "leaves open"),
        (("--ebv-dna", "5000 IU/mL"), "IU/mL"),
        (("--stage", "III"), "not TNM"),
        (("--birth-date", "03/05/1980"), "not a date"),
    ],
)
def test_refusals_are_one_sentence_and_change_nothing(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    code, out, err = run("set", "P1", "--treatment-start", "2026-05-11", *arguments)
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert shown(run, "P1") == []


def test_import_exits_1_when_a_row_is_bad(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "facts.csv"
    table.write_text("patient_id,ebv_dna\nA,5000\nB,abc\n")
    code, out, err = run("import", str(table))
    assert code == 1
    assert "2 rows read, 1 new facts" in out
    assert "Row 2 was not entered" in err
    code, out, _ = run("import", str(table), "--json")
    assert code == 1
    assert json.loads(out)["bad_rows"][0]["row"] == 2
    table.write_text("patient_id,ebv_dna\nA,6000\n")
    assert run("import", str(table))[0] == 0


def test_issuers_are_kept_apart_and_an_unissued_fact_counts_for_all(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    with ledger.begin() as session:
        for issuer, text in (("A", "1"), ("B", "2")):
            record_fact(session, "P1", issuer, "ebv_dna", {"text": text}, "test", "tester")
        assert [result.text for result in facts_of(session, "P1", "A").ebv_dna] == ["1"]
        record_fact(
            session, "P1", "", "stage", {"t": "T3", "n": "N1", "m": "M0", "prefix": "", "edition": "8"}, "t", "t"
        )
        assert facts_of(session, "P1", "B").stage is not None
    ledger.close()


def test_a_stage_text_is_checked_with_exactly_these_keys(run: Run) -> None:
    code, out, err = run("check-stage", "cT3 N1 M0", "T4N3M1b (9)", "III", "--json")
    assert (code, err) == (0, "")
    first, second, third = json.loads(out)
    assert list(first) == ["text", "t", "n", "m", "prefix", "edition", "ene", "group", "eligible", "reason"]
    assert [first[key] for key in ("t", "n", "m", "prefix", "edition", "ene", "group", "eligible")] == [
        "T3", "N1", "M0", "c", "8", None, "III", "yes",
    ]  # fmt: skip
    assert [second[key] for key in ("m", "edition", "group", "eligible")] == ["M1b", "9", "IVB", "no"]
    assert (third["t"], third["group"], third["eligible"]) == (None, None, "ask")
    answered = json.loads(run("check-stage", "T3N3M0", "--ajcc", "Version 9 (2025)", "--ene", "no", "--json")[1])
    assert (answered[0]["ene"], answered[0]["eligible"]) == ("no", "no")
    assert run("check-stage", "T3N1M0", "--ene", "perhaps")[0] == 2
    code, out, _ = run("check-stage", "T3N1M0", "--ajcc", "9")
    assert code == 0
    assert "contained in T3N1M0 of AJCC 8" in " ".join(out.split())


def test_an_edition_that_cannot_be_read_is_recorded_as_unknown_and_said(run: Run) -> None:
    code, _, err = run("set", "P1", "--stage", "T3N1M0", "--ajcc", "AJCC 10")
    assert code == 0
    assert "'AJCC 10', which is not known" in " ".join(err.split())
    (stage,) = shown(run, "P1")
    assert (stage["value"]["edition"], stage["value"]["edition_text"]) == (None, "AJCC 10")


def test_a_diagnosis_is_set_by_code_or_text_and_replaces_the_one_before(run: Run) -> None:
    assert run("set", "P1", "--diagnosis", "C20")[0] == 0
    assert run("set", "P1", "--diagnosis", "鼻咽癌")[0] == 0
    assert [fact["value"]["text"] for fact in shown(run, "P1")] == ["鼻咽癌"]
    code, out, err = run("set", "P2", "--diagnosis", "suspected NPC")
    assert (code, out) == (1, "")
    assert "expected a diagnosis with its site" in err


def test_a_restaging_does_not_replace_the_stage_before_treatment(run: Run) -> None:
    run("set", "P1", "--stage", "cT3N1M0", "--ajcc", "8")
    run("set", "P1", "--stage", "ycT1N0M0", "--ajcc", "8")
    run("set", "P1", "--stage", "rT2N0M0", "--ajcc", "9")
    assert [(fact["value"]["t"], fact["value"]["prefix"]) for fact in shown(run, "P1")] == [("T3", "c")]
