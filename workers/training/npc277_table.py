"""The clinical table of the public set of 277 patients as a cohort table.

The publication names what was recorded (age, sex, TNM stage, EBV DNA, survival), but not the headings of the published
spreadsheet, so headings are recognised by their words, and the operator can name any column. A column whose unit is not
in its heading is not guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from config.atomic_files import replacing
from config.errors import InputError
from config.indication.conventions import DAYS_PER_MONTH
from config.indication.vocabulary import TreatmentArm
from node.cases.ebv_dna import parse_ebv_dna
from workers.survival.cohort import ENDPOINTS
from workers.survival.csv_table import read_table

# Target -> headings, in small letters and digits only.
HEADINGS: dict[str, tuple[str, ...]] = {
    "patient_id": ("patientid", "patient", "id", "no", "number", "case", "caseid", "编号", "序号"),
    "age_years": ("ageyears", "age", "ageyear", "年龄"),
    "sex": ("sex", "gender", "性别"),
    "treatment": ("treatment", "regimen", "therapy", "治疗", "治疗方案"),
    "ebv_dna": ("ebvdnacopiesml", "ebvdnacopiesperml", "plasmaebvdnacopiesml", "ebvdnaconcentrationcopiesml"),
    "stage": ("stage", "tnm", "tnmstage", "clinicalstage", "分期"),
}
for _endpoint in ENDPOINTS:
    HEADINGS[f"{_endpoint}_days"] = (f"{_endpoint}days", f"{_endpoint}timedays")
    HEADINGS[f"{_endpoint}_months"] = (f"{_endpoint}months", f"{_endpoint}month", f"{_endpoint}timemonths")
    HEADINGS[f"{_endpoint}_event"] = (f"{_endpoint}event", f"{_endpoint}status")
NEEDED = ("patient_id", "age_years")
SEXES = {"m": "M", "male": "M", "男": "M", "f": "F", "female": "F", "女": "F"}
TREATMENTS = {
    "ccrt": TreatmentArm.CCRT,
    "ictccrt": TreatmentArm.ICT_CCRT,
    "icccrt": TreatmentArm.ICT_CCRT,
    "nactccrt": TreatmentArm.ICT_CCRT,
}
EVENTS = {"1": "1", "0": "0", "1.0": "1", "0.0": "0", "yes": "1", "no": "0"}


@dataclass(frozen=True)
class ClinicalTable:
    """Rows in canonical columns.

    Attributes
    ----------
    rows : tuple of mapping
        One for each patient; every row has the same columns.
    absent : tuple of str
        Canonical columns that the table does not have.
    unused : tuple of str
        Headings that were not recognised.
    """

    rows: tuple[Mapping[str, str], ...]
    absent: tuple[str, ...]
    unused: tuple[str, ...]


def read_clinical_table(path: Path, named: Mapping[str, str], label: str) -> ClinicalTable:
    """Read the clinical table.

    Parameters
    ----------
    path : Path
        CSV.
    named : mapping of str to str
        Target (a key of `HEADINGS`) -> heading, in place of what is recognised.
    label : str
        For the column ``cohort``.

    Returns
    -------
    ClinicalTable
        A treatment other than the two arms, and an EBV DNA that cannot be read, are empty cells.

    Raises
    ------
    InputError
        A spreadsheet instead of a CSV, an unknown target or heading, no column of patient or age, or a cell of sex, age
        or survival that cannot be read.
    """
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise InputError(f"expected the clinical table as CSV, found {path}: save the sheet as CSV (UTF-8)")
    header, cells = read_table(path, "clinical table")
    columns = _recognised(path, header, named)
    absent = [name for name in NEEDED if name not in columns]
    if absent:
        raise InputError(
            f"the clinical table {path}: expected a column for {', '.join(absent)}, found {', '.join(header)}; name it "
            f"with --column {absent[0]}=HEADING"
        )
    rows = [_row(path, dict(zip(header, map(str.strip, row), strict=True)), columns, label) for row in cells]
    present = set(rows[0])
    wanted = ("treatment", "sex", "ebv_dna_gt_4000", *(f"dfs_{part}" for part in ("days", "event")))
    return ClinicalTable(
        tuple(rows),
        tuple(name for name in wanted if name not in present),
        tuple(heading for heading in header if heading not in columns.values()),
    )


def write_cohort_table(path: Path, rows: list[Mapping[str, str]]) -> None:
    """Write rows as a cohort table."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _recognised(path: Path, header: list[str], named: Mapping[str, str]) -> dict[str, str]:
    for target, heading in named.items():
        if target not in HEADINGS:
            raise InputError(f"--column {target}={heading}: expected one of {', '.join(HEADINGS)}, found {target}")
        if heading not in header:
            raise InputError(f"the clinical table {path}: expected the column {heading}, found {', '.join(header)}")
    columns = dict(named)
    for target, spellings in HEADINGS.items():
        matching = [heading for heading in header if _plain(heading) in spellings]
        if target not in columns and len(matching) > 1:
            raise InputError(
                f"the clinical table {path}: expected one column for {target}, found {' and '.join(matching)}; name "
                f"one with --column {target}=HEADING"
            )
        if matching:
            columns.setdefault(target, matching[0])
    return columns


def _row(path: Path, cells: Mapping[str, str], columns: Mapping[str, str], label: str) -> dict[str, str]:
    patient = patient_number(cells[columns["patient_id"]])

    def of(target: str, meanings: Callable[[str], str | None]) -> str:
        text = cells[columns[target]]
        meaning = "" if not text else meanings(text)
        if meaning is None:
            raise InputError(
                f"the clinical table {path}: patient {patient}, column {columns[target]}: expected a value for "
                f"{target}, found {text!r}"
            )
        return meaning

    row = {"patient_id": patient, "cohort": label, "age_years": of("age_years", _number)}
    if "treatment" in columns:
        row["treatment"] = of("treatment", lambda text: TREATMENTS.get(_plain(text), ""))
    if "sex" in columns:
        row["sex"] = of("sex", lambda text: SEXES.get(text.lower()))
    if "ebv_dna" in columns:
        row["ebv_dna_gt_4000"] = of("ebv_dna", _above_threshold)
    if "stage" in columns:
        row["stage"] = cells[columns["stage"]]
    for endpoint in ENDPOINTS:
        if f"{endpoint}_days" in columns:
            row[f"{endpoint}_days"] = of(f"{endpoint}_days", _number)
        elif f"{endpoint}_months" in columns:
            row[f"{endpoint}_days"] = of(f"{endpoint}_months", _days_of_months)
        if f"{endpoint}_event" in columns:
            row[f"{endpoint}_event"] = of(f"{endpoint}_event", lambda text: EVENTS.get(text.lower()))
    return row


def patient_number(text: str) -> str:
    """Return a patient's number as its folder has it: 7, 7.0 and 007 are 007."""
    match = re.fullmatch(r"(\d+)(?:\.0+)?", text)
    return f"{int(match[1]):03d}" if match else text


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


def _number(text: str) -> str | None:
    try:
        return f"{float(text):g}"
    except ValueError:
        return None


def _days_of_months(text: str) -> str | None:
    months = _number(text)
    return None if months is None else f"{float(months) * DAYS_PER_MONTH:.0f}"


def _above_threshold(text: str) -> str:
    try:
        category = parse_ebv_dna(text).category
    except InputError:
        return ""
    return {">threshold": "1", "<=threshold": "0"}.get(category, "")
