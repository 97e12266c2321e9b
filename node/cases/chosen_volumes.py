"""What a computation reads of a chosen series or volume, and what the report says about the choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.messages.message import message
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
    findings: list[tuple[str, str]] = []
    if summary.volume_names:
        text = message(
            "volume_of_series.used",
            role=role,
            n=len(summary.volume_names),
            volumes=volume_list(summary),
            name=summary.volume.name,
            text=summary.volume.text,
        )
        findings.append(("volume_of_series", text))
    if summary.volume.left_out:
        number = len(summary.volume.left_out)
        text = message("duplicate_slice.of_role", number=number, role=role)
        findings.append(("duplicate_slice", text))
    if summary.joined:
        text = message("series_joined.of_role", role=role, n=len(summary.joined), uids=summary.series_uids)
        findings.append(("series_joined", text))
    return findings
