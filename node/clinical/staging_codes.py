"""Codes of TNM: what is staged, by which edition, and the categories; no other module contains one.

SNOMED CT: the AJCC allowable values and the staging systems as in mCODE STU4 (hl7.org/fhir/us/mcode); NCI Thesaurus:
stage findings and stage types as there. LOINC from loinc.org.
"""

from __future__ import annotations

from collections.abc import Mapping

# LOINC and SNOMED CT, NCI Thesaurus: what a result is of -> (fact, prefix, edition). The pathological ones are known so
# that they are named and not used.
STAGED: Mapping[str, tuple[str, str, str | None]] = {
    "21905-5": ("t", "", None), "21906-3": ("n", "", None), "21907-1": ("m", "", None), "21908-9": ("stage", "", None),
    "21899-0": ("t", "p", None), "21900-6": ("n", "p", None), "21901-4": ("m", "p", None),
    "21902-2": ("stage", "p", None),
    "399504009": ("t", "", None), "399534004": ("n", "", None), "399387003": ("m", "", None),
    "78873005": ("t", "", None), "277206009": ("n", "", None), "277208005": ("m", "", None),
    "384625004": ("t", "p", None), "371494008": ("n", "p", None), "371497001": ("m", "p", None),
    "399537006": ("stage", "", None), "399390009": ("stage", "", None), "399588009": ("stage", "p", None),
    "399566009": ("stage", "", None), "106248000": ("stage", "", None), "106249008": ("stage", "p", None),
    "C48885": ("t", "", None), "C48884": ("n", "", None), "C48883": ("m", "", None),
    "C90529": ("stage", "", "6"), "C90530": ("stage", "", "7"), "C132248": ("stage", "", "8"),
    "C177555": ("stage", "", "8"), "C177556": ("stage", "p", "8"), "C180901": ("stage", "", "9"),
}  # fmt: skip
# Staging systems -> the words that `read_edition` reads; those of other systems are unreadable there.
EDITIONS: Mapping[str, str] = {
    "444256004": "AJCC 6", "443830009": "AJCC 7", "897275008": "AJCC 8", "1269566009": "AJCC 9",
    "C191343": "AJCC 4", "C191344": "AJCC 5", "C186613": "AJCC 9", "C90529": "AJCC 6", "C90530": "AJCC 7",
    "C132248": "AJCC 8", "C177555": "AJCC 8", "C177556": "AJCC 8", "C180901": "AJCC 9",
}  # fmt: skip


def _table(prefix: str, values: str) -> dict[str, str]:
    pairs = [pair.split(":") for pair in values.split()]
    return {code: f"{prefix}{value}" for value, code in pairs}


CATEGORIES: Mapping[str, str] = {
    **_table("cT", "X:1222604002 0:1228882005 is:1228884006 1:1228889001 1a:1228892002 1b:1228895000 1c:1228899006 "
             "2:1228929004 2a:1228931008 2b:1228934000 2c:1228936003 3:1228938002 3a:1228939005 3b:1228940007 "
             "3c:1228941006 4:1228944003 4a:1228945002 4b:1228946001"),
    **_table("cN", "X:1229966003 0:1229967007 1:1229973008 1mi:1229974002 1a:1229975001 1b:1229976000 1c:1229977009 "
             "2:1229978004 2a:1229981009 2b:1229982002 2c:1229983007 3:1229984001 3a:1229985000 3b:1229986004 "
             "3c:1229987008"),
    **_table("cM", "0:1229901006 1:1229903009 1a:1229904003 1b:1229907005 1c:1229910003"),
    **_table("pT", "X:1228950008 0:1228951007 is:1228953005 1:1228957006 2:1229852009 3:1229859000 3a:1229860005 "
             "3b:1229861009 4:1229864001 4a:1229865000 4b:1229866004"),
    **_table("pN", "X:1229945006 0:1229947003 1:1229951001 1a:1229954009 1b:1229955005 2:1229957002 3:1229962001 "
             "3a:1229963006 3b:1229964000"),
    **_table("pM", "1:1229916009 1a:1229917000 1b:1229920008 1c:1229923005 0:C48740"),
    **_table("ypT", "X:1228862006 0:1228863001 is:1228865008 1:1228869002 2:1228910005 3:1228917008 4:1228922008"),
    **_table("ypN", "X:1229877005 0:1229878000 1:1229884002 2:1229892006 3:1229897000"),
    **_table("T", "1:C48720 2:C48724 2a:C48725 2b:C48726 3:C48728 4:C48732"),
    **_table("N", "0:C48705 1:C48706 2:C48786 3:C48714"),
    **_table("M", "0:C48699 1:C48700"),
    **_table("stage ", "I:1222723001 IA:1222724007 IB:1222728005 II:1222765007 IIA:1222766008 IIB:1222769001 "
             "III:1222801008 IV:1222837003 IVA:1222838008 IVB:1222841004 IVC:1222842006"),
}  # fmt: skip
