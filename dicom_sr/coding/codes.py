"""Every code of the content but those of the stage and of the result; no module outside this room writes a code.

Meanings are those of the context group that lists the code, where one does; `tests/dicom_sr/test_codes.py` compares all
of them with the dictionaries that pydicom ships. A meaning has at most 64 characters (VR LO), a value 16 (VR SH).
"""

from __future__ import annotations

from config.indication.vocabulary import (
    Answer,
    AnswerGround,
    AnswerRule,
    Condition,
    ConditionState,
    EbvCategory,
    SeriesRole,
    Severity,
    TreatmentArm,
)
from dicom_sr.coding.concept import LOINC, PAPER, PRIVATE_SCHEME, Concept, dcm, ours, sct, unit

# Document
ONCOLOGY_MEASUREMENT_REPORT = dcm("126001", "Oncology Measurement Report")
PROCEDURE_REPORTED = dcm("121058", "Procedure reported")
DEVICE = dcm("121007", "Device")
MR_IMAGING = Concept("25056-3", "LN", "MRI unspecified body region", "CID 100")
LANGUAGE = dcm("121049", "Language of Content Item and Descendants")
LANGUAGES = {
    "en": Concept("en", "RFC5646", "English", "RFC 5646"),
    "zh": Concept("zh-CN", "RFC5646", "Chinese (China)", "RFC 5646"),
}

# Containers
QUALITATIVE_EVALUATIONS = Concept("C0034375", "UMLS", "Qualitative Evaluations", "TID 1500")
IMAGE_LIBRARY = dcm("111028", "Image Library")
IMAGE_LIBRARY_GROUP = dcm("126200", "Image Library Group")
IMAGING_MEASUREMENTS = dcm("126010", "Imaging Measurements")
MEASUREMENT_GROUP = dcm("125007", "Measurement Group")
DETAILS = ours("DETAILS", "Details of the computation")
CLINICAL_FACT = ours("CLINICAL_FACT", "Clinical fact and its source")
SERIES_USED = ours("SERIES_USED", "MR series used")
CONTOUR_USED = ours("CONTOUR_USED", "Contour used")
PATIENT_CHARACTERISTICS = dcm("121118", "Patient Characteristics")

# Tracking and image library
TRACKING_IDENTIFIER = dcm("112039", "Tracking Identifier")
TRACKING_UID = dcm("112040", "Tracking Unique Identifier")
MODALITY = dcm("121139", "Modality")
MAGNETIC_RESONANCE = dcm("MR", "Magnetic Resonance")
FRAME_OF_REFERENCE_UID = dcm("112227", "Frame of Reference UID")
SERIES_INSTANCE_UID = dcm("112002", "Series Instance UID")
STUDY_INSTANCE_UID = dcm("110180", "Study Instance UID")
STUDY_DATE = dcm("111060", "Study Date")
SOURCE_IMAGE = sct("260753009", "Source")

# Titles of a rejection note (CID 7011), by their code value
REJECTIONS = {
    concept.value: concept
    for concept in (
        dcm("113001", "Rejected for Quality Reasons"),
        dcm("113037", "Rejected for Patient Safety Reasons"),
        dcm("113038", "Incorrect Modality Worklist Entry"),
    )
}

