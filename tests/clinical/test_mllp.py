"""ORU messages over real sockets: the right acknowledgement and the right fact."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import IneligibleStudyError
from config.settings import Hl7Settings, Settings
from node.cases.clinical_facts import ClinicalFacts
from node.cases.ebv_dna import parse_ebv_dna
from node.clinical.hl7_fields import unescaped
from node.clinical.hl7_messages import handle_message
from node.clinical.mllp import MllpServer
from node.ledger.database import Ledger, open_ledger
from node.ledger.facts import facts_of, history_of


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture
def server(ledger: Ledger) -> Iterator[MllpServer]:
    running = MllpServer(ledger, Settings(hl7=Hl7Settings(enabled=True, port=0, max_message_kb=16)))
    running.start()
    yield running
    running.stop()


def oru(
    *observations: str, control_id: str = "1", charset: str = "", patient: str = "P1^^^HOSP^MR", kind: str = "ORU^R01",
    processing: str = "P", order: str = "OBR|1|||EBV|||20260501080000", pid: str | None = None,
) -> str:  # fmt: skip
    msh = f"MSH|^~\\&|LIS|LAB|CPTDN|HOSP|20260502101500||{kind}|{control_id}|{processing}|2.5.1||||||{charset}"
    return "\r".join([msh, pid or f"PID|1||{patient}||Wang^Wei||19800615|M", order, *observations]) + "\r"


def obx(
    value: str, unit: str = "copies/mL", code: str = "47982-4^EBV DNA^LN", status: str = "F", kind: str = "NM"
) -> str:
    return f"OBX|1|{kind}|{code}||{value}|{unit}|||||{status}|||20260501"


class Sender:
    """A laboratory system's side of a connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send(self, message: str | bytes, codec: str = "utf-8") -> str:
        raw = message if isinstance(message, bytes) else message.encode(codec)
        self.socket.sendall(b"\x0b" + raw + b"\x1c\r")
        return self.answer(codec)

    def answer(self, codec: str = "utf-8") -> str:
        received = b""
        while not received.endswith(b"\x1c\r"):
            chunk = self.socket.recv(4096)
            assert chunk, received
            received += chunk
        assert received.startswith(b"\x0b")
        return received[1:-2].decode(codec)


@pytest.fixture
def sender(server: MllpServer) -> Iterator[Sender]:
    found = Sender(server.port)
    yield found
    found.socket.close()


def code(answer: str) -> str:
    """MSA-1 and MSA-2."""
    msa = next(line for line in answer.split("\r") if line.startswith("MSA"))
    return "|".join(msa.split("|")[1:3])


def facts(ledger: Ledger, patient_id: str = "P1") -> ClinicalFacts:
    with ledger.begin() as session:
        return facts_of(session, patient_id)


def test_a_final_result_becomes_a_fact_with_its_provenance(sender: Sender, ledger: Ledger) -> None:
    answer = sender.send(oru(obx("5200")))
    assert code(answer) == "AA|1"
    assert answer.split("|")[2:6] == ["CPTDN", "HOSP", "LIS", "LAB"]
    assert answer.split("|")[8] == "ACK^R01^ACK"
    found = facts(ledger)
    (result,) = found.ebv_dna
    assert (result.text, result.unit, result.laboratory) == ("5200", "copies/mL", "LAB")
    assert str(result.provenance.observed_on) == "2026-05-01"
    assert "message 1 of 20260502101500" in result.provenance.source
    assert found.birth_date is not None
    assert str(found.birth_date.day) == "1980-06-15"


def test_a_correction_replaces_and_a_repetition_changes_nothing(sender: Sender, ledger: Ledger) -> None:
    first = oru(obx("5200"), control_id="1")
    sender.send(first)
    assert code(sender.send(oru(obx("2500", status="C"), control_id="2"))) == "AA|2"
    assert code(sender.send(first)) == "AA|1"
    assert [result.text for result in facts(ledger).ebv_dna] == ["2500"]
    with ledger.begin() as session:
        assert len([row for row in history_of(session, "P1") if row.name == "ebv_dna"]) == 2


