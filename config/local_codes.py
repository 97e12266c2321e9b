"""What a site's own codes of HL7 and FHIR may mean."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from config.indication.vocabulary import TreatmentArm

# Facts before treatment, then what happened afterwards.
FACT_MEANINGS = ("ebv_dna", "diagnosis", "t", "n", "m", "stage", "treatment_start")
REGIMEN_MEANINGS = tuple(f"regimen:{arm.value}" for arm in TreatmentArm)
FOLLOW_UP_MEANINGS = ("regimen", *REGIMEN_MEANINGS, "recurrence", "metastasis", "death", "last_contact")


def _known_meanings(codes: dict[str, str]) -> dict[str, str]:
    """Refuse a meaning that does not exist: a code with a misspelt one would be ignored for ever."""
    known = (*FACT_MEANINGS, *FOLLOW_UP_MEANINGS)
    for code, meaning in codes.items():
        if meaning not in known:
            raise ValueError(f"expected for the code {code!r} one of {', '.join(known)}, found {meaning!r}")
    return codes


LocalCodes = Annotated[dict[str, str], AfterValidator(_known_meanings)]  # code -> meaning