# The result
OUTCOME = ours("OUTCOME", "Result of the computation")
NOT_COMPUTED = ours("NOT_COMPUTED", "Not computed")
WITHDRAWN = ours("WITHDRAWN", "WITHDRAWN - do not use any earlier result of this study")
WITHDRAWAL = ours("WITHDRAWAL", "Withdrawal of the result")
WITHDRAWN_SINCE = ours("WITHDRAWN_SINCE", "Withdrawn since")
WITHDRAWN_BY = ours("WITHDRAWN_BY", "Withdrawn by")
WITHDRAWN_BECAUSE = ours("WITHDRAWN_WHY", "Reason of the withdrawal")
REPLACED = ours("REPLACED", "Report that is replaced and superseded")
RECOMMENDED_REGIMEN = ours("RECOMMENDED", "Recommended regimen", PAPER)
RECOMMENDED_BY_CATEGORY = {
    EbvCategory.NOT_ABOVE: ours("RECOMMENDED_LE", "Recommended regimen if EBV DNA is not above threshold", PAPER),
    EbvCategory.ABOVE: ours("RECOMMENDED_GT", "Recommended regimen if EBV DNA is above threshold", PAPER),
    EbvCategory.UNKNOWN: ours("RECOMMENDED_UK", "Recommended regimen, EBV DNA unknown", PAPER),
}
REGIMENS = {
    TreatmentArm.ICT_CCRT: ours("ICT_CCRT", "ICT+CCRT: induction, then concurrent chemoradiotherapy", PAPER),
    TreatmentArm.CCRT: ours("CCRT", "CCRT: concurrent chemoradiotherapy alone", PAPER),
}
# An answer that names a regimen has the regimen's code; the third answer and the grounds are derived in
# `config/answer.py`, from the displayed difference, its displayed interval and the site's threshold.
DECISION = "config/answer.py of this software"
ANSWERS = {
    Answer.ICT_CCRT: REGIMENS[TreatmentArm.ICT_CCRT],
    Answer.CCRT: REGIMENS[TreatmentArm.CCRT],
    Answer.NO_RELIABLE_DIFFERENCE: ours("NO_RELIABLE_DIFF", "No reliable difference", DECISION),
}
GROUND = ours("GROUND", "Ground of the recommendation", DECISION)
GROUNDS = {
    AnswerGround.NOT_VALID: ours("G_NOT_VALID", "The result is not valid for this patient", DECISION),
    AnswerGround.NO_INTERVAL: ours("G_NO_INTERVAL", "The difference has no 95 % CI", DECISION),
    AnswerGround.INTERVAL_INCLUDES_THRESHOLD: ours("G_INCLUDES", "95 % CI includes the threshold", DECISION),
    AnswerGround.NOT_STABLE: ours("G_NOT_STABLE", "The answer holds in too few recomputations", DECISION),
    AnswerGround.INTERVAL_EXCLUDES_THRESHOLD: ours("G_EXCLUDES", "95 % CI excludes the threshold", DECISION),
    AnswerGround.POINT_DIFFERENCE: ours("G_POINT", "The difference without its 95 % CI decides", DECISION),
}
REGIMENS_DIFFER = ours("DEPENDS", "Depends on the EBV DNA category", PAPER)
REGIMEN = ours("REGIMEN", "Regimen", PAPER)

# Use, reasons and summary
PERMITTED_USE = ours("PERMITTED_USE", "Permitted use of this result")
DEMONSTRATION_ONLY = ours("DEMONSTRATION", "DEMONSTRATION ONLY - not for clinical use")
AS_INTENDED = ours("AS_INTENDED", "As stated under intended use")
REASON_CODE = ours("REASON_CODE", "Code of the reason")
SEVERITY = ours("SEVERITY", "Severity")
SEVERITIES = {
    Severity.BLOCKS: ours("S_BLOCKS", "Blocks the result"),
    Severity.INVALIDATES: ours("S_INVALIDATES", "Invalidates the result"),
    Severity.CAUTIONS: ours("S_CAUTIONS", "Caution"),
    Severity.NOTES: ours("S_NOTES", "Note"),
}
WARNING = ours("WARNING", "Warning")
REFUSAL = ours("REFUSAL", "Reason why not computed")
QUALITY_FINDING = ours("QUALITY", "Quality finding")
INTENDED_USE = ours("INTENDED_USE", "Intended use")
TRAINING_POPULATION = ours("TRAINING", "Training population")
CONDITIONS_OF_USE = ours("CONDITIONS", "Conditions of use of the model")
CONDITION_OF_USE = ours("CONDITION", "Condition of use")
CONDITION = ours("CONDITION_NAME", "Condition")
CONDITION_STATE = ours("CONDITION_STATE", "State of the condition")
CONDITION_GROUNDS = ours("CONDITION_TEXT", "Grounds of the state")
CONDITIONS = {
    Condition.DISEASE: ours("C_DISEASE", "Disease of the model", PAPER),
    Condition.STAGE: ours("C_STAGE", "Stage of the model", PAPER),
    Condition.TREATMENT_NAIVE: ours("C_NAIVE", "No treatment before the MR", PAPER),
    Condition.PRIOR_MALIGNANCY: ours("C_MALIGNANCY", "No earlier malignancy", PAPER),
    Condition.MR_AGE: ours("C_MR_AGE", "MR shortly before treatment", PAPER),
    Condition.CONTRAST: ours("C_CONTRAST", "Contrast agent in the CE-T1w", PAPER),
    Condition.CONTOUR_APPROVED: ours("C_APPROVED", "Contour approved"),
    Condition.CONTOUR_DATE: ours("C_CONTOUR_DATE", "Contour of the same time as the MR"),
    Condition.EBV_DNA_WINDOW: ours("C_EBV_WINDOW", "EBV DNA before treatment, near the MR", PAPER),
    Condition.EBV_DNA_ASSAY: ours("C_EBV_ASSAY", "EBV DNA assay comparable to that of the cohort"),
    Condition.MODEL_RANGE: ours("C_RANGE", "Patient within the range of the training cohort"),
    Condition.INTERVAL: ours("C_INTERVAL", "Interval contains the uncertainty of the scores"),
    Condition.MODEL_ADMISSION: ours("C_ADMISSION", "Figures of the model on unseen patients"),
    Condition.TRIAL_EVIDENCE: ours("C_TRIALS", "Mean effect in agreement with randomised trials"),
}
CONDITION_STATES = {
    ConditionState.MET: ours("MET", "Met"),
    ConditionState.NOT_MET: ours("NOT_MET", "Not met"),
    ConditionState.NOT_CHECKED: ours("NOT_CHECKED", "Not checked"),
}
SUMMARY = dcm("121111", "Summary")
FINDING = dcm("121071", "Finding")

