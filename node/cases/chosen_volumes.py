"""What a computation reads of a chosen series or volume, and what the report says about the choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.cases.series_summary import SeriesSummary
from node.cases.volume_roles import volume_list


def series_request(summary: SeriesSummary, digests: Mapping[str, str], reason: str) -> dict[str, Any]:
    """Return the entry of one role in a ComputeRequest; a series of one volume has no keys but the first three."""
    volume = summary.volume
    uids = [str(header.get("SOPInstanceUID") or "") for header in volume.headers]
    entry: dict[str, Any] = {
        "series_instance_uid": summary.series_instance_uid,
        # Sorted, because the order of arrival must not change the digest of the request.
        "instances": sorted([uid, digests[uid]] for uid in uids),
        "reason": reason,
    }
    if volume.name:
        entry["volume"] = volume.name
    if volume.frames:
        entry["frames"] = {uid: list(volume.frames[uid]) for uid in sorted(volume.frames)}
    if summary.joined:
        entry["other_series"] = {
            str(header["SOPInstanceUID"]): str(header["SeriesInstanceUID"])
            for header in volume.headers
            if header["SeriesInstanceUID"] != summary.series_instance_uid
        }
    return entry


def volume_findings(role: str, summary: SeriesSummary) -> list[tuple[str, str]]:
    """Sentences about what was chosen among the images of a series, left out, or joined."""
    findings = []
    if summary.volume_names:
        text = f"The series of the {role} contains {len(summary.volume_names)} volumes ({volume_list(summary)})"
        findings.append(("volume_of_series", f"{text}; {summary.volume.name} ({summary.volume.text}) was used."))
    if summary.volume.left_out:
        number = len(summary.volume.left_out)
        text = f"{number} images of the {role} repeat others pixel by pixel under other UIDs and were left out."
        findings.append(("duplicate_slice", text))
    if summary.joined:
        uids = " and ".join(summary.series_uids)
        text = f"The slices of the {role} are in {len(summary.joined)} series ({uids}), which were joined."
        findings.append(("series_joined", text))
    return findings
