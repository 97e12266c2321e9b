"""Read the volume that the rules of a case have chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.volumes.reader import MrSeries, read_series


def read_chosen(entry: Mapping[str, Any], files: Mapping[str, Path], check_image_count: bool = True) -> MrSeries:
    """Read the series or volume of one role.

    Parameters
    ----------
    entry : mapping
        Of one role in `ComputeRequest.series`.
    files : mapping of SOP Instance UID to Path
        At least the instances of the entry.
    check_image_count : bool
        As the site has it set (``case.series_rules.check_image_count``).

    Returns
    -------
    MrSeries
        Only the frames of the chosen volume.

    Raises
    ------
    IneligibleStudyError
        As `read_series`.
    """
    return read_series(
        [files[uid] for uid, _ in entry["instances"]],
        frames_of=entry.get("frames"),
        is_joined="other_series" in entry,
        check_image_count=check_image_count and "volume" not in entry,
    )
