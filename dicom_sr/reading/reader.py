"""Reading a report of this software back from its SR alone.

Changes that a PACS may make are accepted: a coerced Patient ID is the patient's ID now, additional attributes and
another transfer syntax change nothing, and items are found by code, not by position.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from config.indication.vocabulary import AnswerRule
from dicom_sr.coding import codes, stage_codes
from dicom_sr.coding.concept import Concept
from dicom_sr.content.details import LAYOUT
from dicom_sr.content.measurements import BUNDLE_PARAMETER, NETWORK_PARAMETER, NOMOGRAM_PARAMETER
from dicom_sr.reading import content_tree as tree
from dicom_sr.reading import results
from dicom_sr.reading.content_tree import decoded, optional
from dicom_sr.report.errors import UnreadableReportError
from dicom_sr.report.report_status import ReplacedReport, Withdrawal
from dicom_sr.report.sr_classes import SR_SOP_CLASS_UIDS
from dicom_sr.report.treatment_report import (
    NOT_DETECTED,
    ConditionOfUse,
    ContourUsed,
    EbvDna,
    Fact,
    ModelIdentity,
    Reason,
    SeriesUsed,
    Stability,
    StabilityPart,
    Stage,
    TreatmentReport,
)

READABLE_LAYOUTS = ("1", LAYOUT)  # each has a file in tests/dicom_sr/layouts that must stay readable


def read_report(source: Path | str | Dataset) -> TreatmentReport:
    """Read the report that an SR of this software was built from.

    Parameters
    ----------
    source : path or Dataset
        A DICOM file, or its data set.

    Returns
    -------
    TreatmentReport
        Equal to the one that the SR was built from, except for a Patient ID that was changed on the way.

    Raises
    ------
    UnreadableReportError
        The file cannot be read, is not DICOM, not an SR of this software, or an item is missing or damaged.
    """
    ds = source if isinstance(source, Dataset) else _read(Path(source))
    _check_ours(ds)
    try:
        return _report(ds)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, UnreadableReportError):
            raise
        raise UnreadableReportError(f"the report {ds.get('SOPInstanceUID')} is damaged: {error}") from error


def _read(path: Path) -> Dataset:
    try:
        return dcmread(path)
    except (InvalidDicomError, EOFError) as error:
        raise UnreadableReportError(f"{path}: expected a DICOM file, found another format") from error
    except OSError as error:
        raise UnreadableReportError(f"{path}: cannot be read: {error.strerror}") from error


def _check_ours(ds: Dataset) -> None:
    # Another program's report may have the same SOP class and title, but not the container of the private scheme.
    sop_class = ds.get("SOPClassUID")
    if sop_class not in SR_SOP_CLASS_UIDS.values():
        name = getattr(sop_class, "name", sop_class) or "no SOP class"
        raise UnreadableReportError(f"expected a Structured Report of this software, found {name}")
    if tree.first(ds, codes.DETAILS) is None:
        title = (ds.get("ConceptNameCodeSequence") or [Dataset()])[0].get("CodeMeaning", "no title")
        raise UnreadableReportError(f"expected a Structured Report of this software, found another one ({title!r})")


def _report(ds: Dataset) -> TreatmentReport:
    evaluations = tree.required(ds, codes.QUALITATIVE_EVALUATIONS)
    measurements = tree.required(ds, codes.IMAGING_MEASUREMENTS)
    details = tree.required(ds, codes.DETAILS)
    layout = tree.text(details, codes.LAYOUT_VERSION)
    if layout not in READABLE_LAYOUTS:
        raise UnreadableReportError(f"expected a report of layout {', '.join(READABLE_LAYOUTS)}, found {layout}")
    groups = list(tree.named(measurements, codes.MEASUREMENT_GROUP))
    characteristics = tree.first(ds, codes.PATIENT_CHARACTERISTICS)
    # Layout 1 had age and EBV DNA in a measurement group with the scores, and stage and category in the evaluations.
    inputs = characteristics or tree.group_of(groups, codes.EBV_THRESHOLD)
    categories = characteristics or evaluations
    horizons = tuple(results.horizons(details))
    # The Patient ID is that of the header: a PACS that coerces it changes it there and nowhere else.
    return TreatmentReport(
        patient_id=str(ds.get("PatientID") or ""),
        study_instance_uid=str(ds.StudyInstanceUID),
        report_identity=tree.text(details, codes.REPORT_IDENTITY) or "",
        revision=int(tree.required_number(details, codes.REVISION)),
        created=tree.date_time(details, codes.REPORT_CREATED, ds.get("TimezoneOffsetFromUTC")),
        software_version=tree.text(details, codes.SOFTWARE_VERSION) or "",
        model=_model(evaluations, measurements, details),
        age_years=tree.number(inputs, codes.SUBJECT_AGE),
        age_source=tree.text(details, codes.AGE_SOURCE) or "",
        ebv_dna=_ebv_dna(categories, inputs, details),
        stage=_stage(categories, details),
        series=tuple(_series(item) for item in tree.named(details, codes.SERIES_USED)),
        contours=tuple(_contours(groups, details)),
        scores=results.scores(groups),
        scenarios=tuple(results.scenarios(groups, evaluations, horizons)),
        horizons_months=horizons,
        quality=_reasons(evaluations, codes.QUALITY_FINDING),
        warnings=_reasons(evaluations, codes.WARNING),
        refusals=_reasons(evaluations, codes.REFUSAL),
        predecessors=tuple(_predecessors(ds)),
        conditions=tuple(_conditions(details)),
        stability=_stability(details),
        withdrawal=_withdrawal(ds, details),
        replaced=_replaced(ds, details),
    )


def _model(evaluations: Dataset, measurements: Dataset, details: Dataset) -> ModelIdentity:
    # One item with a line for each; in layout 1 an item for each.
    parameters = dict(
        line.partition(" ")[::2]
        for item in tree.named(measurements, codes.ALGORITHM_PARAMETERS)
        for line in tree.text_value(item).splitlines()
    )
    return ModelIdentity(
        name=tree.text(measurements, codes.ALGORITHM_NAME) or "",
        version=tree.text(measurements, codes.ALGORITHM_VERSION) or "",
        digest=parameters.get(BUNDLE_PARAMETER, ""),
        network_digest=parameters.get(NETWORK_PARAMETER, ""),
        nomogram_digest=parameters.get(NOMOGRAM_PARAMETER, ""),
        intended_use=tree.text(evaluations, codes.INTENDED_USE) or "",
        training_population=tree.text(evaluations, codes.TRAINING_POPULATION) or "",
        # An unknown or missing code counts as a demonstration: the doubt must not make a result usable.
        demonstration=tree.code(evaluations, codes.PERMITTED_USE) != codes.AS_INTENDED.key,
        nomogram_citation=tree.text(details, codes.NOMOGRAM_CITATION) or "",
        horizon_months=int(tree.required_number(details, codes.DECISION_HORIZON)),
        # Fractions inside, percent in the SR; values are rounded when they are built, so the division leaves no trace.
        threshold=tree.required_number(details, codes.DECISION_THRESHOLD) / 100,
        # Earlier versions decided by the bare difference and did not say so.
        rule=optional(details, codes.DECISION_RULE, codes.DECISION_RULES, AnswerRule.POINT),
    )


def _ebv_dna(categories: Dataset, inputs: Dataset, details: Dataset) -> EbvDna:
    item = tree.first(inputs, codes.EBV_DNA) or tree.first(inputs, codes.EBV_COPIES)
    number, comparator = None, None
    if item is not None and item.get("ValueType") == "CODE":
        comparator = NOT_DETECTED
    elif item is not None:
        number = tree.number_value(item)
        coded = tree.code(item, codes.COMPARATOR)
        comparator = None if coded is None else decoded(coded, codes.COMPARATORS)
    return EbvDna(
        category=decoded(tree.code(categories, codes.EBV_CATEGORY), codes.EBV_CATEGORIES),
        copies_per_ml=number if comparator is None else None,
        as_given=tree.text(details, codes.EBV_AS_GIVEN),
        threshold_copies_per_ml=tree.required_number(inputs, codes.EBV_THRESHOLD),
        provenance=_fact(details, codes.EBV_FACT),
        comparator=comparator,
        bound_copies_per_ml=None if comparator is None else number,
    )


def _stage(categories: Dataset, details: Dataset) -> Stage:
    return Stage(
        t=_category(categories, stage_codes.CLINICAL_T),
        n=_category(categories, stage_codes.CLINICAL_N),
        m=_category(categories, stage_codes.CLINICAL_M),
        edition=_edition(categories),
        verified=tree.code(details, codes.STAGE_VERIFIED) == codes.YES.key,
        provenance=_fact(details, codes.STAGE_FACT),
        extranodal_extension={codes.YES.key: "yes", codes.NO.key: "no"}.get(
            tree.code(categories, stage_codes.EXTRANODAL_EXTENSION) or ("", "")
        ),
    )


def _edition(categories: Dataset) -> str | None:
    coded = tree.code(categories, stage_codes.STAGING_SYSTEM)
    if coded is None:
        return tree.text(categories, stage_codes.STAGING_SYSTEM)
    return decoded(coded, stage_codes.STAGING_SYSTEMS)


def _category(categories: Dataset, name: Concept) -> str | None:
    coded = tree.code(categories, name)
    if coded is not None:
        return decoded(coded, stage_codes.STAGE_CODES)
    return tree.text(categories, name)


def _fact(details: Dataset, name: Concept) -> Fact | None:
    for item in tree.named(details, codes.CLINICAL_FACT):
        if tree.code(item, codes.FACT_NAME) == name.key:
            source = tree.text(item, codes.FACT_SOURCE) or ""
            return Fact(source, tree.day(item, codes.FACT_DATE), tree.text(item, codes.FACT_SET_BY))
    return None


def _series(item: Dataset) -> SeriesUsed:
    image = tree.required(item, codes.REPRESENTATIVE_IMAGE).ReferencedSOPSequence[0]
    frame = image.get("ReferencedFrameNumber")
    return SeriesUsed(
        role=decoded(tree.code(item, codes.SERIES_ROLE), codes.SERIES_ROLES),
        series_instance_uid=tree.uid(item, codes.SERIES_INSTANCE_UID),
        sop_class_uid=str(image.ReferencedSOPClassUID),
        description=tree.text(item, codes.SERIES_DESCRIPTION) or "",
        n_tumour_slices=int(tree.required_number(item, codes.TUMOUR_SLICES)),
        representative_sop_instance_uid=str(image.ReferencedSOPInstanceUID),
        representative_frame_number=None if frame is None else int(frame),
        reason=tree.text(item, codes.SERIES_REASON) or "",
    )


def _contours(groups: list[Dataset], details: Dataset) -> Iterator[ContourUsed]:
    # Volume groups and contours are written in one order; strict=True refuses a report from which one was removed.
    volumes = [tree.number(group, codes.VOLUME) for group in groups if tree.first(group, codes.VOLUME) is not None]
    for item, volume in zip(tree.named(details, codes.CONTOUR_USED), volumes, strict=True):
        reference = tree.required(item, codes.CONTOUR_OBJECT).ReferencedSOPSequence[0]
        yield ContourUsed(
            sop_instance_uid=str(reference.ReferencedSOPInstanceUID),
            sop_class_uid=str(reference.ReferencedSOPClassUID),
            series_instance_uid=tree.uid(item, codes.SERIES_INSTANCE_UID),
            study_instance_uid=tree.uid(item, codes.STUDY_INSTANCE_UID),
            roi_name=tree.text(item, codes.ROI_NAME) or "",
            roi_number=int(tree.required_number(item, codes.ROI_NUMBER)),
            volume_ml=volume or 0.0,
            n_slices=int(tree.required_number(item, codes.CONTOUR_SLICES)),
            reason=tree.text(item, codes.CONTOUR_REASON) or "",
        )


def _conditions(details: Dataset) -> Iterator[ConditionOfUse]:
    for item in tree.named(details, codes.CONDITION_OF_USE):
        yield ConditionOfUse(
            decoded(tree.code(item, codes.CONDITION), codes.CONDITIONS),
            decoded(tree.code(item, codes.CONDITION_STATE), codes.CONDITION_STATES),
            tree.text(item, codes.CONDITION_GROUNDS) or "",
        )


def _stability(details: Dataset) -> Stability | None:
    item = tree.first(details, codes.STABILITY)
    if item is None:
        return None
    parts = tuple(
        StabilityPart(tree.text(part, codes.STABILITY_KIND) or "", *_counts(part))
        for part in tree.named(item, codes.STABILITY_PART)
    )
    return Stability(*_counts(item), tree.required_number(item, codes.STABILITY_SHARE) / 100, parts)


def _withdrawal(ds: Dataset, details: Dataset) -> Withdrawal | None:
    item = tree.first(details, codes.WITHDRAWAL)
    if item is None:
        return None
    return Withdrawal(
        tree.date_time(item, codes.WITHDRAWN_SINCE, ds.get("TimezoneOffsetFromUTC")),
        tree.text(item, codes.WITHDRAWN_BY) or "",
        tree.text(item, codes.WITHDRAWN_BECAUSE) or "",
    )


def _replaced(ds: Dataset, details: Dataset) -> ReplacedReport | None:
    item = tree.first(details, codes.REPLACED)
    if item is None:
        return None
    created = tree.date_time(item, codes.REPORT_CREATED, ds.get("TimezoneOffsetFromUTC"))
    return ReplacedReport(int(tree.required_number(item, codes.REVISION)), created)


def _counts(item: Dataset) -> tuple[int, int]:
    held, of = (tree.required_number(item, name) for name in (codes.STABILITY_HELD, codes.STABILITY_OF))
    return int(held), int(of)


def _reasons(evaluations: Dataset, name: Concept) -> tuple[Reason, ...]:
    return tuple(_reason(tree.text_value(item)) for item in tree.named(evaluations, name))


def _reason(written: str) -> Reason:
    # "Sentence [code]": the sentence may contain brackets, the code may not (`validation.REASON_CODE`).
    sentence, _, code = written.rpartition(" [")
    return Reason(code.removesuffix("]"), sentence)


def _predecessors(ds: Dataset) -> Iterator[str]:
    for study in ds.get("PredecessorDocumentsSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for item in series.get("ReferencedSOPSequence") or ():
                yield str(item.ReferencedSOPInstanceUID)
