"""How grave each reason, warning, quality finding and condition of use is: one table for all outputs.

``blocks``: nothing is computed, or the study is held. ``invalidates``: numbers are computed and shown, and the answer
is "no reliable difference", because the model does not hold for this patient. ``cautions``: to be weighed by the
reader. ``notes``: needs no action. A code that a setting makes a warning instead of a refusal has the severity of the
warning; whatever is among the reasons of a refusal blocks.
"""

from __future__ import annotations

from collections.abc import Iterable

from config.indication.vocabulary import Condition, ConditionState, Severity

_CODES: dict[Severity, tuple[str, ...]] = {
    Severity.BLOCKS: (
        "missing_series", "ambiguous_series", "missing_contour", "no_matching_roi", "ambiguous_roi",
        "frame_of_reference_mismatch", "contour_not_covered", "identity_mismatch", "contour_outside_image",
        "missing_slice", "inconsistent_geometry", "conflicting_instance", "unreadable_instance", "administrator_hold",
        "stage_not_eligible", "diagnosis_unknown", "diagnosis_not_eligible", "age_unknown", "ebv_dna_unusable",
        "mr_too_old", "prior_treatment", "contour_in_organ", "model_not_permitted", "model_bundle", "worker_lost",
        "artefacts_gone", "out_of_space", "superseded", "cannot_compute", "unexpected", "invalid_report", "cancelled",
        "withdrawn_by_person", "bundle_recalled", "images_removed",
    ),
    # What is outside the training cohort, or is no image of what the model was made for, where the site only warns.
    Severity.INVALIDATES: (
        "out_of_distribution", "extrapolated", "implausible_volume", "implausible_location", "not_an_image",
        "not_a_head", "slices_out_of_order", "series_do_not_match", "no_contrast", "contour_does_not_fit",
        # Conditions of use that are not met: the inclusion criteria of the model.
        Condition.DISEASE, Condition.STAGE, Condition.TREATMENT_NAIVE, Condition.PRIOR_MALIGNANCY, Condition.MR_AGE,
        Condition.CONTRAST, Condition.MODEL_RANGE,
    ),
    Severity.CAUTIONS: (
        # A question that holds the study until an operator has answered it; then the answer is a warning.
        "diagnosis_contradiction", "region_contradiction", "treatment_response", "contour_adaptive",
        "contour_not_contemporary", "patient_merged",
        "stage_unknown", "stage_not_used", "extranodal_extension", "later_fact", "treatment_start_differs",
        "ebv_dna_unknown", "ebv_dna_near_threshold", "ebv_dna_later_unusable", "mr_age_unknown",
        "birth_date_differs", "patient_age_differs", "plausibility_not_checked",
        "contour_not_approved", "newer_contour", "organ_overlap", "contour_beyond_image", "contour_gap",
        "contour_holes", "contour_names_other_slice", "contour_registered", "registration_applied",
        "contours_ignored", "contours_overlap", "frame_of_reference_absent", "several_structure_sets",
        "lossy_compression", "series_joined", "volume_of_series", "thick_slices",
        Condition.CONTOUR_APPROVED, Condition.CONTOUR_DATE, Condition.EBV_DNA_WINDOW, Condition.EBV_DNA_ASSAY,
        Condition.INTERVAL, Condition.MODEL_ADMISSION, Condition.TRIAL_EVIDENCE,
    ),
    Severity.NOTES: (
        "contour_resampled", "contours_repeated", "volume_of_voxels", "duplicate_slice", "frames_left_out",
        "monochrome1", "ebv_dna_converted", "header_value", "nonconforming_encoding",
        "font_missing",
    ),
}  # fmt: skip

SEVERITIES: dict[str, Severity] = {str(code): severity for severity, codes in _CODES.items() for code in codes}
"""Severity by code; of a condition of use the one that it has where it is not met."""


def severity_of(code: str) -> Severity:
    """Return the severity of a reason, warning or finding; a code that is not in the table is a caution.

    Parameters
    ----------
    code : str
        A stable code, possibly of another version of the program.
    """
    return SEVERITIES.get(code, Severity.CAUTIONS)


def condition_severity(condition: Condition, state: ConditionState) -> Severity:
    """Return what the state of a condition of use does to the result.

    Parameters
    ----------
    condition : Condition
        Which one.
    state : ConditionState
        Only one that is not met can invalidate; one that was not checked cautions.
    """
    if state is ConditionState.NOT_MET:
        return SEVERITIES[condition.value]
    return Severity.CAUTIONS if state is ConditionState.NOT_CHECKED else Severity.NOTES


def invalidates(severities: Iterable[Severity]) -> bool:
    """Return whether any of the severities takes the recommendation's place."""
    return any(severity.rank <= Severity.INVALIDATES.rank for severity in severities)