def test_preliminary_results_are_not_recorded_and_deleted_ones_withdrawn(sender: Sender, ledger: Ledger) -> None:
    answer = sender.send(oru(obx("5200", status="P")))
    assert code(answer) == "AE|1"
    assert "preliminary" in answer
    assert facts(ledger).ebv_dna == ()
    sender.send(oru(obx("5200"), control_id="2"))
    sender.send(oru(obx('""', status="D"), control_id="3"))
    assert facts(ledger).ebv_dna == ()


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        (obx("5200", "[IU]/mL", "43730-1^EBV^LN"), "IU/mL"),
        (obx("5200", "IU/mL"), "IU/mL"),
        (obx("5200", "copies/mL", "36923-1^EBV WB^LN"), "not interchangeable with plasma"),
        (obx("&gt;^400".replace("&gt;", ">"), kind="SN"), "leaves open"),
        (obx("3.7", "log10", "100677-4^EBV log^LN"), "expected copies/mL"),
        (obx("positive", kind="ST"), "not a number"),
    ],
)
def test_a_result_that_cannot_be_used_is_refused_and_recorded(
    sender: Sender, ledger: Ledger, observation: str, sentence: str
) -> None:
    answer = sender.send(oru(observation))
    assert code(answer) == "AE|1"
    assert "ERR|" in answer
    assert sentence in answer
    assert len(facts(ledger).ebv_dna) == 1  # the case names it as ebv_dna_unusable


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (obx(">^4000", kind="SN"), ">4000"),
        (obx("<^400", kind="SN"), "<400"),
        (obx("5.2E3"), "5.2E3"),
        (obx("Not detected", kind="ST"), "Not detected"),
        (obx("260415000^Not detected^SCT", kind="CWE"), "not detected"),
        (obx("3.9", "{Log_copies}/mL", "100677-4^EBV log^LN"), "3.9"),
    ],
)
def test_comparators_words_and_logarithms(sender: Sender, ledger: Ledger, observation: str, expected: str) -> None:
    assert code(sender.send(oru(observation))) == "AA|1"
    assert facts(ledger).ebv_dna[0].text == expected


def test_chinese_text_in_gbk_and_utf_8(sender: Sender, ledger: Ledger) -> None:
    name = "PID|1||P8^^^医院^MR||王^伟||19700101|M"
    gbk = oru(obx("阴性", kind="ST"), charset="GB 18030-2000", pid=name, control_id="g")
    assert code(sender.send(gbk, "gb18030")) == "AA|g"
    assert facts(ledger, "P8").ebv_dna[0].text == "阴性"
    with ledger.begin() as session:
        assert {row.issuer for row in history_of(session, "P8")} == {"医院"}
    utf8 = oru(obx("未检出", kind="ST"), charset="UNICODE UTF-8", patient="P9", control_id="u")
    assert code(sender.send(utf8)) == "AA|u"
    assert facts(ledger, "P9").ebv_dna[0].text == "未检出"
    refused = oru(obx("阳性", kind="ST"), charset="GB 18030-2000", patient="P7", control_id="r")
    assert "'阳性'" in sender.send(refused, "gb18030")


def test_a_stage_comes_in_parts(sender: Sender, ledger: Ledger) -> None:
    parts = [
        obx("cT3", "", "21905-5^Stage T^LN", kind="ST"),
        obx("1^N1 (AJCC 8th edition)^L", "", "21906-3^Stage N^LN", kind="CE"),
        obx("M0", "", "21907-1^Stage M^LN", kind="ST"),
    ]
    assert code(sender.send(oru(*parts))) == "AA|1"
    found = facts(ledger).stage
    assert found is not None
    assert (found.stage.text, found.stage.edition) == ("T3N1M0", "8")


def test_the_specimen_segment_counts(sender: Sender, ledger: Ledger) -> None:
    answer = sender.send(oru(obx("5200"), "SPM|1|||BLD^Whole blood^HL70487"))
    assert code(answer) == "AE|1"
    assert "Whole blood" in answer
    assert code(sender.send(oru(obx("5200"), "SPM|1|||PLAS^Plasma^HL70487", control_id="2"))) == "AA|2"


