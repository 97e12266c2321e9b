"""Which series and volumes of a study a contour object names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.cases.series_summary import SeriesSummary


@dataclass(frozen=True)
class ContourPlaces:
    """Keys of the series and volumes that contain an instance, and of those that a series consists of."""

    of_instance: Mapping[str, set[str]]
    of_series: Mapping[str, set[str]]

    @classmethod
    def of(cls, series: Sequence[SeriesSummary]) -> ContourPlaces:
        """Collect the keys of all series and volumes of a study."""
        of_instance: dict[str, set[str]] = {}
        of_series: dict[str, set[str]] = {}
        for summary in series:
            for header in summary.volume.headers:
                of_instance.setdefault(str(header.get("SOPInstanceUID") or ""), set()).add(summary.key)
            # A contour may name an image that was left out because another one repeats it.
            for uid in summary.volume.left_out:
                of_instance.setdefault(uid, set()).add(summary.key)
            for uid in summary.series_uids:
                of_series.setdefault(uid, set()).add(summary.key)
        return cls(of_instance, of_series)


def referenced_keys(header: Mapping[str, Any], places: ContourPlaces) -> set[str]:
    """Return the keys of the series and volumes that a contour object names.

    Parameters
    ----------
    header : mapping
        Of the contour object; its ``ContourReferences`` name instances, series or both.
    places : ContourPlaces
        Of the study.

    Returns
    -------
    set of str
        Of a series with several volumes those whose instances are named, else all of them.
    """
    references = header.get("ContourReferences") or {}
    drawn_on: set[str] = set()
    for uid in references.get("sop_instance_uids") or ():
        drawn_on |= places.of_instance.get(uid, set())
    named = set(drawn_on)
    # Only series that are stored here: a reference to one that has not arrived does not make it known.
    for uid in references.get("series_instance_uids") or ():
        keys = places.of_series.get(str(uid), set())
        # The images that are named tell which of several volumes it is.
        named |= keys if not keys & drawn_on else set()
    return named
