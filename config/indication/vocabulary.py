"""Names that all rooms share: treatment arms, series roles, biomarker categories, conditions of use, endpoints."""

from __future__ import annotations

from enum import StrEnum


class TreatmentArm(StrEnum):
    """The two regimens that the nomogram compares."""

    ICT_CCRT = "ICT+CCRT"
    CCRT = "CCRT"


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
