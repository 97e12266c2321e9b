"""Write the attributes of a work item: its progress, its end with outputs or reason, and all of it for who asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from config.settings import Settings, WorkItemSettings
from node.dicom.headers.matching import value_matches
from node.dicom.procedure_steps.identifiers import PUSH
from node.ledger.work_item_machine import State
from node.ledger.work_item_tables import WorkItem

UTF_8 = "ISO_IR 192"
_TRANSACTION_UID = 0x00081195
LONGEST_DESCRIPTION = 1024  # VR ST
LONGEST_REASON = 1024  # VR LT would allow more


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value[:16], scheme[:16], meaning[:64]
    return item


def workitem_code(settings: WorkItemSettings) -> Dataset:
    """Return the code of the work items that this node performs."""
    return code_item(settings.code, settings.code_scheme, settings.code_meaning)


def progress_of(item: WorkItem) -> Dataset:
    """Return the Progress Information Sequence of a work item, with the reason where it was canceled.

    Parameters
    ----------
    item : WorkItem
        Its progress, and its ending where there is one.

    Returns
    -------
    Dataset
        With this one attribute.
    """
    said = Dataset()
    if item.progress:
        said.ProcedureStepProgress = str(item.progress["percent"])
        said.ProcedureStepProgressDescription = item.progress["text"][:LONGEST_DESCRIPTION]
    if item.ending is not None and item.ending["state"] == State.CANCELED:
        said.ProcedureStepCancellationDateTime = date_time(datetime.fromisoformat(item.ending["at"]))
        said.ReasonForCancellation = item.ending["because"][:LONGEST_REASON]
        said.ProcedureStepDiscontinuationReasonCodeSequence = [code_item(*item.ending["code"])]
    ds = Dataset()
    ds.SpecificCharacterSet = UTF_8
    ds.ProcedureStepProgressInformationSequence = [said]
    return ds


def performed(item: WorkItem, settings: Settings) -> Dataset:
    """Return what an ended work item has to say by PS3.4 Table CC.2.5-3: station, times, work item code, outputs.

    Parameters
    ----------
    item : WorkItem
        With its ending.
    settings : Settings
        `[work_items]` code and our AE title.

    Returns
    -------
    Dataset
        Progress information and the performed procedure.
    """
    ds = progress_of(item)
    if item.ending is None:
        return ds
    step = Dataset()
    ae_title = settings.node.ae_title
    step.PerformedStationNameCodeSequence = [code_item(ae_title, "99CPTDN", ae_title)]
    step.PerformedProcedureStepStartDateTime = date_time(item.claimed_at or item.received_at)
    step.PerformedProcedureStepEndDateTime = date_time(datetime.fromisoformat(item.ending["at"]))
    step.PerformedWorkitemCodeSequence = [workitem_code(settings.work_items)]
    step.OutputInformationSequence = [_output(output) for output in item.ending["outputs"]]
    ds.UnifiedProcedureStepPerformedProcedureSequence = [step]
    return ds


def _output(output: Mapping[str, Any]) -> Dataset:
    """Return an item of the Referenced Instances and Access Macro (PS3.3 Table 10-3b): one series at one place."""
    item = Dataset()
    item.TypeOfInstances = "DICOM"
    item.StudyInstanceUID, item.SeriesInstanceUID = output["study"], output["series"]
    item.ReferencedSOPSequence = [_reference(*instance) for instance in output["instances"]]
    access = Dataset()
    if output["url"]:
        access.RetrieveURL = f"{output['url'].rstrip('/')}/studies/{output['study']}/series/{output['series']}"
        item.WADORSRetrievalSequence = [access]
    else:
        access.RetrieveAETitle = output["ae_title"]
        item.DICOMRetrievalSequence = [access]
    return item


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return reference


def availability(outputs: Iterable[Mapping[str, Any]], study_instance_uid: str) -> Dataset:
    """Return an Instance Availability Notification (PS3.4 Annex R): these instances are online at their PACS.

    Parameters
    ----------
    outputs : iterable of mapping
        As in `WorkItem.ending`: one for each series.
    study_instance_uid : str
        Study of all of them.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = UTF_8
    ds.ReferencedPerformedProcedureStepSequence = []  # no modality performed step made them
    ds.StudyInstanceUID = study_instance_uid
    ds.ReferencedSeriesSequence = [_available_series(output) for output in outputs]
    return ds


def _available_series(output: Mapping[str, Any]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = output["series"]
    series.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in output["instances"]:
        item = _reference(sop_class_uid, sop_instance_uid)
        item.InstanceAvailability, item.RetrieveAETitle = "ONLINE", output["ae_title"]
        series.ReferencedSOPSequence.append(item)
    return series


def as_data_set(item: WorkItem, settings: Settings) -> Dataset:
    """Return a pushed work item as it is now, without its Transaction UID (PS3.4 section CC.2.7).

    Parameters
    ----------
    item : WorkItem
        With the attributes that it was created with.
    settings : Settings
        As of `performed`.
    """
    ds = Dataset.from_json(item.attributes)
    if _TRANSACTION_UID in ds:
        del ds[_TRANSACTION_UID]
    ds.update(performed(item, settings))
    ds.SOPClassUID, ds.SOPInstanceUID, ds.ProcedureStepState = PUSH, item.uid, str(item.state)
    return ds


def selected(ds: Dataset, tags: Iterable[int]) -> Dataset:
    """Return the attributes that a request names.

    Parameters
    ----------
    ds : Dataset
        All attributes.
    tags : iterable of int
        Of the attributes that are wanted; empty: all of them.
    """
    wanted = set(tags)
    chosen = Dataset()
    for element in ds:
        if not wanted or element.tag in wanted:
            chosen.add(element)
    if "SpecificCharacterSet" in ds:
        chosen.SpecificCharacterSet = ds.SpecificCharacterSet
    return chosen


def matches(ds: Dataset, query: Dataset) -> bool:
    """Return whether a work item matches a query; of a sequence, one item has to match (PS3.4 C.2.2.2.6).

    Parameters
    ----------
    ds : Dataset
        The work item.
    query : Dataset
        Identifier of a C-FIND request.
    """
    for key in query:
        if key.keyword == "SpecificCharacterSet" or key.is_empty:
            continue
        if key.VR == "SQ":
            items = ds[key.tag].value if key.tag in ds else Sequence()
            if any(key.value) and not any(matches(item, key.value[0]) for item in items or [Dataset()]):
                return False
        elif not value_matches(str(ds[key.tag].value) if key.tag in ds else "", key):
            return False
    return True


def response_to(ds: Dataset, query: Dataset) -> Dataset:
    """Return the identifier of a match.

    Parameters
    ----------
    ds : Dataset
        The work item.
    query : Dataset
        Identifier of the request.

    Returns
    -------
    Dataset
        Every key of the query, empty where the work item has no value.
    """
    response = selected(ds, [key.tag for key in query])
    for key in query:
        if key.tag not in response:
            response.add_new(key.tag, key.VR, None)
    response.SOPClassUID, response.SOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return response


def date_time(at: datetime) -> str:
    """Return an aware time as DT, with its offset from UTC."""
    return at.strftime("%Y%m%d%H%M%S.%f%z")