@pytest.mark.parametrize(
    ("message", "expected", "sentence"),
    [
        (oru(obx("1"), kind="ADT^A01"), "AR|1", "expected ORU"),
        (oru(obx("1"), processing="T"), "AR|1", "not production"),
        (oru(obx("1"), charset="EBCDIC"), "AR|1", "EBCDIC"),
        (oru(obx("1"), control_id=""), "AR|", "control id"),
        ("hello", "AR|", "does not begin with MSH"),
        ("MSH|^~\\&|", "AR|", "message"),
        (oru(obx("1")).replace("|^~\\&|", "|^~^&|"), "AR|1", "delimiters that differ"),
        (oru(obx("1"), patient=""), "AE|1", "PID-3"),
    ],
)
def test_other_messages_are_rejected_with_a_sentence(
    sender: Sender, ledger: Ledger, message: str, expected: str, sentence: str
) -> None:
    answer = sender.send(message)
    assert code(answer) == expected
    assert sentence in answer
    assert facts(ledger).ebv_dna == ()


def test_the_laboratory_gets_an_answer_after_any_failure(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("Wang^Wei")

    monkeypatch.setattr("node.clinical.mllp.handle_message", broken)
    assert code(sender.send(oru(obx("5200")))) == "AE|1"
    monkeypatch.undo()
    assert code(sender.send(oru(obx("5200")))) == "AA|1"  # on the same connection
    said = "".join(capsys.readouterr())
    assert "RuntimeError" in said
    assert "test_mllp.py:" in said  # where it broke
    assert "Wang" not in said


def test_results_with_other_codes_are_acknowledged_and_ignored(sender: Sender, ledger: Ledger) -> None:
    assert code(sender.send(oru(obx("140", "g/L", "718-7^Hb^LN")))) == "AA|1"
    assert facts(ledger).birth_date is None


def test_another_birth_date_means_another_patient(sender: Sender, ledger: Ledger) -> None:
    sender.send(oru(obx("5200")))
    other = oru(obx("100"), control_id="2", pid="PID|1||P1^^^HOSP^MR||Li^Na||19901231|F")
    answer = sender.send(other)
    assert code(answer) == "AE|2"
    assert [result.text for result in facts(ledger).ebv_dna] == ["5200"]


def test_messages_come_in_pieces_and_several_on_a_connection(sender: Sender, ledger: Ledger) -> None:
    raw = b"\x0b" + oru(obx("5200")).encode() + b"\x1c\r"
    for position in range(0, len(raw), 7):
        sender.socket.sendall(raw[position : position + 7])
    assert code(sender.answer()) == "AA|1"
    both = b"".join(b"\x0b" + oru(obx("1"), control_id=n, patient=f"Q{n}").encode() + b"\x1c\r" for n in "ab")
    sender.socket.sendall(both)
    answers = sender.answer()
    while answers.count("MSA") < 2:
        answers += sender.answer()
    assert "MSA|AA|a" in answers
    assert "MSA|AA|b" in answers


def test_an_endless_message_is_cut_off(sender: Sender) -> None:
    sender.socket.sendall(b"\x0b" + oru(obx("1")).encode() + b"A" * 40_000)
    assert code(sender.answer()).startswith("AR")
    assert sender.socket.recv(1) == b""


def test_senders_from_other_addresses_are_refused(ledger: Ledger) -> None:
    closed = MllpServer(ledger, Settings(hl7=Hl7Settings(port=0, allowed_addresses=("10.0.0.0/8",))))
    closed.start()
    try:
        with socket.create_connection(("127.0.0.1", closed.port), timeout=10) as stranger:
            stranger.settimeout(10)
            assert stranger.recv(1) == b""
    finally:
        closed.stop()


def test_a_site_may_name_its_own_codes(ledger: Ledger) -> None:
    settings = Settings(hl7=Hl7Settings(codes={"EBVQ": "ebv_dna"}, issuer="SITE"))
    answer = handle_message(oru(obx("5200", code="EBVQ^EBV^L")).encode(), ledger, settings)
    assert b"MSA|AA" in answer
    with ledger.begin() as session:
        assert {row.issuer for row in history_of(session, "P1")} == {"SITE"}


# --- escapes, several results of a draw, statuses (HL7 v2.5.1 sections 2.7 and 7) ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.2x10\\S\\3", "5.2x10^3"), ("a\\T\\b", "a&b"), ("a\\F\\b", "a|b"), ("a\\R\\b", "a~b"), ("a\\E\\b", "a\\b"),
        ("\\E\\S\\E\\", "\\S\\"), ("\\X3C\\400", "<400"), ("\\H\\5200\\N\\", "5200"),
        ("5200\\.br\\copies", "5200 copies"),
        ("C:\\data", "C:\\data"), ("a\\q\\b", "a\\q\\b"), ("plain", "plain"), ("\\Zx\\5", "5"),
    ],
)  # fmt: skip
def test_escape_sequences_are_undone_once(text: str, expected: str) -> None:
    """The sequences and their meaning are those of HL7 v2.5.1 section 2.7."""
    assert unescaped(text) == expected


