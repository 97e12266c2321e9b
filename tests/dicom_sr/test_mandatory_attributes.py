"""The table of required attributes: complete beside another reading of PS3.3, and noticed when one is missing."""

from __future__ import annotations

import re
from copy import deepcopy

import pytest

from dicom_sr.objects.build import build_objects
from dicom_sr.objects.mandatory_attributes import MANDATORY_MODULES, missing_attributes
from dicom_sr.objects.validation import validate
from dicom_sr.report.errors import InvalidReportError
from dicom_sr.report.report_inputs import ReportObject, ReportOptions
from tests.dicom_sr import samples

# Its root container is checked by reading the report back; the table of highdicom lists every value type's attributes.
CONTENT_TREE = "sr-document-content"


@pytest.mark.parametrize("sop_class", MANDATORY_MODULES, ids=lambda uid: uid.name)
def test_the_table_is_that_of_the_standard(sop_class: str) -> None:
    """Against highdicom's tables, made from PS3.3 by program; they are private, so an upgrade may take them away."""
    tables = pytest.importorskip("highdicom._standard_utils")
    try:
        iod = tables.get_sop_class_iod_map()[sop_class]
        modules = [m["key"] for m in tables.get_iod_module_map()[iod] if m["usage"] == "M" and m["key"] != CONTENT_TREE]
        attributes = [a for module in modules for a in tables.get_module_attribute_map()[module] if not a["path"]]
    except AttributeError:
        pytest.skip("this version of highdicom has other tables")
    ours = MANDATORY_MODULES[sop_class]
    type_1 = {a["keyword"] for a in attributes if a["type"] == "1"}
    type_2 = {a["keyword"] for a in attributes if a["type"] == "2"} - type_1
    assert {keyword for module in ours for keyword in module.type_1} == type_1
    assert {keyword for module in ours for keyword in module.type_2} - type_1 == type_2


def test_every_module_has_its_section() -> None:
    sections = {module.section for modules in MANDATORY_MODULES.values() for module in modules}
    assert all(re.fullmatch(r"C\.\d+(\.\d+)+", section) for section in sections)


def test_a_missing_or_empty_attribute_is_named_and_never_stored() -> None:
    report, sources = samples.scored(), samples.sources()
    [sr] = build_objects(report, sources, None, ReportOptions(kinds=("sr",)))
    damaged = deepcopy(sr.dataset)
    damaged.CompletionFlag = None
    del damaged.AccessionNumber
    damaged.StudyID = None  # type 2: may be empty
    assert list(missing_attributes(damaged)) == ["AccessionNumber (type 2)", "CompletionFlag (type 1)"]
    with pytest.raises(InvalidReportError, match=r"missing AccessionNumber \(type 2\), CompletionFlag \(type 1\)"):
        validate([ReportObject("sr", sr.sop_class_uid, sr.sop_instance_uid, damaged)], report, sources)
