"""Follow-up of reported patients: by command, table, HL7 over a socket, and FHIR; what cannot be is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.errors import InputError
from config.settings import FhirSettings, Hl7Settings, Settings
from node.cases.follow_up import FollowUp, check_follow_up
from node.cli.app import main
from node.clinical.entries import record_entries, treatment_start_entry
from node.clinical.follow_up_entries import event_entry, record_follow_up_entries, regimen_entry
from node.clinical.follow_up_tables import import_follow_up
from node.clinical.mllp import MllpServer
from node.ledger.cases import get_case
from node.ledger.database import Ledger, open_ledger
from node.ledger.facts import history_of
from node.ledger.follow_up import follow_up_history, follow_up_of
from tests.clinical.reported import report_patient
from tests.clinical.test_mllp import Sender, code, oru

CODES = {
    "RECUR": "recurrence", "METS": "metastasis", "SEEN": "last_contact", "REG": "regimen", "GPCCRT": "regimen:ICT+CCRT"
}  # fmt: skip
SETTINGS = Settings(hl7=Hl7Settings(enabled=True, port=0, codes=CODES), fhir=FhirSettings(codes=CODES))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in which P1 is reported."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    report_patient(opened)
    yield opened
    opened.close()


@pytest.fixture
def sender(ledger: Ledger) -> Iterator[Sender]:
    server = MllpServer(ledger, SETTINGS)
    server.start()
    found = Sender(server.port)
    yield found
    found.socket.close()
    server.stop()


def known(ledger: Ledger, patient_id: str = "P1") -> FollowUp:
    with ledger.begin() as session:
        return follow_up_of(session, patient_id)


def learn(ledger: Ledger, *entries: object) -> int:
    with ledger.begin() as session:
        return record_follow_up_entries(session, SETTINGS, "P1", "", entries, "test", "a tester")  # type: ignore[arg-type]


def day(year: int, month: int, of: int) -> date:
    return date(year, month, of)


def test_survival_ends_with_the_first_failure_or_at_the_last_contact() -> None:
    start = day(2024, 1, 10)
    followed = FollowUp(last_contacts=(day(2024, 3, 1), day(2024, 2, 1)))
    survival = followed.disease_free_survival(start)
    assert survival is not None
    assert (survival.days, survival.event) == (51, False)  # 21 of January, 29 of February, 1 of March
    failed = FollowUp(recurrences=(day(2024, 5, 1), day(2024, 2, 9)), death=day(2024, 6, 1), last_contacts=(start,))
    survival = failed.disease_free_survival(start)
    assert survival is not None
    assert (survival.days, survival.event, survival.by) == (30, True, "recurrence")
    assert FollowUp().disease_free_survival(start) is None


@pytest.mark.parametrize(
    ("follow_up", "sentence"),
    [
        (FollowUp(recurrences=(day(2023, 12, 31),)), "a recurrence after treatment began on 2024-01-10"),
        (FollowUp(death=day(2024, 5, 1), metastases=(day(2024, 5, 2),)), "a metastasis up to the death on 2024-05-01"),
        (FollowUp(death=day(2024, 5, 1), last_contacts=(day(2024, 6, 2),)), "a last contact up to the death"),
        (FollowUp(death=day(2026, 1, 2)), "a death up to today, 2026-01-01, found 2026-01-02"),
        (FollowUp(regimen_start=day(2027, 1, 2)), "a first day of treatment up to today"),
    ],
)
def test_what_cannot_have_happened_is_named(follow_up: FollowUp, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_follow_up(follow_up, day(2024, 1, 10), day(2026, 1, 1))


def test_the_recorded_start_of_treatment_and_the_recorded_death_count_too(ledger: Ledger) -> None:
    with ledger.begin() as session:
        record_entries(session, "P1", "", [treatment_start_entry("2024-01-10")], "test", "a tester")
    with pytest.raises(InputError, match="after treatment began on 2024-01-10, found 2024-01-09"):
        learn(ledger, event_entry("recurrence", "2024-01-09"))
    learn(ledger, event_entry("death", "2025-01-01"))
    with pytest.raises(InputError, match="up to the death on 2025-01-01"):
        learn(ledger, event_entry("last_contact", "2025-02-01"))
    assert known(ledger) == FollowUp(death=day(2025, 1, 1))


def test_the_last_statement_of_regimen_and_death_counts_and_an_equal_one_is_no_news(ledger: Ledger) -> None:
    assert learn(ledger, regimen_entry("CCRT", day(2024, 1, 10)), event_entry("death", "2025-01-01")) == 2
    assert learn(ledger, regimen_entry("ict + ccrt", day(2024, 1, 11)), event_entry("death", "2025-01-02")) == 2
    assert learn(ledger, regimen_entry("ICT+CCRT", day(2024, 1, 11)), event_entry("death", "2025-01-02")) == 0
    followed = known(ledger)
    assert (followed.regimen, followed.regimen_start, followed.death) == ("ICT+CCRT", day(2024, 1, 11), day(2025, 1, 2))
    assert learn(ledger, event_entry("death", "2025-01-01")) == 1  # back to the first


def test_follow_up_schedules_no_assessment_of_the_case(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    study = report_patient(ledger)
    with ledger.begin() as session:
        get_case(session, study).assess_after = None
    learn(ledger, regimen_entry("CCRT", day(2024, 1, 10)), event_entry("recurrence", "2024-05-01"))
    with ledger.begin() as session:
        assert get_case(session, study).assess_after is None
    ledger.close()


TABLE = (
    "Patient ID,regimen,treatment start,recurrence date,death date,last contact,room\n"
    "P1,ICT+CCRT,2024-01-10,2025-02-03,,2025-06-01,7\n"
    "P2,CCRT,2024-02-01,,,2025-06-01,\n"  # no report
    "P3,RT,2024-02-01,,,2025-06-01,\n"
    "P3,CCRT,2024-02-01,2024-01-31,,,\n"
    "P3,,,2025-03-01,2025-02-28,,\n"
    "P3,,,,,TOMORROW,\n"
    ",CCRT,,,,,\n"
    "P4,CCRT,2024-02-01,,,,\n"
    "P4,ICT+CCRT,2024-02-01,,,,\n"
    "P3,CCRT,2024-02-01,,,2025-06-01,\n"
)


def test_each_bad_row_gets_one_sentence_and_all_others_are_recorded(tmp_path: Path, ledger: Ledger) -> None:
    report_patient(ledger, "P3")
    report_patient(ledger, "P4")
    file = tmp_path / "follow.csv"
    file.write_text(TABLE.replace("TOMORROW", str(date.today() + timedelta(days=2))), encoding="utf-8")
    result = import_follow_up(file, ledger, SETTINGS, "tester")
    assert [bad.row for bad in result.bad] == [2, 3, 4, 5, 6, 7, 8, 9]
    found = {bad.row: bad.text for bad in result.bad}
    assert found[2] == "expected a patient with a report, found none for 'P2'"
    assert found[3] == "expected the regimen ICT+CCRT or CCRT, found 'RT'"
    assert "after treatment began on 2024-02-01, found 2024-01-31" in found[4]
    assert "up to the death on 2025-02-28" in found[5]
    assert "up to today" in found[6]
    assert "no patient_id" in found[7]
    assert found[8] == found[9] == "rows 8 and 9 state another regimen of patient P4; keep one"
    assert result.ignored_columns == ("room",)
    followed = known(ledger)
    assert (followed.regimen, followed.recurrences) == ("ICT+CCRT", (day(2025, 2, 3),))
    assert known(ledger, "P3").last_contacts == (day(2025, 6, 1),)
    assert known(ledger, "P4") == FollowUp()
    assert import_follow_up(file, ledger, SETTINGS, "tester").n_new_facts == 0
    with ledger.begin() as session:
        first = follow_up_history(session, "P1")[0]
    assert (first.source, first.set_by) == ("file follow.csv", "tester")


@pytest.mark.parametrize(
    ("heading", "meant"), [("relapsed", "recurrence"), ("转移日期", "metastasis"), ("died", "death")]
)
def test_a_heading_that_is_nearly_known_refuses_the_file(
    tmp_path: Path, ledger: Ledger, heading: str, meant: str
) -> None:
    file = tmp_path / "follow.csv"
    file.write_text(f"patient_id,{heading}\nP1,2025-01-01\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"did you mean {meant}"):
        import_follow_up(file, ledger, SETTINGS, "tester")


def obx(code_: str, value: str, status: str = "F", on: str = "20250301") -> str:
    return f"OBX|1|ST|{code_}^text^L||{value}||||||{status}|||{on}"


def test_follow_up_comes_in_configured_codes_of_result_messages(sender: Sender, ledger: Ledger) -> None:
    message = oru(obx("REG", "CCRT", on="20240110"), obx("RECUR", "yes"), obx("METS", "no", on="20250401"))
    assert code(sender.send(message)) == "AA|1"
    followed = known(ledger)
    assert (followed.regimen, followed.regimen_start) == ("CCRT", day(2024, 1, 10))
    assert followed.recurrences == (day(2025, 3, 1),)
    assert followed.last_contacts == (day(2025, 4, 1),)  # seen on that day without metastasis
    # A correction replaces what the sender said; the first message again changes nothing.
    assert code(sender.send(oru(obx("RECUR", "20250305", "C"), control_id="2"))) == "AA|2"
    assert code(sender.send(message)) == "AA|1"
    assert known(ledger).recurrences == (day(2025, 3, 5),)
    assert code(sender.send(oru(obx("RECUR", "20250305", "D"), control_id="3"))) == "AA|3"
    assert known(ledger).recurrences == ()


def test_a_repeated_message_is_acknowledged_as_before_and_records_nothing(sender: Sender, ledger: Ledger) -> None:
    message = oru(obx("REG", "CCRT", on="20240110"), obx("RECUR", "20231201"))
    for _ in range(2):
        answer = sender.send(message)
        assert code(answer) == "AE|1"
        assert "after treatment began on 2024-01-10, found 2023-12-01" in answer
    with ledger.begin() as session:
        assert len(follow_up_history(session, "P1")) == 1


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (oru(obx("REG", "RT alone")), "expected the regimen"),
        (oru(obx("RECUR", "perhaps")), "is not a date"),
        (oru(obx("RECUR", "yes", on=""), order="OBR|1|||X"), "expected a day"),
        (oru(obx("RECUR", "yes", "P")), "P is preliminary"),
        (oru(obx("RECUR", "yes"), patient="P9^^^HOSP^MR"), "expected a patient with a report"),
    ],
)
def test_a_result_message_that_cannot_be_used_is_answered_with_the_reason(
    sender: Sender, ledger: Ledger, message: str, sentence: str
) -> None:
    answer = sender.send(message)
    assert code(answer) == "AE|1"
    assert sentence in answer
    assert known(ledger) == FollowUp()


def adt(day_of_death: str, indicator: str, patient: str = "P1", kind: str = "ADT^A08", control_id: str = "1") -> str:
    pid = f"PID|1||{patient}^^^HOSP^MR||Wang^Wei||19800615|M{'|' * 21}{day_of_death}|{indicator}"
    msh = f"MSH|^~\\&|HIS|HOSP|CPTDN|HOSP|20260502101500||{kind}|{control_id}|P|2.5.1"
    return "\r".join([msh, "EVN||20260502", pid, "DG1|1||C50.9^Breast^I10"]) + "\r"


def test_a_death_comes_by_an_update_of_the_patient(sender: Sender, ledger: Ledger) -> None:
    assert code(sender.send(adt("202503011200", "Y"))) == "AA|1"
    assert known(ledger).death == day(2025, 3, 1)
    assert code(sender.send(adt('""', "N", control_id="4"))) == "AA|4"  # deleted (HL7 v2.5.1 section 2.5.3)
    assert known(ledger).death is None
    # The hospital sends updates of all its patients.
    assert code(sender.send(adt("", "", control_id="2"))) == "AA|2"
    assert code(sender.send(adt("20250301", "Y", patient="P9", control_id="3"))) == "AA|3"
    assert known(ledger, "P9") == FollowUp()
    with ledger.begin() as session:
        assert history_of(session, "P9") == []


@pytest.mark.parametrize(
    ("message", "sentence"),
    [(adt("", "Y"), "expected the day of death in PID-29"), (adt("20250301", "N"), "PID-30) is N")],
)
def test_a_death_without_a_day_or_with_a_contradiction_is_named(
    sender: Sender, ledger: Ledger, message: str, sentence: str
) -> None:
    answer = sender.send(message)
    assert code(answer) == "AE|1"
    assert sentence in answer
    assert known(ledger) == FollowUp()


def test_a_code_with_a_misspelt_meaning_is_an_error_at_start() -> None:
    with pytest.raises(ValidationError, match="found 'recurence'"):
        Hl7Settings(codes={"RECUR": "recurence"})


def command(config: Path, *words: str) -> int:
    try:
        main([*words, "--config", str(config)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_commands_record_show_and_withdraw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "cptdn.toml"
    config.write_text(f'[storage]\nroot = "{tmp_path}/data"\n[ledger]\nurl = "sqlite:///{tmp_path}/ledger.db"\n')
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    report_patient(ledger)
    assert command(config, "followup", "add", "P1", "--regimen", "CCRT", "--treatment-start", "2024-01-10") == 0
    assert command(config, "followup", "add", "P1", "--recurrence", "2024-01-01") == 1
    assert "after treatment began on 2024-01-10" in capsys.readouterr().err
    assert command(config, "followup", "add", "P1", "--death", "2025-01-01") == 0
    assert command(config, "followup", "withdraw", "P1", "death") == 0
    assert command(config, "followup", "withdraw", "P1", "death") == 1
    capsys.readouterr()
    assert command(config, "followup", "show", "P1", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["facts"]
    assert [(row["name"], row["withdrawn_at"] is None) for row in rows] == [("regimen", True), ("death", False)]
    assert known(ledger) == FollowUp(regimen=rows[0]["regimen"], regimen_start=day(2024, 1, 10))
    ledger.close()