IU = obx("1300", "IU/mL", "43730-1^EBV DNA^LN")


@pytest.mark.parametrize(
    ("observations", "used"),
    [
        ([obx("5.2x10\\S\\3", kind="ST")], 5200), ([obx("5.2", "10\\S\\3 copies/mL")], 5200),
        ([obx("5.2", "10^3 copies/mL")], 5200), ([obx("5200"), IU], 5200), ([IU, obx("5200")], 5200),
        ([obx("3.716", "log10 copies/mL", "100677-4^EBV^LN"), obx("5200")], 5200),
        ([obx("not done", kind="ST"), obx("5200")], 5200), ([obx("haemolysed", kind="ST"), obx("5200")], 5200),
        ([obx("5200", status="C"), obx("9999")], 5200), ([obx("9999"), obx("5200", status="C")], 5200),
        ([obx("9999", status="D"), obx("5200")], 5200),
    ],
)  # fmt: skip
def test_the_usable_result_of_a_draw_counts_whatever_its_place(
    sender: Sender, ledger: Ledger, observations: list[str], used: float
) -> None:
    assert code(sender.send(oru(*observations))) == "AA|1"
    (result,) = facts(ledger).ebv_dna
    assert parse_ebv_dna(result.text, unit=result.unit).copies_per_ml == pytest.approx(used)


def test_results_of_one_draw_that_differ_are_a_question(sender: Sender, ledger: Ledger) -> None:
    answer = sender.send(oru(obx("5200"), obx("900")))
    assert code(answer) == "AE|1"
    assert "results that differ (5200 copies/mL and 900 copies/mL)" in answer
    (result,) = facts(ledger).ebv_dna
    with pytest.raises(IneligibleStudyError):
        parse_ebv_dna(result.text, unit=result.unit)


def test_the_other_unit_in_a_later_message_does_not_replace_a_usable_result(sender: Sender, ledger: Ledger) -> None:
    sender.send(oru(obx("5200")))
    sender.send(oru(IU, control_id="2"))
    assert "5200" in [result.text for result in facts(ledger).ebv_dna]


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        (obx("5200", status=""), "status (OBX-11) is empty"), (obx("5200", status="U"), "U announces"),
        (obx("5200", status="I"), "pending"), (obx("5200", status="Q"), "'Q' is not known"),
        (obx("", kind="NM"), "has no value"), (obx('""', kind="NM"), "has no value"),
        (obx("5200", code="47982-4^EBV DNA^L"), "coding system 'L'"),
        (obx("III", "", "21908-9^Stage^LN", kind="ST"), "neither T nor N nor M"),
        (obx("5200").replace("20260501", "29990501"), "in the future"),
    ],
)  # fmt: skip
def test_a_known_code_that_is_left_out_is_never_acknowledged_as_accepted(
    sender: Sender, ledger: Ledger, observation: str, sentence: str
) -> None:
    answer = sender.send(oru(observation))
    assert code(answer) == "AE|1"
    assert sentence in answer
    assert facts(ledger).ebv_dna == ()
    assert facts(ledger).stages == ()


