"""A table of patients in, the same table with the nomogram's predictions out; CSV, one row per patient."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config.arrays import FloatArray
from config.errors import InputError
from config.indication.vocabulary import AnswerRule, EbvCategory, TreatmentArm
from workers.nomogram.model import CoxNomogram
from workers.nomogram.points import AGE, EBV, PREDICTIVE, PROGNOSTIC
from workers.nomogram.result import NomogramResult, month_key
from workers.survival.covariates import PatientCovariates
from workers.survival.csv_table import read_table

EBV_COPIES = "ebv_dna_copies_per_ml"
ARM_COLUMN = {TreatmentArm.ICT_CCRT: "ict_ccrt", TreatmentArm.CCRT: "ccrt"}
CATEGORY_COLUMN = {EbvCategory.NOT_ABOVE: "_if_ebv_dna_le_threshold", EbvCategory.ABOVE: "_if_ebv_dna_gt_threshold"}

Column = list[float] | list[str]


@dataclass(frozen=True)
class PatientTable:
    """n patients of a CSV.

    Attributes
    ----------
    patient_ids : list of str, length n
        As written.
    age_years, prognostic_score, predictive_score : array, shape (n,)
        Covariates of the nomogram.
    ebv_above : array, shape (n,)
        1, 0, or NaN where EBV DNA is unknown.
    """

    patient_ids: list[str]
    age_years: FloatArray
    ebv_above: FloatArray
    prognostic_score: FloatArray
    predictive_score: FloatArray


def read_patients(path: Path, ebv_category: Callable[[str], EbvCategory]) -> PatientTable:
    """Read a table of patients to score; other columns are ignored.

    Parameters
    ----------
    path : Path
        CSV with patient_id, age_years, ebv_dna_copies_per_ml or ebv_dna_gt_4000 (1, 0, empty), prognostic_score and
        predictive_score.
    ebv_category : callable
        Returns the category of one laboratory value (``5000``, ``>4000``, ``not-detected``, ``unknown``).

    Returns
    -------
    PatientTable
        In the order of the file.

    Raises
    ------
    InputError
        A column is missing or a cell is not a number; names file, row (1 is the first patient) and column.
    """
    header, rows = read_table(path)
    place = {name: at for at, name in enumerate(header)}
    needed = ["patient_id", AGE, PROGNOSTIC, PREDICTIVE]
    missing = [name for name in needed if name not in place]
    if EBV not in place and EBV_COPIES not in place:
        missing.append(f"{EBV_COPIES} or {EBV}")
    if missing:
        raise InputError(f"{path}: missing the column {', '.join(missing)}; found {', '.join(place)}")
    columns = {name: [row[at].strip() for row in rows] for name, at in place.items()}
    if EBV in place:
        above = [_flag(path, at, text) for at, text in enumerate(columns[EBV], 1)]
    else:
        value = {EbvCategory.ABOVE: 1.0, EbvCategory.NOT_ABOVE: 0.0, EbvCategory.UNKNOWN: float("nan")}
        above = [value[ebv_category(text or "unknown")] for text in columns[EBV_COPIES]]
    return PatientTable(
        columns["patient_id"],
        _numbers(path, columns, AGE),
        np.array(above),
        _numbers(path, columns, PROGNOSTIC),
        _numbers(path, columns, PREDICTIVE),
    )


def score_patients(
    nomogram: CoxNomogram,
    patients: PatientTable,
    horizons_months: Sequence[float],
    threshold: float,
    decision_horizon: float,
    rule: AnswerRule = AnswerRule.INTERVAL,
) -> dict[str, Column]:
    """Score a table of patients and return the columns of the result, in order.

    A patient with unknown EBV DNA has empty numbers, the recommendation where both categories agree, and the numbers
    of both categories in columns of their own (present only when the table has such a patient).

    Parameters
    ----------
    nomogram : CoxNomogram
        Of the model bundle or of a file.
    patients : PatientTable
        n patients.
    horizons_months : sequence of float
        When survival is reported, in months.
    threshold : float
        Fraction of DFS at the decision horizon.
    decision_horizon : float
        Months.
    rule : AnswerRule
        Whether the interval of the difference decides, or the bare difference.

    Returns
    -------
    dict of str to list, length n
        Column name -> cells; an unknown number is an empty string.
    """
    options = {
        "horizons_months": horizons_months,
        "threshold": threshold,
        "decision_horizon": decision_horizon,
        "rule": rule,
    }
    unknown = np.isnan(patients.ebv_above)
    known_ebv = np.where(unknown, 0.0, patients.ebv_above)  # the numbers of unknown rows are blanked below
    covariates = PatientCovariates(patients.age_years, known_ebv, patients.prognostic_score, patients.predictive_score)
    result = nomogram.score(covariates, **options)  # type: ignore[arg-type]
    answers = [result.answer_to_json(at) for at in range(len(result))]
    each: Mapping[EbvCategory, NomogramResult] = {}
    if unknown.any():
        each = nomogram.score_each_category(covariates, **options)
        for at in np.flatnonzero(unknown).tolist():
            answers[at] = _of_both({category: each[category].answer_to_json(at) for category in CATEGORY_COLUMN})
    table: dict[str, Column] = {
        "patient_id": patients.patient_ids,
        AGE: patients.age_years.tolist(),
        EBV: np.where(unknown, "", np.where(known_ebv == 1, "1", "0")).tolist(),
        PROGNOSTIC: patients.prognostic_score.tolist(),
        PREDICTIVE: patients.predictive_score.tolist(),
        **{name: [answer[name] for answer in answers] for name in ("recommendation", "ground", "sentence")},
        "extrapolated": _extrapolated(result),
    }
    table.update(_number_columns(result, "", ~unknown))
    for category, category_result in each.items():
        table.update(_number_columns(category_result, CATEGORY_COLUMN[category], unknown))
    return table


def _of_both(answers: Mapping[EbvCategory, Mapping[str, str]]) -> dict[str, str]:
    """Return the answer where both categories of an unknown EBV DNA agree, and both sentences."""
    common = {name: {answer[name] for answer in answers.values()} for name in ("recommendation", "ground")}
    sentences = [f"EBV DNA {category.value}: {answer['sentence']}" for category, answer in answers.items()]
    return {
        **{name: values.pop() if len(values) == 1 else "" for name, values in common.items()},
        "sentence": "; ".join(sentences),
    }


def write_table(path: Path, table: Mapping[str, Column]) -> None:
    """Write columns as a CSV in UTF-8.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(table)
            writer.writerows(zip(*table.values(), strict=True))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _number_columns(
    result: NomogramResult, suffix: str, shown: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> dict[str, Column]:
    columns: dict[str, FloatArray] = {}
    for arm, estimates in result.arms.items():
        columns[f"total_points_{ARM_COLUMN[arm]}"] = estimates.total_points
    for at, month in enumerate(result.horizons_months):
        key = month_key(month)
        for arm, estimates in result.arms.items():
            columns[f"dfs_{key}_{ARM_COLUMN[arm]}"] = estimates.dfs[:, at]
            columns[f"dfs_{key}_{ARM_COLUMN[arm]}_low"] = estimates.low[:, at]
            columns[f"dfs_{key}_{ARM_COLUMN[arm]}_high"] = estimates.high[:, at]
        columns[f"difference_{key}"] = result.difference[:, at]
        columns[f"difference_{key}_low"] = result.difference_low[:, at]
        columns[f"difference_{key}_high"] = result.difference_high[:, at]
    return {f"{name}{suffix}": _shown(values, shown) for name, values in columns.items()}


def _shown(values: FloatArray, shown: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Column:
    # NaN is a missing interval; a cell is empty then, since a spreadsheet would read "nan" as text.
    filled = shown & ~np.isnan(values)
    if filled.all():
        return values.tolist()
    return [value if keep else "" for value, keep in zip(values.tolist(), filled.tolist(), strict=True)]


def _extrapolated(result: NomogramResult) -> list[str]:
    """Return for each patient the inputs outside the training cohort, joined by a blank."""
    texts = np.full(len(result), "", dtype=object)
    for name, outside in result.extrapolated.items():
        texts[outside] = texts[outside] + f" {name}"
    return [text.strip() for text in texts]


def _numbers(path: Path, columns: Mapping[str, list[str]], name: str) -> FloatArray:
    try:
        return np.array(columns[name], dtype=np.float64)
    except ValueError:
        # The whole column failed at once; row by row the message can name the cell.
        for at, text in enumerate(columns[name], 1):
            _number(path, at, name, text)
        raise


def _number(path: Path, row: int, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{path}: row {row}, column {name}: expected a number, found {text!r}") from error


def _flag(path: Path, row: int, text: str) -> float:
    if text in ("0", "1", "0.0", "1.0"):
        return float(text)
    if text in ("", "NA"):
        return float("nan")
    raise InputError(f"{path}: row {row}, column {EBV}: expected 1, 0 or empty (unknown), found {text!r}")
