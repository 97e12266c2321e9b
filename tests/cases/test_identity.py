"""One patient or two: what systems write differently about one person, and what two persons differ in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cases.identity import identity_conflict, patient_difference
from node.cases.person_names import names_differ

# Spellings of one name: case, spaces, carets, groups, accents, order, initials, cut ends, middle names and titles.
ONE_PERSON = [
    ("Wang^Wei", "WANG^WEI"), ("Wang^Wei", "Wang^Wei^^^"), ("Wang^Wei", "Wang Wei"), ("Wang^Wei", "WEI WANG"),
    ("Wang^Wei", "Wang, Wei"), ("Wang^Wei=王^伟", "Wang^Wei"), ("Wang^Wei=王^伟", "王伟"), ("王^伟", "王伟"),
    ("Wang^Wei=王^伟", "WANG^WEI=王^伟=wang2^wei3"), ("王^伟", "Wang^Wei"), ("Wang^Xiao Dong", "Wang^XiaoDong"),
    ("Wang^Xiao-Dong", "WANG^XIAODONG"), ("Müller^Jürgen", "Mueller^Juergen"), ("Müller^Jürgen", "MULLER^JURGEN"),
    ("Weiß^Anna", "WEISS^ANNA"), ("Nguyễn^Thị", "NGUYEN^THI"), ("Łukasz^Ødegård", "LUKASZ^ODEGARD"),
    ("Smith^John^Peter", "Smith^John"), ("Smith^John^P", "Smith^John^Peter"), ("Smith^J", "Smith^John"),
    ("Smith^John^^Dr^Jr", "Smith^John"), ("Dr. John Smith", "Smith^John"), ("Smith Jones^Anna", "Smith^Anna"),
    ("Smith-Jones^Anna", "SMITH JONES^ANNA"), ("O'Neil^Mary", "ONEIL^MARY"), ("Smith^Jonathan", "Smith^Jonath"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"), ("Wang^Wei=王^伟", "Uang^Uei=王^伟"),
    ("Hong^Gildong=洪^吉洞=홍^길동", "Hong^Gildong"), ("", "Wang^Wei"), ("Anonymous", "Wang^Wei"), ("^^^^", "Wang^Wei"),
    ("Maiden^", "maiden"), ("Иванов^Иван", "ИВАНОВ^ИВАН"), ("???", "Wang^Wei"),
    ("Íõ^Î°", "Wang^Wei"), ("Wang^Wei=Íõ^Î°", "Wang^Wei=王^伟"), ("Ä^Ö", "Wang^Wei"),
]  # fmt: skip
TWO_PERSONS = [
    ("Xue^Li", "Xu^Li"), ("Yue^Hong", "Yu^Hong"),  # pinyin, not umlauts
    ("Wang^Wei", "Li^Na"), ("Else^Somebody", "Wang^Wei"), ("王^伟", "李^娜"), ("Wang^Wei=王^伟", "Wang^Wei=汪^薇"),
    ("Smith^John", "Smith^Jane"), ("Smith^John", "Jones^John"), ("Wang^Wei=王^伟", "李娜"), ("Smith^J", "Smith^Peter"),
    ("Müller^Jürgen", "Maier^Jürgen"), ("Иванов^Иван", "Петров^Пётр"), ("S^J", "Jones^Mary"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), ONE_PERSON)
def test_spellings_of_one_name_agree(first: str, second: str) -> None:
    assert not names_differ(first, second)
    assert not names_differ(second, first)


@pytest.mark.parametrize(("first", "second"), TWO_PERSONS)
def test_names_of_two_persons_differ(first: str, second: str) -> None:
    assert names_differ(first, second)
    assert names_differ(second, first)


@given(st.text(max_size=30), st.text(max_size=30))
def test_names_are_compared_without_error_and_in_either_order(first: str, second: str) -> None:
    assert names_differ(first, second) == names_differ(second, first)
    assert not names_differ(first, first)


def header(**more: Any) -> dict[str, Any]:
    return {"PatientID": "P1", "PatientName": "Wang^Wei", "PatientSex": "M", "PatientBirthDate": "19800615", **more}


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"PatientID": "P2"}, "Patient ID"), ({"PatientName": "Li^Na"}, "name"), ({"PatientSex": "F"}, "sex is F"),
        ({"PatientBirthDate": "19800616"}, "birth date"),
    ],
)  # fmt: skip
def test_each_attribute_of_another_person_is_named_without_its_value(more: dict[str, str], word: str) -> None:
    difference = patient_difference(header(), header(**more))
    assert difference is not None
    assert word in difference
    assert "Li" not in difference.replace("List", "")
    assert "19800616" not in difference


@pytest.mark.parametrize(
    "more",
    [
        {"PatientSex": ""}, {"PatientSex": "O"}, {"PatientSex": "男"}, {"PatientBirthDate": "1980-06-15"},
        {"PatientBirthDate": "00000000"}, {"PatientBirthDate": "19000101"}, {"PatientBirthDate": ""},
        {"PatientName": "P1"}, {"PatientName": "WANG^WEI^^^"},
    ],
)  # fmt: skip
def test_what_is_not_stated_or_written_otherwise_is_no_difference(more: dict[str, str]) -> None:
    assert patient_difference(header(), header(**more)) is None


def test_two_sexes_in_one_study_are_found_although_the_first_image_states_none() -> None:
    assert identity_conflict([header(PatientSex=""), header(), header()]) is None
    conflict = identity_conflict([header(PatientSex=""), header(), header(PatientSex="F")])
    assert conflict is not None
    assert "more than one patient" in conflict
