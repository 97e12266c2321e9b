"""Which SOP classes the configured destinations may get."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from config.settings import Settings

# The configured form of the report first, then the one that stands in for it where a PACS refuses it.
SR_CLASSES = {
    "comprehensive_3d": (Comprehensive3DSRStorage, ComprehensiveSRStorage),
    "comprehensive": (ComprehensiveSRStorage,),
    "enhanced": (EnhancedSRStorage, ComprehensiveSRStorage),
}
OTHER_CLASSES = {
    "sc": SecondaryCaptureImageStorage,
    "pdf": EncapsulatedPDFStorage,
    "seg": SegmentationStorage,
    "attribution": SecondaryCaptureImageStorage,
}


@dataclass(frozen=True)
class SentClass:
    uid: str
    name: str


def sent_classes(settings: Settings) -> list[SentClass]:
    """Every SOP class that some destination may get, each once."""
    found: dict[UID, None] = {}
    for pacs in settings.pacs:
        for kind in pacs.send:
            for uid in SR_CLASSES[settings.report.sop_class] if kind == "sr" else (OTHER_CLASSES[kind],):
                found[uid] = None
    return [SentClass(str(uid), uid.name) for uid in found]
