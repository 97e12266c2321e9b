"""Columns of tables of facts: their names, and the right one for a heading that is nearly one of them."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping

ALIASES: Mapping[str, str] = {
    "patient_id": "patient_id", "patientid": "patient_id", "pid": "patient_id",
    "病人编号": "patient_id", "患者编号": "patient_id",
    "issuer": "issuer", "issuer_of_patient_id": "issuer",
    "ebv_dna": "ebv_dna", "ebv_dna_copies_per_ml": "ebv_dna", "pre_ebv_dna": "ebv_dna",
    "ebv_dna_unit": "ebv_dna_unit", "unit": "ebv_dna_unit",
    "ebv_dna_specimen": "ebv_dna_specimen", "specimen": "ebv_dna_specimen",
    "ebv_dna_date": "ebv_dna_date", "drawn_on": "ebv_dna_date",
    "ebv_dna_assay": "ebv_dna_assay", "assay": "ebv_dna_assay",
    "laboratory": "laboratory",
    "stage": "stage", "tnm": "stage", "t": "t", "n": "n", "m": "m", "t_stage": "t", "n_stage": "n", "m_stage": "m",
    "ajcc": "ajcc", "ajcc_edition": "ajcc", "edition": "ajcc",
    "stage_date": "stage_date", "staging_date": "stage_date", "staged_on": "stage_date",
    "ajcc_version": "ajcc", "tnm_edition": "ajcc", "uicc": "ajcc",
    "ene": "ene", "extranodal_extension": "ene",
    "diagnosis": "diagnosis", "icd10": "diagnosis", "icd_10": "diagnosis", "icd": "diagnosis",
    "morphology": "morphology", "icd_o": "morphology", "icdo": "morphology", "icd_o_3": "morphology",
    "diagnosis_date": "diagnosis_date",
    "birth_date": "birth_date", "date_of_birth": "birth_date", "dob": "birth_date",
    "treatment_start": "treatment_start",
    "prior_treatment": "prior_treatment",
}  # fmt: skip

# Another test of the same virus, or what a treatment ended or led to, is no near miss.
_OTHER = re.compile(r"ig[agm]|vca|antibod|抗体|eber|response|疗效|arm|end|stop|结束|name|姓名|comment|备注|remark")
_EBV = r"(?:ebv|eb_?virus|eb_?dna|eb病毒|epstein)"
_DRAWN = r"(?:date|day|drawn|draw|sampl|collect|日期|时间|采样|采血|抽血)"
_STAGE = r"(?:stage|stages|staging|tnm|分期|期别)"
_CLINICAL = r"(?:c|clin|clinical|tumou?r|ajcc|uicc|tnm|临床|肿瘤)?_?"
_TREATED = r"(?:treat|therap|radiother|chemother|^rt|治疗|放疗|化疗)"
_BEGUN = r"(?:start|begin|begun|began|first|date|开始|日期)"
# In this order: the first that fits names the column.
_NEAR = tuple(
    (column, re.compile(pattern))
    for column, pattern in (
        ("ebv_dna_date", rf"{_EBV}.*{_DRAWN}|^(?:draw|blood|sampl|collect)\w*_(?:date|day|on)$|^采[样血]|^抽血"),
        ("ebv_dna_unit", rf"{_EBV}.*(?:unit|单位)|^单位$"),
        ("ebv_dna_specimen", rf"{_EBV}.*(?:specimen|sample_?type|material|标本)|^(?:标本|样本)(?:类型)?$"),
        ("ebv_dna_assay", rf"{_EBV}.*(?:assay|kit|method|试剂|方法)|^试剂"),
        ("ebv_dna", rf"{_EBV}|拷贝数|copies_per_ml|病毒载量|viral_load"),
        ("ajcc", rf"{_STAGE}.*(?:edition|version|版)|(?:ajcc|uicc)_?(?:ed|version|版|$)|^版本$"),
        ("stage_date", rf"{_STAGE}.*(?:date|日期|时间)"),
        ("t", r"^c?_?t_?(?:category|classification|分期|期)$|^ct$"),
        ("n", r"^c?_?n_?(?:category|classification|分期|期)$|^cn$"),
        ("m", r"^c?_?m_?(?:category|classification|分期|期)$|^cm$"),
        ("stage", rf"^{_CLINICAL}{_STAGE}(?:_?tnm)?$"),
        ("diagnosis_date", r"(?:^diag|诊断).*(?:date|日期|时间)"),
        ("diagnosis", r"^(?:dx|diag\w*|icd\w*)$|诊断$"),
        ("birth_date", r"birth|^born|geburt|出生|生日"),
        ("prior_treatment", r"(?:prior|previous|既往|曾).*(?:treat|therap|治疗)"),
        ("treatment_start", rf"{_TREATED}.*{_BEGUN}|{_BEGUN}.*{_TREATED}"),
        ("laboratory", r"^labo?r?$|检验科|实验室"),
    )
)  # fmt: skip
_PATIENT = re.compile(
    r"^(?:mrn|id|(?:case|hospital)_?(?:no|number|id)|patient(?:en)?_?(?:id|no|nr|number|nummer|code)?|"
    r"病历号|住院号|门诊号|登记号|病案号|编号|患者id|病人id|患者号|病人号)$"
)
SIMILAR = 0.82  # of `difflib`: one or two letters of a heading


def column_of(heading: str) -> str | None:
    """Return the column that a heading names; None for one that is not known."""
    return ALIASES.get(normal_heading(heading))


def near_miss(heading: str) -> str | None:
    """Return the column that an unknown heading is likely to mean.

    Parameters
    ----------
    heading : str
        Of a table.

    Returns
    -------
    str or None
        None for a known heading, and for one that has nothing to do with any column.
    """
    plain = normal_heading(re.sub(r"\(.*?\)|（.*?）|\[.*?\]", "", unicodedata.normalize("NFKC", heading)))
    if column_of(heading) is not None or not plain or _OTHER.search(plain):
        return None
    for column, pattern in _NEAR:
        if pattern.search(plain):
            return column
    # Short aliases are near everything.
    close = difflib.get_close_matches(plain, [alias for alias in ALIASES if len(alias) > 4], 1, SIMILAR)
    if not close and plain in ALIASES:  # the same with a unit in brackets
        return ALIASES[plain]
    return ALIASES[close[0]] if close else None


def is_like_patient_id(heading: str) -> bool:
    """Return whether a heading is likely to mean the Patient ID."""
    return bool(_PATIENT.match(normal_heading(heading)))


def normal_heading(heading: str) -> str:
    """Return a heading in lower case, with one underscore for blanks, hyphens, slashes and points."""
    text = unicodedata.normalize("NFKC", heading).strip().lower()
    return re.sub(r"[\s\-/.]+", "_", text).strip("_")
