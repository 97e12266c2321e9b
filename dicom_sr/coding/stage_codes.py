"""The codes of the clinical stage."""

from __future__ import annotations

from dicom_sr.coding.concept import MCODE, ours, sct

# cT, cN and cM are those of HL7's mCODE value sets; pydicom ships the meaning of cM0 only (CID 6162).
CLINICAL_T = sct("399504009", "cT category", MCODE)
CLINICAL_N = sct("399534004", "cN category", MCODE)
CLINICAL_M = sct("399387003", "cM category", MCODE)
STAGING_SYSTEM = ours("STAGING_SYSTEM", "Staging system")
STAGING_SYSTEMS = {
    "7": sct("443830009", "AJCC Cancer Staging Manual, 7th edition", MCODE),
    "8": sct("897275008", "AJCC Cancer Staging Manual, 8th edition", MCODE),
    "9": sct("1269566009", "AJCC Cancer Staging Manual, 9th version", MCODE),
}
# No public code names a stage group together with its edition.
STAGE_GROUPS = {
    "7": ours("STAGE_GROUP_7", "Stage group, AJCC/UICC 7th edition"),
    "8": ours("STAGE_GROUP_8", "Stage group, AJCC/UICC 8th edition"),
    "9": ours("STAGE_GROUP_9", "Stage group, AJCC/UICC 9th edition"),
}
STAGE_GROUP_IF_EXTENDED = ours("STAGE_GROUP_9ENE", "Stage group, 9th edition, if advanced extranodal extension")
EXTRANODAL_EXTENSION = ours("EXTRANODAL", "Advanced extranodal extension")
STAGE_GROUP_VALUES = {
    "0": sct("1222605001", "AJCC stage 0", MCODE),
    "I": sct("1222723001", "AJCC stage I", MCODE),
    "IA": sct("1222724007", "AJCC stage IA", MCODE),
    "IB": sct("1222728005", "AJCC stage IB", MCODE),
    "II": sct("1222765007", "AJCC stage II", MCODE),
    "III": sct("1222801008", "AJCC stage III", MCODE),
    "IV": sct("1222837003", "AJCC stage IV", MCODE),
    "IVA": sct("1222838008", "AJCC stage IVA", MCODE),
    "IVB": sct("1222841004", "AJCC stage IVB", MCODE),
    "IVC": sct("1222842006", "AJCC stage IVC", MCODE),
}
# A category that has no code here, such as T3b or a free text, is written as text.
STAGE_CODES = {
    "TX": sct("1222604002", "cTX", MCODE),
    "T0": sct("1228882005", "cT0", MCODE),
    "Tis": sct("1228884006", "cTis", MCODE),
    "T1": sct("1228889001", "cT1", MCODE),
    "T2": sct("1228929004", "cT2", MCODE),
    "T3": sct("1228938002", "cT3", MCODE),
    "T4": sct("1228944003", "cT4", MCODE),
    "T4a": sct("1228945002", "cT4a", MCODE),
    "T4b": sct("1228946001", "cT4b", MCODE),
    "NX": sct("1229966003", "cNX", MCODE),
    "N0": sct("1229967007", "cN0", MCODE),
    "N1": sct("1229973008", "cN1", MCODE),
    "N2": sct("1229978004", "cN2", MCODE),
    "N2a": sct("1229981009", "cN2a", MCODE),
    "N2b": sct("1229982002", "cN2b", MCODE),
    "N2c": sct("1229983007", "cN2c", MCODE),
    "N3": sct("1229984001", "cN3", MCODE),
    "N3a": sct("1229985000", "cN3a", MCODE),
    "N3b": sct("1229986004", "cN3b", MCODE),
    "N3c": sct("1229987008", "cN3c", MCODE),
    "M0": sct("1229901006", "cM0", MCODE),
    "M1": sct("1229903009", "cM1", MCODE),
    "M1a": sct("1229904003", "cM1a", MCODE),
    "M1b": sct("1229907005", "cM1b", MCODE),
    "M1c": sct("1229910003", "cM1c", MCODE),
}
