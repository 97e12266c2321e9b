"""The SOP classes in which the Structured Report can be written: the one table of them."""

from __future__ import annotations

from typing import Literal

from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

SrClass = Literal["comprehensive_3d", "comprehensive", "enhanced"]

SR_SOP_CLASS_UIDS: dict[SrClass, UID] = {
    "comprehensive_3d": Comprehensive3DSRStorage,
    "comprehensive": ComprehensiveSRStorage,
    "enhanced": EnhancedSRStorage,
}
# What Comprehensive 3D SR adds, three-dimensional coordinates (PS3.3 A.35.13), our content tree does not use.
FALLBACK_SR_CLASS: SrClass = "comprehensive"


def sr_sop_class_uids_sent(sr_class: SrClass) -> tuple[UID, ...]:
    """Return the SOP classes in which a destination may receive the report.

    Parameters
    ----------
    sr_class : SrClass
        The class that the site configured.

    Returns
    -------
    tuple of UID
        The configured class first, then the fallback for a destination that refuses it, each once.
    """
    return tuple(dict.fromkeys((SR_SOP_CLASS_UIDS[sr_class], SR_SOP_CLASS_UIDS[FALLBACK_SR_CLASS])))