# EBV DNA, stage, age
EBV_CATEGORY = ours("EBV_CATEGORY", "Plasma EBV DNA before treatment, category", PAPER)
EBV_CATEGORIES = {
    EbvCategory.ABOVE: ours("EBV_ABOVE", "Above threshold", PAPER),
    EbvCategory.NOT_ABOVE: ours("EBV_NOT_ABOVE", "Not above threshold", PAPER),
    EbvCategory.UNKNOWN: ours("EBV_UNKNOWN", "Unknown", PAPER),
}
EBV_ASSUMED = ours("EBV_ASSUMED", "EBV DNA category of these numbers", PAPER)
# LOINC's name has more than the 64 characters of a Code Meaning: "Epstein Barr virus DNA [#/volume] (viral load) in
# Serum or Plasma by NAA with probe detection".
EBV_DNA = Concept("47982-4", "LN", "Epstein Barr virus DNA (viral load) in Serum or Plasma by NAA", LOINC)
EBV_COPIES = ours("EBV_COPIES", "Plasma EBV DNA before treatment", PAPER)  # of layout 1, instead of the LOINC code
NOT_DETECTED = sct("260415000", "Not detected", "SNOMED CT")
COMPARATOR = ours("COMPARATOR", "Comparator of the number")
COMPARATORS = {
    "<": sct("276139006", "<", "SNOMED CT"),
    "<=": sct("276137008", "<=", "SNOMED CT"),
    ">": sct("276140008", ">", "SNOMED CT"),
    ">=": sct("276138003", ">=", "SNOMED CT"),
}
VALUE_OUT_OF_RANGE = dcm("114009", "Value out of range")
EBV_AS_GIVEN = ours("EBV_AS_GIVEN", "Plasma EBV DNA as the laboratory wrote it")
EBV_THRESHOLD = ours("EBV_THRESHOLD", "Plasma EBV DNA threshold", PAPER)
STAGE_VERIFIED = ours("STAGE_VERIFIED", "Stage confirmed as eligible")
YES = sct("373066001", "Yes", "CID 231")
NO = sct("373067005", "No", "CID 231")
SUBJECT_AGE = dcm("121033", "Subject Age")

# Scores, points, tumour
PROGNOSTIC_SCORE = ours("PROGNOSTIC", "Prognostic-score (higher: higher risk)", PAPER)
PREDICTIVE_SCORE = ours("PREDICTIVE", "Predictive-score (lower favours ICT+CCRT)", PAPER)
MODELS = ours("MODELS", "Models whose scores are averaged")
PROGNOSTIC_SE = ours("PROGNOSTIC_SE", "Prognostic-score, standard error")
PREDICTIVE_SE = ours("PREDICTIVE_SE", "Predictive-score, standard error")
SCORES_CORRELATION = ours("SCORES_CORR", "Correlation of the errors of both scores")
SCORES_DF = ours("SCORES_DF", "Degrees of freedom of the errors of both scores")
VOLUME = sct("118565006", "Volume", "CID 7462")
PRIMARY_NEOPLASM = sct("372087000", "Neoplasm, Primary", "CID 7151")
MORPHOLOGICALLY_ABNORMAL = sct("49755003", "Morphologically Abnormal Structure", "CID 7150")
NASOPHARYNX = sct("360955006", "Nasopharynx", "CID 7 / PS3.16")
HEAD_AND_NECK = sct("774007", "Head and Neck", "PS3.16 Annex L")
SERIES_ROLES = {
    SeriesRole.T1W: ours("ROLE_T1W", "T1w", PAPER),
    SeriesRole.T2W: ours("ROLE_T2W", "T2w", PAPER),
    SeriesRole.CE_T1W: ours("ROLE_CE_T1W", "CE-T1w (contrast-enhanced)", PAPER),
}

