"""Roles from single headers: the labelled real ones, and hand-made ones of every vendor's vocabulary."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import SeriesRules
from node.cases.series_roles import classify_header
from tests.peers import shared

RULES = SeriesRules()
SE = {"ScanningSequence": ["SE"]}
GR = {"ScanningSequence": ["GR"], "SequenceVariant": ["SP"], "MRAcquisitionType": "3D"}
T1_SE = {**SE, "RepetitionTime": 600, "EchoTime": 11}
T2_SE = {**SE, "RepetitionTime": 4000, "EchoTime": 95, "EchoTrainLength": 15}
T1_GR = {**GR, "RepetitionTime": 5.5, "EchoTime": 2.4, "FlipAngle": 12}


def role(**header: Any) -> str:
    return classify_header(header, RULES).role


def labelled() -> list[dict[str, Any]]:
    return json.loads(shared("dicom/series_headers.json").read_text(encoding="utf-8"))


def judged(header: dict[str, Any]) -> tuple[str, str]:
    given = {key: value for key, value in header.items() if key not in ("id", "label") and not key.startswith("_")}
    return header["label"], classify_header(given, RULES).role


def test_no_real_header_gets_a_wrong_role_with_confidence(capsys: pytest.CaptureFixture[str]) -> None:
    table = Counter(judged(header) for header in labelled())
    columns = ("T1w", "T2w", "CE-T1w", "other", "ambiguous")
    with capsys.disabled():
        print("\n" + "label".ljust(8) + "".join(column.rjust(11) for column in columns))
        for label in columns[:-1]:
            print(label.ljust(8) + "".join(str(table[label, column]).rjust(11) for column in columns))
    wrong = {pair: n for pair, n in table.items() if pair[1] not in (pair[0], "ambiguous")}
    assert wrong == {}


def test_nearly_all_real_head_headers_are_classified() -> None:
    heads = [one for one in labelled() if one["_region"].startswith("head") and one["label"] != "other"]
    right = sum(label == role for label, role in map(judged, heads))
    assert len(heads) == 36
    assert right / len(heads) >= 0.95


@pytest.mark.parametrize(
    ("name", "physics", "expected"),
    [
        ("t1_tse_tra_320", T1_SE, "T1w"),
        ("AX T1 FSE", T1_SE, "T1w"),
        ("sT1W_TSE", T1_SE, "T1w"),
        ("eT2W_TSE_ax", T2_SE, "T2w"),
        ("OAx T2 FRFSE fs", {**T2_SE, "ScanOptions": ["FAST_GEMS", "FS"]}, "T2w"),
        ("T2W_SPAIR_tra", T2_SE, "T2w"),
        ("横断位 T2WI 压脂", T2_SE, "T2w"),
        ("横断位 T1WI 平扫", T1_SE, "T1w"),
        ("横断位 T1WI 增强", T1_SE, "CE-T1w"),
        ("T1 TSE tra KM", T1_SE, "CE-T1w"),
        ("T1 TSE tra nativ", T1_SE, "T1w"),
        ("T1 tra ohne KM", T1_SE, "T1w"),
        ("T1 axial sans injection", T1_SE, "T1w"),
        ("T1 axial apres gado", T1_SE, "CE-T1w"),
        ("T1 axial sin contraste", T1_SE, "T1w"),
        ("T1 axial con contraste", T1_SE, "CE-T1w"),
        ("AX T1 +C FS", T1_SE, "CE-T1w"),
        ("Ax T1 C+", T1_SE, "CE-T1w"),
        ("T1W+C", T1_SE, "CE-T1w"),
        ("AX T1 POST", T1_SE, "CE-T1w"),
        ("AX T1 PRE", T1_SE, "T1w"),
        ("AX T1 W/O CONTRAST", T1_SE, "T1w"),
        ("AX T1 NON CONTRAST", T1_SE, "T1w"),
        ("AX T1 post op", T1_SE, "T1w"),
        ("T1PostGad_ax", T1_SE, "CE-T1w"),
        ("t1_vibe_fs_tra_post", T1_GR, "CE-T1w"),
        ("AX LAVA-Flex WATER +C", T1_GR, "CE-T1w"),
        ("e-THRIVE", T1_GR, "T1w"),
        ("quick3D ax", T1_GR, "T1w"),
        ("T2 AXIAL POST", T2_SE, "T2w"),
        ("t1_mpr_sag_iso", {**GR, "ScanningSequence": ["GR", "IR"], "SequenceVariant": ["SP", "MP"],
                            "RepetitionTime": 2300, "EchoTime": 2.3, "InversionTime": 900, "FlipAngle": 8}, "T1w"),
        ("T1 FLAIR ax", {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 2200, "EchoTime": 10,
                         "InversionTime": 860}, "T1w"),
        ("t2_haste_tra", {**SE, "RepetitionTime": 1000, "EchoTime": 98, "EchoTrainLength": 128}, "T2w"),
        ("T2 SPACE", {**SE, "RepetitionTime": 1500, "EchoTime": 130, "MRAcquisitionType": "3D",
                      "EchoTrainLength": 90}, "T2w"),
        ("Ax T2 FLAIR", {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 9000, "EchoTime": 120,
                         "InversionTime": 2500}, "other"),
        ("AX T2* GRE", {"ScanningSequence": ["GR"], "RepetitionTime": 700, "EchoTime": 20, "FlipAngle": 20}, "other"),
        ("localizer", T1_GR, "other"),
        ("3-Plane Loc SSFSE", T2_SE, "other"),
        ("定位像", T1_GR, "other"),
        ("DWI b1000", {"ScanningSequence": ["SE", "EP"], "RepetitionTime": 5000, "EchoTime": 70}, "other"),
        ("DWI b1000 propeller", T2_SE, "other"),
        ("ADC", T2_SE, "other"),
        ("T1_SUB", T1_SE, "other"),
        ("T1 MIP", T1_GR, "other"),
        ("TOF 3D", {**GR, "RepetitionTime": 21, "EchoTime": 3.4, "FlipAngle": 18}, "other"),
        ("AX PD FSE", {**SE, "RepetitionTime": 2500, "EchoTime": 25}, "other"),
        ("mDIXON_opp", T1_GR, "other"),
        ("t1_vibe_dixon_tra_F", T1_GR, "other"),
        ("t1_vibe_dixon_tra_W", T1_GR, "T1w"),
        ("T1 Perfusion", T1_GR, "other"),
        ("T1 map", T1_GR, "other"),
        ("Screen Save", {}, "other"),
        ("t2_tirm_cor", {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 4500, "EchoTime": 65,
                         "InversionTime": 160}, "ambiguous"),
        ("AX T1 PRE", {**T1_SE, "ContrastBolusAgent": "Gadovist"}, "ambiguous"),
        ("eDWI", T2_SE, "other"),
        ("t1_vibe_tra_dyn", T1_GR, "ambiguous"),
        ("mDIXON-All", T1_GR, "ambiguous"),
        ("T1 without and with contrast", T1_SE, "ambiguous"),
        ("FAT: Ax T1 FSE Flex", T1_SE, "other"),
        ("WATER: Ax T1 FSE Flex", T1_SE, "T1w"),
        ("RESOLVE_4scan_trace_tra_TRACEW", T2_SE, "other"),
        ("t1_quick3d_tra_fs_bh+C", T1_GR, "CE-T1w"),
        ("FSE2D T2 FatSAT", T2_SE, "T2w"),
        ("AX T1-C", T1_SE, "ambiguous"),
        ("T1 ax C-spine", T1_SE, "T1w"),
        ("T2 ax", T1_SE, "ambiguous"),
        ("T1 ax", T2_SE, "ambiguous"),
        ("", {"RepetitionTime": 9000, "EchoTime": 100}, "ambiguous"),
        ("ax", {}, "ambiguous"),
    ],
)  # fmt: skip
def test_vocabulary_of_vendors_and_languages(name: str, physics: dict[str, Any], expected: str) -> None:
    decision = classify_header({"SeriesDescription": name, **physics}, RULES)
    assert (decision.role, decision.reason.endswith(".")) == (expected, True) or (
        expected == "ambiguous" and decision.role == "ambiguous"
    ), decision


def test_physics_wins_where_there_is_no_name() -> None:
    assert role(**T1_SE) == "T1w"
    assert role(**T2_SE) == "T2w"
    assert role(**T1_GR) == "T1w"
    assert role(ScanningSequence="GR", RepetitionTime=400, EchoTime=3, FlipAngle=15) == "ambiguous"


@pytest.mark.parametrize(
    "stated",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "R", "ND"]},  # Siemens
        {"ImageType": ["ORIGINAL", "PRIMARY", "I", "ND"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "R_IR", "R", "IR"]},  # Philips
        {"ImageType": ["ORIGINAL", "PRIMARY", "OTHER", "REAL"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "OTHER", "IMAGINARY"]},
        {"ImageType": "ORIGINAL\\PRIMARY\\REAL"},
        {"ComplexImageComponent": "REAL"},
        {"ComplexImageComponent": "IMAGINARY"},
        {"ComplexImageComponent": "PHASE"},
    ],
    ids=str,
)
def test_a_series_of_real_imaginary_or_phase_images_has_no_role(stated: dict[str, Any]) -> None:
    for physics in (T1_SE, T2_SE, T1_GR):
        assert role(SeriesDescription="t1_tse_tra" if physics is not T2_SE else "t2_tse_tra", **physics, **stated) == (
            "other"
        )


def test_a_colour_image_has_no_role() -> None:
    t2w = {"Modality": "MR", "SeriesDescription": "t2_tse_tra", "ScanningSequence": "SE", "RepetitionTime": 4000,
           "EchoTime": 90}  # fmt: skip
    assert classify_header({**t2w, "PhotometricInterpretation": "MONOCHROME1"}, RULES).role == "T2w"
    colour = classify_header({**t2w, "PhotometricInterpretation": "RGB"}, RULES)
    assert (colour.role, "colour image" in colour.reason) == ("other", True)


@pytest.mark.parametrize(
    "stated",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"]},
        {"ComplexImageComponent": "MAGNITUDE"},
        {"ComplexImageComponent": "MIXED"},
    ],
    ids=str,
)
def test_magnitude_images_keep_their_role(stated: dict[str, Any]) -> None:
    assert role(SeriesDescription="t1_tse_tra", **T1_SE, **stated) == "T1w"


def test_an_agent_counts_only_when_one_was_given() -> None:
    for none in ("", "NONE", "No", "无", "N/A"):
        assert role(SeriesDescription="T1 ax", ContrastBolusAgent=none, **T1_SE) == "T1w", none
    assert role(SeriesDescription="T1 ax", ContrastBolusAgent="10 ml Dotarem", **T1_SE) == "CE-T1w"
    assert role(SeriesDescription="T1 ax", ContrastBolusAgentSequence=["Gadolinium"], **T1_SE) == "CE-T1w"


@pytest.mark.parametrize(
    "text",
    ["KEIN", "kein KM", "Keine", "ohne", "ohne KM", "o. KM", "ohne Gadovist", "否", "なし", "無し", "无造影剂",
     "未注射", "nativ", "Nativ", "unenhanced", "UNENHANCED", "without", "w/o contrast", "none", "NONE GIVEN", "no",
     "No contrast", "no gadolinium", "0 ml", "0.0 ml", "0,0", "0", "Gadovist 0 ml", "not given",
     "Gadovist (not given)", "nicht gegeben", "-", "--", "n/a", "N.A.", "KM: nein", "sans injection",
     "sin contraste", "senza mdc", "ninguno", "нет", "없음", " "],
)  # fmt: skip
def test_a_text_that_denies_an_agent_is_no_contrast(text: str) -> None:
    assert role(SeriesDescription="t1_tse_tra_fs", ContrastBolusAgent=text, **T1_SE) == "T1w"
    assert role(SeriesDescription="t1_tse_tra_fs", ContrastBolusAgentSequence=[text], **T1_SE) == "T1w"


@pytest.mark.parametrize(
    "text",
    ["Gadovist", "Dotarem 15 ml", "钆喷酸葡胺", "钆布醇 7.5ml 无不良反应", "GADOVIST 0.1 mmol/kg", "10 ml Dotarem",
     "ガドビスト", "Gd-DTPA", "Gadovist, no reaction", "ProHance 10.0 ml", "yes", "KM", "C", "20 ml", "是",
     "Gadolinium (synthetic)"],
)  # fmt: skip
def test_a_recorded_agent_is_contrast(text: str) -> None:
    assert role(SeriesDescription="t1_tse_tra_fs", ContrastBolusAgent=text, **T1_SE) == "CE-T1w"
    assert role(SeriesDescription="t1_tse_tra_fs", ContrastBolusAgentSequence=[text], **T1_SE) == "CE-T1w"


def test_values_come_in_any_form() -> None:
    assert role(ScanningSequence="GR\\IR", SequenceVariant="SP\\MP", RepetitionTime="2300", EchoTime="2.9",
                InversionTime="900", FlipAngle="9") == "T1w"  # fmt: skip
    assert role(SeriesDescription="t2_tse", ScanningSequence="SE", RepetitionTime=[4000.0], EchoTime=["95"]) == "T2w"
    assert role(ScanningSequence=["SE"], RepetitionTime="abc", EchoTime=None, EchoTrainLength={}) == "ambiguous"


def test_a_stir_is_the_sites_decision() -> None:
    stir = {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 4500, "EchoTime": 65, "InversionTime": 160}
    decision = classify_header(stir, RULES)
    assert decision.role == "ambiguous"
    assert decision.possible_role == "T2w"
    assert classify_header(stir, SeriesRules(stir_as_t2w=True)).role == "T2w"


def test_thresholds_are_settings() -> None:
    header = {**SE, "RepetitionTime": 1300, "EchoTime": 12}
    assert classify_header(header, RULES).role == "ambiguous"
    assert classify_header(header, SeriesRules(t1_max_repetition_time_ms=1400)).role == "T1w"


values = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.floats(),
    st.integers(),
    st.lists(st.one_of(st.text(max_size=6), st.floats(), st.none()), max_size=4),
)
keywords = st.sampled_from(
    ["SeriesDescription", "ProtocolName", "ScanningSequence", "SequenceVariant", "ImageType", "EchoTime",
     "RepetitionTime", "InversionTime", "FlipAngle", "EchoTrainLength", "PixelSpacing", "ContrastBolusAgent",
     "SOPClassUID", "Modality", "AcquisitionContrast", "DiffusionBValue", "SequenceName", "MRAcquisitionType"]
)  # fmt: skip


@given(st.dictionaries(keywords, values, max_size=12))
def test_any_header_gets_a_decision(header: dict[str, Any]) -> None:
    decision = classify_header(header, RULES)
    assert decision.role in ("T1w", "T2w", "CE-T1w", "other", "ambiguous")
    assert 0 <= decision.confidence <= 1
    assert decision.reason
