"""Every code that the objects contain, with its meaning and its source; no other module writes a code.

Public codes are from DCM (PS3.16 Annex D), SCT (SNOMED CT as used in PS3.16), LOINC, UCUM, UMLS and RFC 5646. Where no
public code was found (DFS probability, the two regimens, nomogram points, the two scores), the private scheme 99CPTDN
is used; it is declared in the Coding Scheme Identification Sequence of every object.
The codes of a horizon are derived from its months, so that a model with other horizons than 36 and 60 has codes, too:
``DFS_<months>`` and ``DIFF_<months>``, each with ``_LOW`` and ``_HIGH`` for the ends of its 95 % interval. With at most
four digits of months they have at most 16 characters (VR SH of Code Value).
Meanings have at most 64 characters (VR LO) and name the unit of time or the category where a reader needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from highdicom.coding_schemes import CodingSchemeIdentificationItem as SchemeItem
from highdicom.sr import CodedConcept

from config.indication.conventions import whole_years
from config.indication.vocabulary import (
    Answer,
    AnswerGround,
    AnswerRule,
    Condition,
    ConditionState,
    EbvCategory,
    SeriesRole,
    TreatmentArm,
)

PRIVATE_SCHEME = "99CPTDN"
PRIVATE_SCHEME_UID = "2.25.324273081584558895343000411411136428078"
PRIVATE_SCHEME_VERSION = "1"

FHIR_SYSTEMS = {
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    PRIVATE_SCHEME: f"urn:oid:{PRIVATE_SCHEME_UID}",
}

PS3_16 = "PS3.16 Annex D"
CID = "PS3.16 context groups"
PAPER = "Zhong et al., EBioMedicine 2021;70:103522"
MCODE = "HL7 mCODE TNM value sets (SNOMED CT)"
OURS = "this software"


@dataclass(frozen=True)
class Concept:
    """One code.

    Attributes
    ----------
    value, scheme, meaning : str
        Code Value, Coding Scheme Designator and Code Meaning (PS3.3 8.8).
    source : str
        The document that defines the code, or the quantity that a private code names.
    """

    value: str
    scheme: str
    meaning: str
    source: str

    @property
    def code(self) -> CodedConcept:
        """The code as an item of a code sequence."""
        return CodedConcept(self.value, self.scheme, self.meaning)

    @property
    def system(self) -> str:
        """The URI that FHIR uses for the scheme."""
        return FHIR_SYSTEMS[self.scheme]

    @property
    def key(self) -> tuple[str, str]:
        """Value and scheme, which identify the code; the meaning may differ between versions and languages."""
        return self.value, self.scheme


def _dcm(value: str, meaning: str) -> Concept:
    return Concept(value, "DCM", meaning, PS3_16)


def _sct(value: str, meaning: str, source: str = CID) -> Concept:
    return Concept(value, "SCT", meaning, source)


def _ours(value: str, meaning: str, source: str = OURS) -> Concept:
    return Concept(value, PRIVATE_SCHEME, meaning, source)


def _unit(value: str, meaning: str) -> Concept:
    return Concept(value, "UCUM", meaning, "UCUM")


# Document
ONCOLOGY_MEASUREMENT_REPORT = _dcm("126001", "Oncology Measurement Report")
PROCEDURE_REPORTED = _dcm("121058", "Procedure reported")
DEVICE = _dcm("121007", "Device")
MR_IMAGING = Concept("25056-3", "LN", "MRI unspecified body region", "CID 100")
LANGUAGE = _dcm("121049", "Language of Content Item and Descendants")
LANGUAGES = {
    "en": Concept("en", "RFC5646", "English", "RFC 5646"),
    "zh": Concept("zh-CN", "RFC5646", "Chinese (China)", "RFC 5646"),
}

# Containers
QUALITATIVE_EVALUATIONS = Concept("C0034375", "UMLS", "Qualitative Evaluations", "TID 1500")
IMAGE_LIBRARY = _dcm("111028", "Image Library")
IMAGE_LIBRARY_GROUP = _dcm("126200", "Image Library Group")
IMAGING_MEASUREMENTS = _dcm("126010", "Imaging Measurements")
MEASUREMENT_GROUP = _dcm("125007", "Measurement Group")
DETAILS = _ours("DETAILS", "Details of the computation")
CLINICAL_FACT = _ours("CLINICAL_FACT", "Clinical fact and its source")
SERIES_USED = _ours("SERIES_USED", "MR series used")
CONTOUR_USED = _ours("CONTOUR_USED", "Contour used")
ALGORITHM_IDENTIFICATION = _ours("ALGORITHM", "Algorithm that computed the result")

# Tracking and image library
TRACKING_IDENTIFIER = _dcm("112039", "Tracking Identifier")
TRACKING_UID = _dcm("112040", "Tracking Unique Identifier")
MODALITY = _dcm("121139", "Modality")
MAGNETIC_RESONANCE = _dcm("MR", "Magnetic Resonance")
FRAME_OF_REFERENCE_UID = _dcm("112227", "Frame of Reference UID")
SERIES_INSTANCE_UID = _dcm("112002", "Series Instance UID")
STUDY_INSTANCE_UID = _dcm("110180", "Study Instance UID")
STUDY_DATE = _dcm("111060", "Study Date")
SOURCE_IMAGE = _sct("260753009", "Source")

# The result
OUTCOME = _ours("OUTCOME", "Result of the computation")
NOT_COMPUTED = _ours("NOT_COMPUTED", "Not computed")
WITHDRAWN = _ours("WITHDRAWN", "WITHDRAWN - do not use any earlier result of this study")
WITHDRAWAL = _ours("WITHDRAWAL", "Withdrawal of the result")
WITHDRAWN_SINCE = _ours("WITHDRAWN_SINCE", "Withdrawn since")
WITHDRAWN_BY = _ours("WITHDRAWN_BY", "Withdrawn by")
WITHDRAWN_BECAUSE = _ours("WITHDRAWN_WHY", "Reason of the withdrawal")
REPLACED = _ours("REPLACED", "Report that is replaced and superseded")
RECOMMENDED_REGIMEN = _ours("RECOMMENDED", "Recommended regimen", PAPER)
RECOMMENDED_BY_CATEGORY = {
    EbvCategory.NOT_ABOVE: _ours("RECOMMENDED_LE", "Recommended regimen if EBV DNA is not above threshold", PAPER),
    EbvCategory.ABOVE: _ours("RECOMMENDED_GT", "Recommended regimen if EBV DNA is above threshold", PAPER),
    EbvCategory.UNKNOWN: _ours("RECOMMENDED_UK", "Recommended regimen, EBV DNA unknown", PAPER),
}
REGIMENS = {
    TreatmentArm.ICT_CCRT: _ours("ICT_CCRT", "ICT+CCRT: induction, then concurrent chemoradiotherapy", PAPER),
    TreatmentArm.CCRT: _ours("CCRT", "CCRT: concurrent chemoradiotherapy alone", PAPER),
}
# An answer that names a regimen has the regimen's code; the third answer and the grounds are derived in
# `config/answer.py`, from the displayed difference, its displayed interval and the site's threshold.
DECISION = "config/answer.py of this software"
ANSWERS = {
    Answer.ICT_CCRT: REGIMENS[TreatmentArm.ICT_CCRT],
    Answer.CCRT: REGIMENS[TreatmentArm.CCRT],
    Answer.NO_RELIABLE_DIFFERENCE: _ours("NO_RELIABLE_DIFF", "No reliable difference", DECISION),
}
GROUND = _ours("GROUND", "Ground of the recommendation", DECISION)
GROUNDS = {
    AnswerGround.NOT_VALID: _ours("G_NOT_VALID", "The result is not valid for this patient", DECISION),
    AnswerGround.NO_INTERVAL: _ours("G_NO_INTERVAL", "The difference has no 95 % CI", DECISION),
    AnswerGround.INTERVAL_INCLUDES_THRESHOLD: _ours("G_INCLUDES", "95 % CI includes the threshold", DECISION),
    AnswerGround.NOT_STABLE: _ours("G_NOT_STABLE", "The answer holds in too few recomputations", DECISION),
    AnswerGround.INTERVAL_EXCLUDES_THRESHOLD: _ours("G_EXCLUDES", "95 % CI excludes the threshold", DECISION),
    AnswerGround.POINT_DIFFERENCE: _ours("G_POINT", "The difference without its 95 % CI decides", DECISION),
}
REGIMENS_DIFFER = _ours("DEPENDS", "Depends on the EBV DNA category", PAPER)
REGIMEN = _ours("REGIMEN", "Regimen", PAPER)

# Use, reasons and summary
PERMITTED_USE = _ours("PERMITTED_USE", "Permitted use of this result")
DEMONSTRATION_ONLY = _ours("DEMONSTRATION", "DEMONSTRATION ONLY - not for clinical use")
AS_INTENDED = _ours("AS_INTENDED", "As stated under intended use")
WARNING = _ours("WARNING", "Warning")
REFUSAL = _ours("REFUSAL", "Reason why not computed")
QUALITY_FINDING = _ours("QUALITY", "Quality finding")
INTENDED_USE = _ours("INTENDED_USE", "Intended use")
TRAINING_POPULATION = _ours("TRAINING", "Training population")
CONDITIONS_OF_USE = _ours("CONDITIONS", "Conditions of use of the model")
CONDITION_OF_USE = _ours("CONDITION", "Condition of use")
CONDITION = _ours("CONDITION_NAME", "Condition")
CONDITION_STATE = _ours("CONDITION_STATE", "State of the condition")
CONDITION_GROUNDS = _ours("CONDITION_TEXT", "Grounds of the state")
CONDITIONS = {
    Condition.DISEASE: _ours("C_DISEASE", "Disease of the model", PAPER),
    Condition.STAGE: _ours("C_STAGE", "Stage of the model", PAPER),
    Condition.TREATMENT_NAIVE: _ours("C_NAIVE", "No treatment before the MR", PAPER),
    Condition.PRIOR_MALIGNANCY: _ours("C_MALIGNANCY", "No earlier malignancy", PAPER),
    Condition.MR_AGE: _ours("C_MR_AGE", "MR shortly before treatment", PAPER),
    Condition.CONTRAST: _ours("C_CONTRAST", "Contrast agent in the CE-T1w", PAPER),
    Condition.CONTOUR_APPROVED: _ours("C_APPROVED", "Contour approved"),
    Condition.CONTOUR_DATE: _ours("C_CONTOUR_DATE", "Contour of the same time as the MR"),
    Condition.EBV_DNA_WINDOW: _ours("C_EBV_WINDOW", "EBV DNA before treatment, near the MR", PAPER),
    Condition.EBV_DNA_ASSAY: _ours("C_EBV_ASSAY", "EBV DNA assay comparable to that of the cohort"),
    Condition.MODEL_RANGE: _ours("C_RANGE", "Patient within the range of the training cohort"),
    Condition.INTERVAL: _ours("C_INTERVAL", "Interval contains the uncertainty of the scores"),
    Condition.MODEL_ADMISSION: _ours("C_ADMISSION", "Figures of the model on unseen patients"),
    Condition.TRIAL_EVIDENCE: _ours("C_TRIALS", "Mean effect in agreement with randomised trials"),
}
CONDITION_STATES = {
    ConditionState.MET: _ours("MET", "Met"),
    ConditionState.NOT_MET: _ours("NOT_MET", "Not met"),
    ConditionState.NOT_CHECKED: _ours("NOT_CHECKED", "Not checked"),
}
SUMMARY = _dcm("121111", "Summary")
FINDING = _dcm("121071", "Finding")

# EBV DNA, stage, age
EBV_CATEGORY = _ours("EBV_CATEGORY", "Plasma EBV DNA before treatment, category", PAPER)
EBV_CATEGORIES = {
    EbvCategory.ABOVE: _ours("EBV_ABOVE", "Above threshold", PAPER),
    EbvCategory.NOT_ABOVE: _ours("EBV_NOT_ABOVE", "Not above threshold", PAPER),
    EbvCategory.UNKNOWN: _ours("EBV_UNKNOWN", "Unknown", PAPER),
}
EBV_ASSUMED = _ours("EBV_ASSUMED", "EBV DNA category of these numbers", PAPER)
EBV_COPIES = _ours("EBV_COPIES", "Plasma EBV DNA before treatment", PAPER)
EBV_AS_GIVEN = _ours("EBV_AS_GIVEN", "Plasma EBV DNA as the laboratory wrote it")
EBV_THRESHOLD = _ours("EBV_THRESHOLD", "Plasma EBV DNA threshold", PAPER)
# cT, cN and cM are those of HL7's mCODE value sets. Only T3, N1, M0 and the N3 of the 9th edition have a code here: a
# study of another stage is not scored, and its refusal names the categories as text.
CLINICAL_T = _sct("399504009", "cT category", MCODE)
CLINICAL_N = _sct("399534004", "cN category", MCODE)
CLINICAL_M = _sct("399387003", "cM category", MCODE)
STAGING_SYSTEM = _ours("STAGING_SYSTEM", "Staging system")
STAGING_SYSTEMS = {
    "7": _sct("443830009", "AJCC Cancer Staging Manual, 7th edition", MCODE),
    "8": _sct("897275008", "AJCC Cancer Staging Manual, 8th edition", MCODE),
    "9": _sct("1269566009", "AJCC Cancer Staging Manual, 9th version", MCODE),
}
# No public code names a stage group together with its edition.
STAGE_GROUPS = {
    "7": _ours("STAGE_GROUP_7", "Stage group, AJCC/UICC 7th edition"),
    "8": _ours("STAGE_GROUP_8", "Stage group, AJCC/UICC 8th edition"),
    "9": _ours("STAGE_GROUP_9", "Stage group, AJCC/UICC 9th edition"),
}
STAGE_GROUP_IF_EXTENDED = _ours("STAGE_GROUP_9ENE", "Stage group, 9th edition, if advanced extranodal extension")
EXTRANODAL_EXTENSION = _ours("EXTRANODAL", "Advanced extranodal extension")
STAGE_GROUP_VALUES = {
    "0": _sct("1222605001", "AJCC stage 0", MCODE),
    "I": _sct("1222723001", "AJCC stage I", MCODE),
    "IA": _sct("1222724007", "AJCC stage IA", MCODE),
    "IB": _sct("1222728005", "AJCC stage IB", MCODE),
    "II": _sct("1222765007", "AJCC stage II", MCODE),
    "III": _sct("1222801008", "AJCC stage III", MCODE),
    "IV": _sct("1222837003", "AJCC stage IV", MCODE),
    "IVA": _sct("1222838008", "AJCC stage IVA", MCODE),
    "IVB": _sct("1222841004", "AJCC stage IVB", MCODE),
    "IVC": _sct("1222842006", "AJCC stage IVC", MCODE),
}
STAGE_CODES = {
    "T3": _sct("1228938002", "AJCC cT3", MCODE),
    "N1": _sct("1229973008", "AJCC cN1", MCODE),
    "N3": _sct("1229984001", "AJCC cN3", MCODE),
    "M0": _sct("1229901006", "AJCC cM0", MCODE),
}
STAGE_VERIFIED = _ours("STAGE_VERIFIED", "Stage confirmed as eligible")
YES = _sct("373066001", "Yes", "CID 231")
NO = _sct("373067005", "No", "CID 231")
SUBJECT_AGE = _dcm("121033", "Subject Age")

# Scores, points, tumour
PROGNOSTIC_SCORE = _ours("PROGNOSTIC", "Prognostic-score (higher: higher risk)", PAPER)
PREDICTIVE_SCORE = _ours("PREDICTIVE", "Predictive-score (lower favours ICT+CCRT)", PAPER)
MODELS = _ours("MODELS", "Models whose scores are averaged")
PROGNOSTIC_SE = _ours("PROGNOSTIC_SE", "Prognostic-score, standard error")
PREDICTIVE_SE = _ours("PREDICTIVE_SE", "Predictive-score, standard error")
SCORES_CORRELATION = _ours("SCORES_CORR", "Correlation of the errors of both scores")
SCORES_DF = _ours("SCORES_DF", "Degrees of freedom of the errors of both scores")
TOTAL_POINTS = _ours("POINTS_TOTAL", "Nomogram points, total", PAPER)
POINTS = {
    "age": _ours("POINTS_AGE", "Nomogram points, age", PAPER),
    "ebv_dna": _ours("POINTS_EBV", "Nomogram points, EBV DNA", PAPER),
    "prognostic_score": _ours("POINTS_PROGN", "Nomogram points, Prognostic-score", PAPER),
    "predictive_score": _ours("POINTS_PREDI", "Nomogram points, Predictive-score", PAPER),
}
VOLUME = _sct("118565006", "Volume", "CID 7462")
PRIMARY_NEOPLASM = _sct("372087000", "Primary neoplasm")
MORPHOLOGICALLY_ABNORMAL = _sct("49755003", "Morphologically Abnormal Structure", "CID 7150")
NASOPHARYNX = _sct("360955006", "Nasopharynx", "CID 7 / PS3.16")
HEAD_AND_NECK = _sct("774007", "Head and Neck", "PS3.16 Annex L")
SERIES_ROLES = {
    SeriesRole.T1W: _ours("ROLE_T1W", "T1w", PAPER),
    SeriesRole.T2W: _ours("ROLE_T2W", "T2w", PAPER),
    SeriesRole.CE_T1W: _ours("ROLE_CE_T1W", "CE-T1w (contrast-enhanced)", PAPER),
}

# Details
SERIES_ROLE = _ours("SERIES_ROLE", "Role of the series")
SERIES_DESCRIPTION = _ours("SERIES_TEXT", "Description of the series")
SERIES_REASON = _ours("SERIES_REASON", "Why the series has this role")
TUMOUR_SLICES = _ours("TUMOUR_SLICES", "Number of tumour slices")
REPRESENTATIVE_IMAGE = _ours("REPRESENTATIVE", "Representative slice (highest predicted risk)", PAPER)
CONTOUR_OBJECT = _ours("CONTOUR_OBJECT", "Object that holds the contour")
ROI_NAME = _ours("ROI_NAME", "Contour (ROI) name")
ROI_NUMBER = _ours("ROI_NUMBER", "Contour (ROI) number")
CONTOUR_SLICES = _ours("CONTOUR_SLICES", "Number of contoured slices")
CONTOUR_REASON = _ours("CONTOUR_REASON", "Why this contour was used")
FACT_NAME = _ours("FACT_NAME", "Fact")
FACT_SOURCE = _ours("FACT_SOURCE", "Source of the fact")
FACT_DATE = _ours("FACT_DATE", "Observed on")
FACT_SET_BY = _ours("FACT_SET_BY", "Entered by")
EBV_FACT = _ours("EBV_FACT", "EBV DNA")
STAGE_FACT = _ours("STAGE_FACT", "Stage")
AGE_SOURCE = _ours("AGE_SOURCE", "Source of the age")
HORIZON = _ours("HORIZON", "Reported horizon", PAPER)
DECISION_HORIZON = _ours("DECISION_HORIZON", "Horizon of the recommendation", PAPER)
DECISION_RULE = _ours("DECISION_RULE", "Rule of the recommendation", DECISION)
DECISION_RULES = {
    AnswerRule.INTERVAL: _ours("RULE_INTERVAL", "The 95 % CI of the difference decides", DECISION),
    AnswerRule.POINT: _ours("RULE_POINT", "The bare difference decides, as in the paper", DECISION),
}
STABILITY = _ours("STABILITY", "Recomputations of the answer")
STABILITY_PART = _ours("STABILITY_PART", "Recomputations of one kind")
STABILITY_KIND = _ours("STABILITY_KIND", "Kind of recomputation")
STABILITY_HELD = _ours("STABILITY_HELD", "Recomputations with the same answer")
STABILITY_OF = _ours("STABILITY_OF", "Recomputations in all")
STABILITY_SHARE = _ours("STABILITY_SHARE", "Share of recomputations that must have the same answer")
DECISION_THRESHOLD = _ours("DECISION_THRESH", "DFS difference above which ICT+CCRT is advised", PAPER)
REVISION = _ours("REVISION", "Revision of the result in this study")
REPORT_CREATED = _ours("CREATED", "Report created")
REPORT_IDENTITY = _ours("IDENTITY", "Digest of all inputs, model and settings")
SOFTWARE_VERSION = _ours("SOFTWARE", "Software version")
LAYOUT_VERSION = _ours("LAYOUT", "Layout of this report")

# Algorithm (TID 4019)
ALGORITHM_NAME = _dcm("111001", "Algorithm Name")
ALGORITHM_VERSION = _dcm("111003", "Algorithm Version")
ALGORITHM_PARAMETERS = _dcm("111002", "Algorithm Parameters")
ALGORITHM_FAMILY = _dcm("111000", "Algorithm Family")
ARTIFICIAL_INTELLIGENCE = _dcm("123110", "Artificial Intelligence")
CONTOUR_TO_MASK = _ours("RASTERISE", "Contour to mask on the image grid")
NOMOGRAM_CITATION = _ours("CITATION", "Source of the nomogram")

# Equipment, document titles of companion objects
PROCESSING_EQUIPMENT = _dcm("109102", "Processing Equipment")
REPORT_TITLE = Concept("18748-4", "LN", "Diagnostic imaging study", "LOINC")

# Units
PERCENT = _unit("%", "percent")
# UCUM has no percentage point; an annotation leaves the unit a percent and says that a difference is meant.
PERCENTAGE_POINTS = _unit("%{points}", "percentage points")
YEAR = _unit("a", "year")
MONTH = _unit("mo", "month")
# A volume is in cm3, because CID 7462 has no mL; the number is the same.
CUBIC_CENTIMETRE = _unit("cm3", "cubic centimeter")
COPIES_PER_ML = _unit("{copies}/mL", "copies per mL")
SCORE = _unit("{score}", "score")  # with the unit "1" for no units, OHIF shows a score of 0 as "0 1"
POINT = _unit("{points}", "points")
SLICE = _unit("{slices}", "slices")
NUMBER = _unit("{number}", "number")


def horizon_name(months: int) -> str:
    """Name a horizon in months: 36 gives "3-year", 30 gives "30-month"."""
    years = whole_years(months)
    return f"{months}-month" if years is None else f"{years}-year"


def dfs(months: int) -> Concept:
    """Return the code of the probability of disease-free survival at a horizon in months."""
    return _ours(f"DFS_{months}", f"{horizon_name(months)} disease-free survival (DFS)", PAPER)


def dfs_low(months: int) -> Concept:
    """Return the code of the lower end of the 95 % confidence interval of DFS at a horizon in months."""
    return _ours(f"DFS_{months}_LOW", f"{horizon_name(months)} DFS, lower end of 95 % CI", PAPER)


def dfs_high(months: int) -> Concept:
    """Return the code of the upper end of the 95 % confidence interval of DFS at a horizon in months."""
    return _ours(f"DFS_{months}_HIGH", f"{horizon_name(months)} DFS, upper end of 95 % CI", PAPER)


def difference(months: int) -> Concept:
    """Return the code of DFS under ICT+CCRT minus DFS under CCRT at a horizon in months."""
    return _ours(f"DIFF_{months}", f"{horizon_name(months)} DFS difference, ICT+CCRT minus CCRT", PAPER)


def difference_low(months: int) -> Concept:
    """Return the code of the lower end of the 95 % confidence interval of the difference."""
    return _ours(f"DIFF_{months}_LOW", f"{horizon_name(months)} DFS difference, lower end of 95 % CI", PAPER)


def difference_high(months: int) -> Concept:
    """Return the code of the upper end of the 95 % confidence interval of the difference."""
    return _ours(f"DIFF_{months}_HIGH", f"{horizon_name(months)} DFS difference, upper end of 95 % CI", PAPER)


def coding_schemes() -> list[SchemeItem]:
    """Build the Coding Scheme Identification Sequence for the schemes that PS3.16 chapter 8 does not list.

    Returns
    -------
    list of CodingSchemeIdentificationItem
        One item, for the private scheme.

    References
    ----------
    PS3.3 C.12.1.1.2 (SOP Common, Coding Scheme Identification Sequence).
    """
    item = SchemeItem(
        designator=PRIVATE_SCHEME,
        name="Combined prognosis and treatment decision nomogram (CPTDN)",
        version=PRIVATE_SCHEME_VERSION,
        responsible_organization="cptdn-node",
    )
    item.CodingSchemeUID = PRIVATE_SCHEME_UID
    return [item]
