"""Names that all rooms share: treatment arms, answers, severities, series roles, biomarker categories, conditions."""

from __future__ import annotations

from enum import StrEnum


class TreatmentArm(StrEnum):
    """The two regimens that the nomogram compares."""

    ICT_CCRT = "ICT+CCRT"
    CCRT = "CCRT"


class Answer(StrEnum):
    """What the model says about the two regimens: one of them, or that their difference is not reliable."""

    ICT_CCRT = TreatmentArm.ICT_CCRT.value
    CCRT = TreatmentArm.CCRT.value
    NO_RELIABLE_DIFFERENCE = "no_reliable_difference"

    @property
    def arm(self) -> TreatmentArm | None:
        """The recommended regimen; None for "no reliable difference"."""
        return None if self is Answer.NO_RELIABLE_DIFFERENCE else TreatmentArm(self.value)


class AnswerRule(StrEnum):
    """What decides the answer: the 95 % interval of the difference, or the bare difference."""

    INTERVAL = "interval"
    POINT = "point"


class AnswerGround(StrEnum):
    """Why an answer is what it is; the first four are grounds of "no reliable difference"."""

    NOT_VALID = "not_valid"
    NO_INTERVAL = "no_interval"
    INTERVAL_INCLUDES_THRESHOLD = "interval_includes_threshold"
    NOT_STABLE = "not_stable"
    INTERVAL_EXCLUDES_THRESHOLD = "interval_excludes_threshold"
    POINT_DIFFERENCE = "point_difference"


class Severity(StrEnum):
    """What a reason, warning, finding or condition does to the result, the gravest first."""

    BLOCKS = "blocks"
    INVALIDATES = "invalidates"
    CAUTIONS = "cautions"
    NOTES = "notes"

    @property
    def rank(self) -> int:
        """0 for the gravest: lists are sorted by it, so that what matters most is read first."""
        return tuple(Severity).index(self)


class ReportStatus(StrEnum):
    """Whether a report is the valid one of its study."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class SeriesRole(StrEnum):
    """The three MR sequences of the method, in the order in which reports list them."""

    T1W = "T1w"
    T2W = "T2w"
    CE_T1W = "CE-T1w"

    @property
    def file_stem(self) -> str:
        """The role in names of files, for example ``ce_t1w``."""
        return self.value.lower().replace("-", "_")


class EbvCategory(StrEnum):
    """Side of the EBV DNA threshold."""

    ABOVE = ">threshold"
    NOT_ABOVE = "<=threshold"
    UNKNOWN = "unknown"


class Condition(StrEnum):
    """The conditions of use of the model, in the order in which reports list them."""

    DISEASE = "disease"
    STAGE = "stage"
    TREATMENT_NAIVE = "treatment_naive"
    PRIOR_MALIGNANCY = "prior_malignancy"
    MR_AGE = "mr_age"
    CONTRAST = "contrast"
    CONTOUR_APPROVED = "contour_approved"
    CONTOUR_DATE = "contour_date"
    EBV_DNA_WINDOW = "ebv_dna_window"
    EBV_DNA_ASSAY = "ebv_dna_assay"
    MODEL_RANGE = "model_range"
    INTERVAL = "interval"
    MODEL_ADMISSION = "model_admission"
    TRIAL_EVIDENCE = "trial_evidence"


class ConditionState(StrEnum):
    """Whether a condition of use is fulfilled, not fulfilled, or was not checked."""

    MET = "met"
    NOT_MET = "not_met"
    NOT_CHECKED = "not_checked"


class Endpoint(StrEnum):
    """Survival endpoints; the values are the prefixes of a cohort's columns (``dfs_days``, ``dfs_event``)."""

    DFS = "dfs"
    OS = "os"
    DMFS = "dmfs"
    LRRFS = "lrrfs"