# Details
SERIES_ROLE = ours("SERIES_ROLE", "Role of the series")
SERIES_DESCRIPTION = ours("SERIES_TEXT", "Description of the series")
SERIES_REASON = ours("SERIES_REASON", "Why the series has this role")
TUMOUR_SLICES = ours("TUMOUR_SLICES", "Number of tumour slices")
REPRESENTATIVE_IMAGE = ours("REPRESENTATIVE", "Representative slice (highest predicted risk)", PAPER)
CONTOUR_OBJECT = ours("CONTOUR_OBJECT", "Object that holds the contour")
ROI_NAME = ours("ROI_NAME", "Contour (ROI) name")
ROI_NUMBER = ours("ROI_NUMBER", "Contour (ROI) number")
CONTOUR_SLICES = ours("CONTOUR_SLICES", "Number of contoured slices")
CONTOUR_REASON = ours("CONTOUR_REASON", "Why this contour was used")
FACT_NAME = ours("FACT_NAME", "Fact")
FACT_SOURCE = ours("FACT_SOURCE", "Source of the fact")
FACT_DATE = ours("FACT_DATE", "Observed on")
FACT_SET_BY = ours("FACT_SET_BY", "Entered by")
EBV_FACT = ours("EBV_FACT", "EBV DNA")
STAGE_FACT = ours("STAGE_FACT", "Stage")
AGE_SOURCE = ours("AGE_SOURCE", "Source of the age")
DECISION_HORIZON = ours("DECISION_HORIZON", "Horizon of the recommendation", PAPER)
DECISION_RULE = ours("DECISION_RULE", "Rule of the recommendation", DECISION)
DECISION_RULES = {
    AnswerRule.INTERVAL: ours("RULE_INTERVAL", "The 95 % CI of the difference decides", DECISION),
    AnswerRule.POINT: ours("RULE_POINT", "The bare difference decides, as in the paper", DECISION),
}
STABILITY = ours("STABILITY", "Recomputations of the answer")
STABILITY_PART = ours("STABILITY_PART", "Recomputations of one kind")
STABILITY_KIND = ours("STABILITY_KIND", "Kind of recomputation")
STABILITY_HELD = ours("STABILITY_HELD", "Recomputations with the same answer")
STABILITY_OF = ours("STABILITY_OF", "Recomputations in all")
STABILITY_SHARE = ours("STABILITY_SHARE", "Share of recomputations that must have the same answer")
DECISION_THRESHOLD = ours("DECISION_THRESH", "DFS difference above which ICT+CCRT is advised", PAPER)
REVISION = ours("REVISION", "Revision of the result in this study")
REPORT_CREATED = ours("CREATED", "Report created")
REPORT_IDENTITY = ours("IDENTITY", "Digest of all inputs, model and settings")
SOFTWARE_VERSION = ours("SOFTWARE", "Software version")
LAYOUT_VERSION = ours("LAYOUT", "Layout of this report")

# Algorithm (TID 4019)
ALGORITHM_NAME = dcm("111001", "Algorithm Name")
ALGORITHM_VERSION = dcm("111003", "Algorithm Version")
ALGORITHM_PARAMETERS = dcm("111002", "Algorithm Parameters")
ALGORITHM_FAMILY = dcm("111000", "Algorithm Family")
ARTIFICIAL_INTELLIGENCE = dcm("123110", "Artificial Intelligence")
CONTOUR_TO_MASK = ours("RASTERISE", "Contour to mask on the image grid")
NOMOGRAM_CITATION = ours("CITATION", "Source of the nomogram")

# Equipment, document titles of companion objects
UNIQUE_DEVICE_IDENTIFIER = Concept("74711-3", "LN", "Unique Device Identifier", "TID 1004")
GRADIENT_WEIGHTED_CLASS_ACTIVATION = dcm("130403", "Gradient-weighted class activation")
SOURCE_FOR_PROCESSING = dcm("121322", "Source image for image processing operation")
SOURCE_OF_MEASUREMENT = dcm("121112", "Source of Measurement")
PROCESSING_EQUIPMENT = dcm("109102", "Processing Equipment")
REPORT_TITLE = Concept("18748-4", "LN", "Diagnostic Imaging Report", "CID 7000")

# Units
PERCENT = unit("%", "Percent")
# UCUM has no percentage point; an annotation leaves the unit a percent and says that a difference is meant.
PERCENTAGE_POINTS = unit("%{points}", "percentage points")
YEAR = unit("a", "year")
MONTH = unit("mo", "month")
# A volume is in cm3, because CID 7462 has no mL; the number is the same.
CUBIC_CENTIMETRE = unit("cm3", "cubic centimeter")
COPIES_PER_ML = unit("{copies}/mL", "copies per mL")
SCORE = unit("{score}", "score")  # with the unit "1" for no units, OHIF shows a score of 0 as "0 1"
POINT = unit("{points}", "points")
SLICE = unit("{slices}", "slices")
NUMBER = unit("{number}", "number")


def reason(code: str) -> Concept:
    """Return the code of a reason; longer than 16 characters it becomes a Long Code Value (PS3.3 8.8)."""
    return Concept(code, PRIVATE_SCHEME, code.replace("_", " ")[:64], "node/OPERATIONS.md of this software")
