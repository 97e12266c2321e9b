"""Patient Characteristics: age, EBV DNA and its threshold, each as what it is.

They are facts about the patient and not measurements of the images, so they are not in a measurement group. The
container is that of TID 3602; TID 1500 is extensible.
"""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.sr import ContainerContentItem, ContentItem, ContentSequence

from dicom_sr.coding import codes
from dicom_sr.coding.items import CONCEPT_MOD, code, container, number
from dicom_sr.report import numbers
from dicom_sr.report.treatment_report import NOT_DETECTED, EbvDna, TreatmentReport


def patient_characteristics(report: TreatmentReport) -> ContainerContentItem:
    """Build the container (121118, DCM, "Patient Characteristics").

    Parameters
    ----------
    report : TreatmentReport
        Any report.

    Returns
    -------
    ContainerContentItem
        Age in years, EBV DNA in plasma or serum and its threshold in copies/mL, as far as they are known.
    """
    children: list[ContentItem] = []
    if report.age_years is not None:
        children.append(number(codes.SUBJECT_AGE, numbers.age(report.age_years), codes.YEAR))
    children += ebv_dna_items(report.ebv_dna)
    threshold = report.ebv_dna.threshold_copies_per_ml
    children.append(number(codes.EBV_THRESHOLD, numbers.copies(threshold), codes.COPIES_PER_ML, threshold))
    return container(codes.PATIENT_CHARACTERISTICS, children)


def ebv_dna_items(ebv: EbvDna) -> Iterator[ContentItem]:
    """Yield the item of the laboratory's result, with the LOINC code of the quantity.

    Parameters
    ----------
    ebv : EbvDna
        Any result.

    Yields
    ------
    ContentItem
        NUM for a number; NUM with the qualifier "Value out of range" (CID 42) and the comparator as a concept modifier
        for ">4000"; CODE for "not detected"; nothing where it was not measured.
    """
    if ebv.comparator == NOT_DETECTED:
        yield code(codes.EBV_DNA, codes.NOT_DETECTED)
    elif ebv.copies_per_ml is not None:
        yield number(codes.EBV_DNA, numbers.copies(ebv.copies_per_ml), codes.COPIES_PER_ML, ebv.copies_per_ml)
    elif ebv.comparator is not None and ebv.bound_copies_per_ml is not None:
        bound = ebv.bound_copies_per_ml
        item = number(codes.EBV_DNA, numbers.copies(bound), codes.COPIES_PER_ML, bound)
        # PS3.3 C.18.1 has no comparator: the qualifier tells every reader that the number is not the result itself.
        item.NumericValueQualifierCodeSequence = [codes.VALUE_OUT_OF_RANGE.code]
        comparator = code(codes.COMPARATOR, codes.COMPARATORS[ebv.comparator], CONCEPT_MOD)
        item.ContentSequence = ContentSequence([comparator])
        yield item