def test_a_message_that_was_refused_and_is_corrected_under_the_same_id_is_recorded(
    sender: Sender, ledger: Ledger
) -> None:
    refused = oru(obx("positive", kind="ST"))
    assert code(sender.send(refused)) == "AE|1"
    assert code(sender.send(refused)) == "AE|1"  # the same again is no better
    assert code(sender.send(oru(obx("5200")))) == "AA|1"
    assert [result.text for result in facts(ledger).ebv_dna] == ["5200"]
    assert code(sender.send(refused)) == "AE|1"
    assert [result.text for result in facts(ledger).ebv_dna] == ["5200"]


def test_a_message_that_was_overtaken_by_its_correction_corrects_nothing(sender: Sender, ledger: Ledger) -> None:
    later = oru(obx("2500", status="C"), control_id="2").replace("20260502101500", "20260503101500")
    sender.send(later)
    assert code(sender.send(oru(obx("5200"), control_id="1"))) == "AA|1"
    assert [result.text for result in facts(ledger).ebv_dna] == ["2500"]


# --- starts of treatment (HL7 v2.5.1 chapter 4) ---

CISPLATIN = "L01XA01^cisplatin^ATC"


def starts(ledger: Ledger) -> list[tuple[str, str]]:
    return [(str(start.day), start.kind) for start in facts(ledger).treatment_starts]


@pytest.mark.parametrize(
    ("kind", "segments", "expected"),
    [
        ("ORM^O01", ["ORC|NW|77|||||^^^20260511080000", f"RXO|{CISPLATIN}"], ("2026-05-11", "planned")),
        ("ORM^O01", ["ORC|SC|77|||||^^^20260511080000|", "OBR|1|77||RT-01^Radiotherapy^L"], ("2026-05-11", "planned")),
        ("OMP^O09", ["ORC|NW|77", "TQ1|1||||||20260511080000", f"RXO|{CISPLATIN}"], ("2026-05-11", "planned")),
        ("RDS^O13", ["ORC|RE|77", f"RXD|1|{CISPLATIN}|202605110800"], ("2026-05-11", "given")),
        ("RAS^O17", ["ORC|RE|77", f"RXA|0|1|202605110800||{CISPLATIN}"], ("2026-05-11", "given")),
        ("ORU^R01", [obx("20260511", "", "TXSTART^Start^L", kind="DT")], ("2026-05-11", "stated")),
        ("ORU^R01", [obx("given", "", "TXSTART^Start^L", kind="ST")], ("2026-05-01", "given")),
    ],
)  # fmt: skip
def test_a_start_of_treatment_comes_by_order_dispense_administration_or_code(
    ledger: Ledger, kind: str, segments: list[str], expected: tuple[str, str]
) -> None:
    settings = Settings(hl7=Hl7Settings(codes={"TXSTART": "treatment_start", "RT-01": "treatment_start"}))
    assert b"MSA|AA" in handle_message(oru(*segments, kind=kind).encode(), ledger, settings)
    assert starts(ledger) == [expected]


def test_a_cancelled_order_is_withdrawn_and_a_changed_one_replaced(sender: Sender, ledger: Ledger) -> None:
    def order(control: str, day: str, number: str) -> str:
        return oru(f"ORC|{control}|77|||||^^^{day}", f"RXO|{CISPLATIN}", kind="ORM^O01", control_id=number)

    sender.send(order("NW", "20260511", "1"))
    sender.send(order("XO", "20260513", "2"))
    assert starts(ledger) == [("2026-05-13", "planned")]
    sender.send(order("CA", "20260513", "3"))
    assert starts(ledger) == []


def test_an_order_of_treatment_without_a_day_is_told(sender: Sender, ledger: Ledger) -> None:
    answer = sender.send(oru("ORC|NW|77", f"RXO|{CISPLATIN}", kind="ORM^O01", order="NTE|1||x"))
    assert code(answer) == "AE|1"
    assert "names no day of treatment" in answer
    other = oru("ORC|NW|78|||||^^^20260511", "RXO|N02BE01^paracetamol^ATC", kind="ORM^O01", control_id="2")
    assert code(sender.send(other)) == "AA|2"
    assert starts(ledger) == []
