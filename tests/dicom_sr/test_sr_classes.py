from __future__ import annotations

import typing

import pytest

from config.settings import ReportSettings
from dicom_sr.report.sr_classes import SR_SOP_CLASS_UIDS, SrClass, sr_sop_class_uids_sent


@pytest.mark.parametrize(
    ("sr_class", "uid"),
    [  # PS3.4 B.5
        ("comprehensive_3d", "1.2.840.10008.5.1.4.1.1.88.34"),
        ("comprehensive", "1.2.840.10008.5.1.4.1.1.88.33"),
        ("enhanced", "1.2.840.10008.5.1.4.1.1.88.22"),
    ],
)
def test_each_class_has_the_uid_of_the_standard(sr_class: SrClass, uid: str) -> None:
    assert SR_SOP_CLASS_UIDS[sr_class] == uid


def test_the_settings_offer_exactly_these_classes() -> None:
    offered = typing.get_args(ReportSettings.model_fields["sop_class"].annotation)
    assert set(offered) == set(SR_SOP_CLASS_UIDS) == set(typing.get_args(SrClass))


def test_the_configured_class_is_sent_first_and_the_fallback_once() -> None:
    sent = {sr_class: [uid.name for uid in sr_sop_class_uids_sent(sr_class)] for sr_class in SR_SOP_CLASS_UIDS}
    assert sent == {
        "comprehensive_3d": ["Comprehensive 3D SR Storage", "Comprehensive SR Storage"],
        "comprehensive": ["Comprehensive SR Storage"],
        "enhanced": ["Enhanced SR Storage", "Comprehensive SR Storage"],
    }
