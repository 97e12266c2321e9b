"""Names and numbers of an evaluation as tables and figures show them."""

from __future__ import annotations

from collections.abc import Sequence

from config.indication.nasopharynx import NASOPHARYNX
from workers.validation.survival_comparison import SurvivalComparison

ENDPOINT_NAMES = {
    "dfs": "Disease-free survival",
    "os": "Overall survival",
    "dmfs": "Distant metastasis-free survival",
    "lrrfs": "Locoregional relapse-free survival",
}
MODEL_NAMES = {
    "cptdn": "CPTDN",
    "clinical_all": "Clinical (all)",
    "clinical_ccrt": "Clinical (CCRT)",
    "clinical_ict_ccrt": "Clinical (ICT+CCRT)",
    "prognostic_score": "Prognostic-score",
    "clinical_prognostic_score": "Clinical + Prognostic-score",
    "scores": "Both scores",
}
FACTOR_NAMES = {
    "age_years": "Age (years)",
    "sex": "Sex",
    "sex_male": "Sex, male",
    "treatment": "Treatment",
    "treatment_ict": "ICT+CCRT",
    "tumour_volume_ml": "Tumour volume (mL)",
    "ebv_dna_gt_4000": f"EBV DNA > {NASOPHARYNX.biomarker.threshold:g} copies/mL",
    "prognostic_score": "Prognostic-score",
    "predictive_score": "Predictive-score",
    "predictive_score:treatment_ict": "Predictive-score x ICT+CCRT",
    "haemoglobin_abnormal": "Haemoglobin abnormal",
    "albumin_abnormal": "Albumin abnormal",
    "crp_abnormal": "CRP abnormal",
    "ldh_abnormal": "LDH abnormal",
    "who_type_iii": "WHO type III",
    "family_history": "Family history",
}
SUBGROUP_NAMES = {
    "age_years": "Age (years)",
    "tumour_volume_ml": "Tumour volume (mL)",
    "field_strength_3t": "3 T",
    "crp_abnormal": "CRP abnormal",
    "smoking": "Smoking",
    "family_history": "Family history",
}


def factor_name(column: str) -> str:
    """Return the name of a factor: from the table, else made from its column name."""
    return FACTOR_NAMES.get(column, column.replace("_", " ").capitalize())


def p_cell(p: float) -> str:
    """Return a p value for a table cell: ``0.012`` or ``<0.001``."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_text(p: float) -> str:
    """Return a p value for running text: ``p = 0.012`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def interval_text(value: float, ends: Sequence[float], decimals: int = 2) -> str:
    """Return a value with the ends of its interval: ``0.21 (0.11 to 0.38)``.

    Parameters
    ----------
    value : float
        The estimate.
    ends : pair of float
        Lower and upper end.
    decimals : int
        Of all three numbers.

    Returns
    -------
    str
        As journals print it; "to" and no hyphen, since the ends can be negative.
    """
    return f"{value:.{decimals}f} ({ends[0]:.{decimals}f} to {ends[1]:.{decimals}f})"


def comparison_text(comparison: SurvivalComparison, separator: str = "\n") -> str:
    """Return hazard ratio and log-rank p of a comparison.

    Parameters
    ----------
    comparison : SurvivalComparison
        Where no hazard ratio can be estimated, the reason is given instead.
    separator : str
        Between the two: a line break in figures, a comma in running text.
    """
    # The log-rank test exists where the hazard ratio diverges, so its p is given in both cases.
    p = f"log-rank {p_text(comparison.log_rank.p)}" if comparison.log_rank else "log-rank not defined"
    if comparison.fit is None:
        return f"HR not estimable ({comparison.reason}){separator}{p}" if comparison.reason else p
    low, high = comparison.fit.hazard_ratio_ci95[0]
    return f"HR {comparison.fit.hazard_ratios[0]:.2f} (95 % CI {low:.2f} to {high:.2f}){separator}{p}"
