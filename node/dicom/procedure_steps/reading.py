"""Read what a requester or a worklist manager says about a work item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from config.settings import WorkItemSettings
from node.store.names import is_uid

LARGEST_BYTES = 500_000  # of a work item as JSON: it references instances, and contains none
LONGEST_PATIENT_ID = 255  # as its column


@dataclass(frozen=True)
class StepRequest:
    """What a work item asks for.

    Attributes
    ----------
    code : (str, str)
        Scheduled Workitem Code and its coding scheme designator; empty where it has none.
    inputs : tuple of dict
        ``{"study": UID, "series": [UID, ...]}`` for each study, in order of appearance.
    patient_id, issuer : str
        Empty where it names none.
    """

    code: tuple[str, str]
    inputs: tuple[dict[str, Any], ...]
    patient_id: str
    issuer: str

    def is_for(self, settings: WorkItemSettings) -> bool:
        """Return whether the code is that of the work items which this node performs."""
        return self.code == (settings.code, settings.code_scheme)


def read_request(ds: Dataset) -> StepRequest:
    """Return what a work item asks for.

    Parameters
    ----------
    ds : Dataset
        Attributes of the work item.
    """
    code = next(iter(ds.get("ScheduledWorkitemCodeSequence") or ()), Dataset())
    return StepRequest(
        code=(_text(code, "CodeValue"), _text(code, "CodingSchemeDesignator")),
        inputs=tuple(_inputs(ds.get("InputInformationSequence") or ())),
        patient_id=_text(ds, "PatientID")[:LONGEST_PATIENT_ID],
        issuer=_text(ds, "IssuerOfPatientID")[:LONGEST_PATIENT_ID],
    )


def _inputs(items: Iterable[Dataset]) -> list[dict[str, Any]]:
    series_of: dict[str, dict[str, None]] = {}
    for item in items:
        study, series = _text(item, "StudyInstanceUID"), _text(item, "SeriesInstanceUID")
        if is_uid(study):
            known = series_of.setdefault(study, {})
            if is_uid(series):
                known[series] = None
    return [{"study": study, "series": list(series)} for study, series in series_of.items()]


def reason_of_request(ds: Dataset | None) -> dict[str, Any]:
    """Return why a cancellation is requested.

    Parameters
    ----------
    ds : Dataset or None
        Action or event information.

    Returns
    -------
    dict
        ``because`` (empty where nothing is said) and ``code``, [value, scheme, meaning] or None.
    """
    said = ds or Dataset()
    code = next(iter(said.get("ProcedureStepDiscontinuationReasonCodeSequence") or ()), None)
    keywords = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    return {
        "because": str(said.get("ReasonForCancellation") or "").strip(),
        "code": [_text(code, keyword) for keyword in keywords] if code is not None else None,
    }


def _text(ds: Dataset, keyword: str) -> str:
    return str(ds.get(keyword) or "").strip()
