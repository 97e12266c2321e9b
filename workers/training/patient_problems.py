"""Why patients of a cohort cannot be learned from: one row for each problem, in words that an operator can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from config.errors import InputError

WHOLE_TABLE = ""

# Reason codes of the service -> what was expected, and what to do in a folder of training images.
_IMAGES = {
    "missing_series": ("one T1w, one T2w and one CE-T1w series", "add the missing series to the folder"),
    "ambiguous_series": ("one series of each role", "leave the right series in the folder"),
    "missing_contour": ("an RTSTRUCT or SEG of the primary tumour", "add it to the folder"),
    "no_matching_roi": ("an ROI of the primary tumour", "rename the ROI, or add its name to [case] roi_names"),
    "ambiguous_roi": ("one contour of the primary tumour", "leave the right contour in the folder"),
    "frame_of_reference_mismatch": (
        "a contour in the frame of reference of the MR",
        "add the rigid registration or a contour on this MR",
    ),
    "contour_not_covered": ("images around the whole contour", "add the whole series, or correct the contour"),
    "contour_outside_image": ("a contour inside the images", "add a contour of this MR"),
    "contour_in_organ": ("a tumour contour outside the organs", "correct the contour"),
    "implausible_volume": ("a plausible tumour volume", "correct the contour"),
    "missing_slice": ("evenly spaced slices without a gap", "copy the whole series again"),
    "inconsistent_geometry": ("parallel, evenly spaced slices", "copy the series again, or choose another one"),
    "conflicting_instance": ("one content for each UID", "remove the wrong files"),
    "unreadable_instance": ("files that can be read to their end", "copy the file again"),
    "identity_mismatch": ("images and contour of one patient", "remove the other patient's files"),
    "missing_images": ("images of the patient", "copy them there, or correct the patient_id"),
    "several_studies": ("MR series of one study", "leave the study before treatment in the folder"),
    "wrong_patches": ("saved patches of all three series", "cut the patches again"),
    "duplicate_images": ("images of one patient in one place", "find out whose they are, and remove the others"),
}
_OTHER_IMAGES = ("images and a contour that the service would accept", "correct them")


@dataclass(frozen=True)
class PatientProblem:
    """One reason why a patient cannot be used.

    Attributes
    ----------
    patient_id : str
        `WHOLE_TABLE` where no single patient is to blame.
    kind : str
        A code, by which problems are counted: a reason code of the service, or that of a cell.
    expected, found, action : str
        In words; what to do besides leaving the patient out.
    """

    patient_id: str
    kind: str
    expected: str
    found: str
    action: str

    def to_json(self) -> dict[str, str]:
        """Return the contract's JSON."""
        return asdict(self)


class UnusableImagesError(InputError):
    """The images of one patient cannot be used; `problem` says why."""

    def __init__(self, problem: PatientProblem) -> None:
        super().__init__(f"patient {problem.patient_id}: expected {problem.expected}, found {problem.found}")
        self.problem = problem

    def __reduce__(self) -> tuple[type[UnusableImagesError], tuple[PatientProblem]]:
        # An error crosses processes by its arguments, which are otherwise those of Exception.
        return type(self), (self.problem,)


def image_problem(patient_id: str, kind: str, found: str, expected: str | None = None) -> PatientProblem:
    """Return the problem of a patient's images.

    Parameters
    ----------
    patient_id : str
        The patient.
    kind : str
        A reason code of the service, or one of this module.
    found : str
        In words.
    expected : str, optional
        Where it can be said more exactly than the code does.
    """
    words, action = _IMAGES.get(kind, _OTHER_IMAGES)
    return PatientProblem(patient_id, kind, expected or words, found, action)


def counts_by_kind(problems: Sequence[PatientProblem]) -> dict[str, int]:
    """Return the number of patients by their first problem, which names nobody.

    Returns
    -------
    dict of str to int
        Sorted by kind; the numbers add up to the number of patients.
    """
    first: dict[str, str] = {}
    for problem in problems:
        first.setdefault(problem.patient_id, problem.kind)
    return dict(sorted(Counter(first.values()).items()))
