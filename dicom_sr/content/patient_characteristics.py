"""Patient Characteristics: age, EBV DNA and its threshold, and the clinical stage, each as what it is.

They are facts about the patient and not measurements of the images, so they are not in a measurement group. The
container is that of TID 3602; TID 1500 is extensible.
"""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.sr import ContainerContentItem, ContentItem, ContentSequence

from dicom_sr.coding import codes, stage_codes
from dicom_sr.coding.items import CONCEPT_MOD, code, container, number, text
from dicom_sr.report import numbers
from dicom_sr.report.treatment_report import NOT_DETECTED, EbvDna, Stage, TreatmentReport


def patient_characteristics(report: TreatmentReport) -> ContainerContentItem:
    """Build the container (121118, DCM, "Patient Characteristics").

    Parameters
    ----------
    report : TreatmentReport
        Any report.

    Returns
    -------
    ContainerContentItem
        Age in years, EBV DNA in plasma or serum with its category and its threshold in copies/mL, and the stage, as
        far as they are known.
    """
    children: list[ContentItem] = []
    if report.age_years is not None:
        children.append(number(codes.SUBJECT_AGE, numbers.age(report.age_years), codes.YEAR))
    children += ebv_dna_items(report.ebv_dna)
    threshold = report.ebv_dna.threshold_copies_per_ml
    children.append(number(codes.EBV_THRESHOLD, numbers.copies(threshold), codes.COPIES_PER_ML, threshold))
    children.append(code(codes.EBV_CATEGORY, codes.EBV_CATEGORIES[report.ebv_dna.category]))
    children += stage_items(report.stage)
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


def stage_items(stage: Stage) -> Iterator[ContentItem]:
    """Yield the items of the clinical stage.

    Parameters
    ----------
    stage : Stage
        Any stage; unknown parts give no item.

    Yields
    ------
    ContentItem
        cT, cN, cM and staging system: CODE where `codes` has one, otherwise TEXT with the category as recorded; then
        extranodal extension and the stage groups by both editions, as far as they follow.
    """
    for name, category in (
        (stage_codes.CLINICAL_T, stage.t),
        (stage_codes.CLINICAL_N, stage.n),
        (stage_codes.CLINICAL_M, stage.m),
    ):
        if category in stage_codes.STAGE_CODES:
            yield code(name, stage_codes.STAGE_CODES[category])
        elif category:
            yield text(name, category)
    if stage.edition in stage_codes.STAGING_SYSTEMS:
        yield code(stage_codes.STAGING_SYSTEM, stage_codes.STAGING_SYSTEMS[stage.edition])
    elif stage.edition:
        yield text(stage_codes.STAGING_SYSTEM, stage.edition)
    yield from _group_items(stage)


def _group_items(stage: Stage) -> Iterator[ContentItem]:
    """Yield the stage groups of both editions, so that no reader takes one for the other."""
    if stage.extranodal_extension is not None:
        value = codes.YES if stage.extranodal_extension == "yes" else codes.NO
        yield code(stage_codes.EXTRANODAL_EXTENSION, value)
    if stage.edition is not None and stage.group is not None:
        yield code(stage_codes.STAGE_GROUPS[stage.edition], stage_codes.STAGE_GROUP_VALUES[stage.group])
    if stage.other_group is not None:
        edition, groups = stage.other_group
        yield code(stage_codes.STAGE_GROUPS[edition], stage_codes.STAGE_GROUP_VALUES[groups[0]])
        if len(groups) > 1:
            yield code(stage_codes.STAGE_GROUP_IF_EXTENDED, stage_codes.STAGE_GROUP_VALUES[groups[1]])
