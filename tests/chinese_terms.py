"""Words that a Chinese text may have in Latin letters, and a search for the others."""

from __future__ import annotations

import re

# What guidelines, laboratories, DICOM and this program call by its Latin name in Chinese texts as well.
LATIN = frozenset({
    "AA", "AE", "AR", "Bundle", "C-ECHO", "CUDA", "DICOMweb", "Debian", "FHIR", "GB", "GiB", "HL7", "MSA", "O", "TLS",
    "TNM",
    "YYYY-MM-DD", "admin", "dark", "deflate", "delivery", "en", "fonts-noto-cjk", "host", "light", "matplotlib",
    "model.device", "origin", "port", "title", "unknown", "zh",
    "AJCC", "Acquisition", "Angio", "Brier", "C", "C-index", "C11.9", "CCRT", "CE-T1w", "CI", "Complex",
    "Component", "Contrast", "Cox", "DFS", "DICOM", "DNA", "Dixon", "EBV", "Ernst", "FLAIR", "Flag", "GTV", "ICI",
    "ICT", "ID", "III", "IPA", "IU", "Image", "Instance", "Interpretation", "M", "MONOCHROME1", "MP2RAGE", "MR",
    "MRI", "N", "N3", "Options", "PACS", "PS3.5", "PatientAge", "Photometric", "Predictive-score",
    "Prognostic-score", "ROI", "RT", "RTSTRUCT", "SEG", "SOP", "SR", "STIR", "Scan", "Set", "SliceThickness",
    "Structure", "T", "T1", "T1w", "T2", "T2w", "T3N1M0", "TE", "TR", "Type", "UID", "UIDs", "VR", "b", "c",
    "case.roi_names", "cm", "copies", "log-rank", "mL", "metrics.out_of_fold", "mm", "mm2",
    "model.allow_demonstration", "ms", "no", "not-detected", "p", "series_rules.stir_as_t2w",
    "training_data.origin", "true", "w", "x", "yes",
})  # fmt: skip

# Fields of a template, what a person types as it is, settings, and their values.
_TYPED = re.compile(
    r"\{[^}]*\}|`[^`]*`|\[\[?[a-z0-9_]+\]\]?( [a-z_]+( = [a-z]+)?)?|cptdn [a-z -]+[A-Z_]*( [A-Z_]+)?"
    r"|--[a-z-]+( [A-Z]+)?|\b[a-z]+(_[a-z]+)+( = [a-z]+)?|\b[a-z]+\.[a-z]+(_[a-z]+)+"
)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]|[A-Za-z]")


def latin_words(text: str) -> set[str]:
    """The words in Latin letters of a text, without what a person types as it is."""
    return set(_WORD.findall(_TYPED.sub(" ", text)))
