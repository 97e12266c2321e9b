"""Whether a bundle learned from phantoms: read from everything that its manifest says, so that no one key decides it.

`cptdn train` recognises phantoms in the cohort and the images (`workers.training.cohort_origin`) and counts them in
``training_data.origin``. The other signs hold for bundles of earlier versions, and where that entry was removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

ORIGIN = "origin"  # key of training_data: {"patients": n, "phantoms": n}
_WORDS = re.compile(r"\bphantoms?\b|\bsynthetic\b", re.IGNORECASE)


def demonstration_signs(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why a bundle is a demonstration.

    Parameters
    ----------
    content : mapping
        A manifest as JSON values; may be incomplete.

    Returns
    -------
    tuple of str
        One sentence for each independent sign; one suffices. Empty for a model of patients alone.
    """
    return tuple(_signs(content))


def _signs(content: Mapping[str, Any]) -> Iterator[str]:
    if content.get("demonstration") is True:
        yield "The manifest says that it is a demonstration."
    data = _mapping(content.get("training_data"))
    origin = counted_origin(content)
    if origin is not None and origin[1] > 0:
        patients, phantoms = origin
        # A mixture counts: no prediction can be told from one that a phantom shaped.
        yield f"{phantoms} of its {patients + phantoms} training patients are phantoms."
    elif origin is None and any("oracle_c_index" in _mapping(group) for group in _metrics(content)):
        yield "It was tested against the truth of phantoms, and its manifest does not say whom it learned from."
    described = " ".join(str(data.get(key, "")) for key in ("description", "how"))
    if _WORDS.search(described):
        yield f"Its training patients are described as {data.get('description', described)!r}."


def counted_origin(content: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the number of patients and of phantoms that a bundle learned from; None where the manifest lacks it."""
    origin = _mapping(_mapping(content.get("training_data")).get(ORIGIN))
    numbers = origin.get("patients"), origin.get("phantoms")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
        return None
    return int(numbers[0]), int(numbers[1])  # type: ignore[arg-type]


def _metrics(content: Mapping[str, Any]) -> Iterator[Any]:
    yield from _mapping(content.get("metrics")).values()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
