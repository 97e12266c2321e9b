"""Stage texts as people write them, by every route, against an oracle that knows what was meant and reads no text."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from config.decision_policy import active_policy
from config.errors import InputError
from config.settings import Settings
from node.cases.clinical_facts import ClinicalFacts, DiagnosisFact, Provenance, StageFact, StageValue
from node.cases.diagnosis import read_diagnosis
from node.cases.eligibility import assess_eligibility
from node.clinical.entries import FactEntry, stage_entry
from node.clinical.fhir import results_of
from node.clinical.hl7_messages import parse_message
from node.clinical.results import interpret_results
from node.clinical.stage_check import check_stage_text
from node.clinical.tables import entries_of, read_rows

N_TEXTS = 5200
SETTINGS = Settings()
UNVERIFIED = SETTINGS.model_copy(
    update={"eligibility": SETTINGS.eligibility.model_copy(update={"stage_unknown": "report_unverified"})}
)
POLICY = active_policy(SETTINGS)
HEADER = {"StudyDate": "20260310", "PatientBirthDate": "19700101"}
PROVENANCE = Provenance("test")

# As written -> the edition that is meant; None for one that is named and is none of 7, 8 and 9.
EDITIONS: dict[str, int | None] = {
    "8": 8, "AJCC 8": 8, "8th edition": 8, "AJCC (2017) 8th edition": 8, "UICC 8": 8, "TNM8": 8, "AJCC第8版": 8,
    "第八版": 8, "8. Auflage": 8, "AJCC/UICC 8th ed.": 8, "eighth edition": 8, "AJCC v8": 8,
    "9": 9, "9th version": 9, "Version 9 (2025)": 9, "AJCC Version 9": 9, "第9版": 9, "第九版": 9,
    "UICC 9th edition": 9, "AJCC v9": 9, "9th": 9,
    "7": 7, "AJCC 7th edition": 7, "UICC 7 (2010)": 7, "第七版": 7,
    "6": None, "5th edition": None, "AJCC 10th edition": None, "Chinese 2008": None, "中国2008分期": None,
    "AJCC 8th or 9th": None, "8th (2010)": None, "newest edition": None, "Fuzhou": None,
}  # fmt: skip
PREFIXES = ("", "", "", "", "c", "c", "y", "yc", "yp", "p", "r", "rc", "a")
T, N, M = ("0", "is", "1", "2", "2b", "3", "3", "3", "3a", "4", "x", ""), ("0", "1", "1", "1", "1b", "2", "3", "3",
    "3a", "x", ""), ("0", "0", "0", "0", "1", "1a", "1b", "x", "")  # fmt: skip
ANSWERS = {"+": "yes", "-": "no"}
# Words that are no edition's: in the text of a stage they may change its meaning, so such a text is not read at all.
NOT_READ_IN_A_TEXT = ("newest edition", "AJCC 8th or 9th")


@dataclass(frozen=True)
class Meant:
    """What was meant: categories without their letter, the edition and how it is written, extranodal extension."""

    t: str
    n: str
    m: str
    prefix: str
    edition_text: str
    edition: int | None
    ene: str
    ene_is_answer: bool

    @property
    def verdict(self) -> str:
        """The oracle: the rules on what was meant, without any text."""
        if set(self.prefix) & set("yrpa"):
            return "not before treatment"
        known = {
            letter: value for letter, value in (("t", self.t), ("n", self.n), ("m", self.m)) if value not in ("", "x")
        }
        if known.get("m", "0")[0] == "1":
            return "no"
        n_by_extension = self.edition == 9 and known.get("n", "") == "3"
        if self.edition is None:
            return "ask"
        if "t" in known and known["t"][0] != "3":
            return "no"
        if n_by_extension and self.ene != "-" and not self.ene_is_answer:
            return "ask"
        n_agrees = known.get("n", "1")[0] == "1" or (n_by_extension and self.ene == "+" and self.ene_is_answer)
        if not n_agrees:
            return "no"
        if len(known) < 3 or known["t"] != "3" or known["n"] not in ("1", "3"):
            return "ask"
        return "ask" if self.edition == 7 else "yes"


@dataclass(frozen=True)
class Written:
    """One text with what was meant by it; the edition may stand beside it, and so may the extension."""

    meant: Meant
    text: str
    edition: str | None
    ene: str | None

    @property
    def verdict(self) -> str:
        """Of the oracle, for a text that can be read."""
        unread = self.edition is None and self.meant.edition_text in NOT_READ_IN_A_TEXT
        return "ask" if unread else self.meant.verdict


def written_stages(count: int) -> Iterator[Written]:
    dice = random.Random(20250101)
    while count:
        t, n, m, prefix = dice.choice(T), dice.choice(N), dice.choice(M), dice.choice(PREFIXES)
        if dice.random() < 0.35:  # a third is the stage of the model, so that the other direction is tested as well
            t, n, m, prefix = "3", "1", "0", dice.choice(("", "c"))
        if not (t or n or m):
            continue
        named = dice.random() < 0.8
        edition_text = dice.choice(list(EDITIONS)) if named else ""
        ene = dice.choice(("", "", "+", "-")) if n in ("1", "3") else ""
        beside = dice.random() < 0.5
        is_answer = bool(ene) and beside
        meant = Meant(t, n, m, prefix, edition_text, EDITIONS[edition_text] if named else 8, ene, is_answer)
        text = _compact(dice, meant)
        if ene and not beside:
            text += dice.choice((" ENE {}", ", ENE ({})", "; extranodal extension: {}")).format(
                ene if dice.random() < 0.5 else {"+": "positive", "-": "negative"}[ene]
            )
        if named and not beside:
            # A number alone names an edition in brackets only.
            forms = (
                ("{0} ({1})",) if edition_text.isdigit() else ("{0} ({1})", "{0}, {1}", "{1}: {0}", "鼻咽癌 {0} {1}")
            )
            text = dice.choice(forms).format(text, edition_text)
        yield Written(meant, text, edition_text if named and beside else None, ANSWERS[ene] if is_answer else None)
        count -= 1


def _compact(dice: random.Random, meant: Meant) -> str:
    parts = [letter + value for letter, value in (("T", meant.t), ("N", meant.n), ("M", meant.m)) if value]
    prefix, rest = meant.prefix, parts[1:]
    if dice.random() < 0.2:
        rest = [prefix + part for part in rest]
    text = dice.choice(("", "", " ", ", ", "-", "/")).join([prefix + parts[0], *rest])
    form = dice.random()
    if form < 0.1:
        text = text.lower()
    elif form < 0.2:
        text = "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text)  # full width
    elif form < 0.3:
        text = f"clinical stage {text}" if not prefix else f"  {text} "
    return text


def outcome(entries: list[FactEntry], refused: list[str]) -> tuple[str, str, bool]:
    """Return yes, no or ask, its sentence, and whether a site that reports unverified stages would compute it."""
    values = [entry.value for entry in entries if entry.name == "stage"]
    return answer_to(json.dumps(values)) if values else ("ask", " ".join(refused), False)


@lru_cache(maxsize=8)
def answer_to(values: str) -> tuple[str, str, bool]:
    """The answer to recorded stages; most routes of one text record the same."""
    stages = tuple(StageFact(StageValue(**value), PROVENANCE) for value in json.loads(values))
    facts = ClinicalFacts(stages=stages, diagnoses=(DiagnosisFact(read_diagnosis("C11.9"), PROVENANCE),))
    found = assess_eligibility(HEADER, facts, SETTINGS, POLICY).findings
    lenient = assess_eligibility(HEADER, facts, UNVERIFIED, POLICY).findings
    if not found:
        return "yes", "", True
    kind = "no" if any(finding.outcome == "refused" for finding in found) else "ask"
    return kind, " ".join(finding.text for finding in found), not lenient


def by_command(stage: Written) -> tuple[list[FactEntry], list[str]]:
    return [stage_entry(SETTINGS, stage.text, stage.edition, ene=stage.ene)], []


def by_row(row: dict[str, str]) -> tuple[list[FactEntry], list[str]]:
    return entries_of(row, SETTINGS)[2], []


def by_hl7(stage: Written) -> tuple[list[FactEntry], list[str]]:
    escaped = stage.text.replace("\\", "\\E\\").replace("|", "\\F\\").replace("&", "\\T\\").replace("^", "\\S\\")
    message = (
        "MSH|^~\\&|REG|H|CPTDN|N|20260309||ORU^R01^ORU_R01|1|P|2.5.1\rPID|1||P1^^^^MR||A^B\rOBR|1||1|S\r"
        f"OBX|1|ST|21908-9^Stage^LN||{escaped}||||||F|||20260301|||^{stage.edition or ''}\r"
    )
    results = [result for content in parse_message(message, SETTINGS).contents for result in content.results]
    interpreted = interpret_results(results, SETTINGS)
    return interpreted.entries, interpreted.refused


def by_fhir(stage: Written) -> tuple[list[FactEntry], list[str]]:
    resource: dict[str, Any] = {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": "2026-03-01",
        "code": {"coding": [{"system": "http://loinc.org", "code": "21908-9"}]}, "valueString": stage.text,
    }  # fmt: skip
    if stage.edition:
        resource["method"] = {"text": stage.edition}
    interpreted = interpret_results(results_of(resource, SETTINGS), SETTINGS)
    return interpreted.entries, interpreted.refused


def tabled(stages: list[Written], folder: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The same stages as a CSV and as a JSON file of a drop folder, read back."""
    columns = ("patient_id", "stage", "ajcc", "ene")
    rows = [("P1", stage.text, stage.edition or "", stage.ene or "") for stage in stages]
    with (folder / "facts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    (folder / "facts.json").write_text(json.dumps([dict(zip(columns, row, strict=True)) for row in rows]))
    return read_rows(folder / "facts.csv"), read_rows(folder / "facts.json")


def test_no_ineligible_stage_is_computed_and_no_eligible_one_is_refused_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = list(written_stages(N_TEXTS))
    from_csv, from_json = tabled(stages, tmp_path)
    summary: Counter[tuple[str, str, str]] = Counter()
    wrong: list[str] = []
    for stage, csv_row, json_row in zip(stages, from_csv, from_json, strict=True):
        for route in ("command", "csv", "json", "hl7", "fhir"):
            # Messages have no field for the answer about the extension.
            if stage.ene is not None and route in ("hl7", "fhir"):
                continue
            try:
                if route in ("command", "hl7", "fhir"):
                    read = {"command": by_command, "hl7": by_hl7, "fhir": by_fhir}[route]
                    entries, refused = read(stage)
                else:
                    entries, refused = by_row(csv_row if route == "csv" else json_row)
            except InputError as error:
                entries, refused = [], [str(error)]
            verdict = stage.verdict
            found, sentence, is_computed_unverified = outcome(entries, refused)
            summary[route, verdict, found] += 1
            # A stage that is not of the time before treatment is not used: then none is known.
            expected = ("ask",) if verdict == "not before treatment" else (verdict,)
            is_contradicted = verdict == "no" or (verdict == "ask" and _differs(stage.meant))
            if (
                found not in expected
                or (found != "yes" and not sentence.strip())
                or (is_computed_unverified and is_contradicted)
            ):
                wrong.append(f"{route}: {stage} meant {verdict}, found {found}: {sentence}")
    with capsys.disabled():
        print(f"\n{len(stages)} stage texts, {sum(summary.values())} readings")
        for (route, verdict, found), count in sorted(summary.items()):
            print(f"  {route:8} meant {verdict:21} found {found:4} {count:6}")
    assert not wrong, f"{len(wrong)} wrong, for example\n" + "\n".join(wrong[:20])


def _differs(meant: Meant) -> bool:
    """Whether a category speaks against T3N1M0, so that it is never computed, however lenient the site is."""
    of_n = "13" if meant.edition == 9 and meant.ene == "+" and meant.ene_is_answer else "1"
    categories = ((meant.t, "3"), (meant.n, of_n), (meant.m, "0"))
    return any(value not in ("", "x") and value[0] not in own for value, own in categories)


def test_the_command_that_checks_a_text_says_the_same() -> None:
    keys = ["text", "t", "n", "m", "prefix", "edition", "ene", "group", "eligible", "reason"]
    for stage in written_stages(1500):
        checked = check_stage_text(stage.text, POLICY.stage, SETTINGS, stage.edition, stage.ene)
        verdict = stage.verdict
        assert list(checked) == keys
        assert checked["eligible"] == ("no" if verdict == "not before treatment" else verdict), (stage, checked)
        assert checked["reason"]
