"""Codes and words of nasopharyngeal carcinoma, and of what is not.

Codes: ICD-10 (WHO, CM, GM and the Chinese extension) C11.-; ICD-9 147.-; ICD-11 2B6B.-; ICD-O-3 topography C11.- with
the carcinomas that the AJCC stages in its chapter on the nasopharynx (lymphoma, sarcoma, melanoma and glandular tumours
are staged elsewhere); SNOMED CT 449248000 (nasopharyngeal carcinoma) and 187692001 (malignant neoplasm of nasopharynx);
NCI Thesaurus C3871.
"""

from __future__ import annotations

import re

ICD_10 = re.compile(r"C11(?:\.?\d\w*)?", re.IGNORECASE)
ICD_9 = re.compile(r"147(?:\.\d)?")
ICD_11 = re.compile(r"2B6B(?:\.\w+)?", re.IGNORECASE)
SNOMED_CT = frozenset({"449248000", "187692001"})
NCI_THESAURUS = frozenset({"C3871"})
# ICD-O-3: carcinoma NOS, undifferentiated, anaplastic; squamous NOS, keratinizing, non-keratinizing large and small
# cell, papillary and spindle cell; lymphoepithelial; basaloid squamous.
MORPHOLOGIES = frozenset({"8010", "8020", "8021", "8052", "8070", "8071", "8072", "8073", "8074", "8082", "8083"})

SITE_WORDS = re.compile(
    r"naso-?\s?pharyn\w*|rhino-?\s?pharyn\w*|epipharyn\w*|nasofarin\w*|nasofaring\w*|rinofarin\w*|\bcavum\b|鼻咽"
    r"|vòm họng|носоглотк",
    re.IGNORECASE,
)
CARCINOMA_WORDS = re.compile(
    r"\w*carcinom\w*|\w*karzinom\w*|\w*karsinom\w*|cancers?\b|\bca\b|krebs|malignant (?:neoplasm|tumou?r)|malignancy"
    r"|bösartige neubildung|tumeur maligne|neoplasia malign\w*|tumor malign\w*|lymphoepithel\w*|\bscc\b"
    r"|癌|恶性肿瘤|惡性腫瘤|ung thư|рак|злокачеств",
    re.IGNORECASE,
)
# The names that state site and disease in one.
NAMES = re.compile(r"\bNPC\b|nasopharynx-?\s?(?:karzinom|ca)\w*", re.IGNORECASE)
NOT_CARCINOMA_WORDS = re.compile(
    r"lymphom\w*|\w*sarcom\w*|\w*sarkom\w*|melanom\w*"
    r"|(?:\w*adeno-?|adenoid ?cystic |mucoepidermoid )(?:carcinom|karzinom)\w*"
    r"|angiofibrom\w*|plasm[ao]cytom\w*|chordom\w*|blastom\w*|benign\w*|gutartig\w*|in situ|pharyngitis|adenoid(?:s|al)"
    r"|hypertroph\w*|polyp\w*|cyst\b|淋巴瘤|肉瘤|黑色素瘤|腺癌|血管纤维瘤|浆细胞瘤|良性|原位|鼻咽炎|腺样体|囊肿|息肉",
    re.IGNORECASE,
)
RECURRENT_WORDS = re.compile(
    r"recurr\w*|relaps\w*|rezidiv\w*|récidiv\w*|residual|persistent|复发|残留|再发", re.IGNORECASE
)
UNCERTAIN_WORDS = re.compile(
    r"\?|？|suspect\w*|susp\.|\bsus\b|query|rule ?out|\br/?o\b|exclu\w*|possibl\w*|probabl\w*|likely|verdacht\w*"
    r"|\bv\.?\s?a\.?\b|ausschluss|z\.\s?n\.|history|\bh/o\b|\bhx\b|family|screening|\bno\b|\bnot\b|without|negative|kein\w*|unlikely|versus"
    r"|\bvs\b|疑|待排|除外|排除|可能|考虑|家族史|病史|否认|无|非",
    re.IGNORECASE,
)
OTHER_TUMOUR_WORDS = re.compile(
    r"\w*carcinom\w*|\w*karzinom\w*|cancers?\b|krebs|malign\w*|lymphom\w*|leuk[ae]+mi\w*|\w*sarcom\w*|melanom\w*|myelom\w*"
    r"|gliom\w*|\w*blastom\w*|metasta\w*|癌|恶性|淋巴瘤|白血病|肉瘤|黑色素瘤|骨髓瘤|胶质瘤|转移",
    re.IGNORECASE,
)
