"""Codes that only messages have: what the SR says by its structure, a message has to name."""

from __future__ import annotations

from config.indication.vocabulary import EbvCategory
from dicom_sr.coding import codes
from dicom_sr.coding.concept import Concept, ours
from dicom_sr.coding.result_codes import CATEGORY_LETTERS, CATEGORY_PHRASES

RESULT = ours("CPTDN", "Treatment decision nomogram (CPTDN), nasopharyngeal carcinoma")
SOP_INSTANCE_UID = ours("SR_INSTANCE_UID", "SOP Instance UID of the Structured Report")
PDF_REPORT = ours("PDF_REPORT", "Treatment decision report (PDF)")
MODEL_BUNDLE = ours("MODEL_BUNDLE", "Model bundle: name, version and digest")


def ground(assumed: EbvCategory | None) -> Concept:
    """Return the code of the ground of an answer; in the SR its group names the category of EBV DNA.

    Parameters
    ----------
    assumed : EbvCategory or None
        The category that the answer assumes, where EBV DNA is unknown.

    Returns
    -------
    Concept
        ``GROUND``, or for example ``GROUND_GT``.
    """
    if assumed is None:
        return codes.GROUND
    return ours(f"GROUND_{CATEGORY_LETTERS[assumed]}", f"{codes.GROUND.meaning}, {CATEGORY_PHRASES[assumed]}")
