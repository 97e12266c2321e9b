"""Choose the ROI of the primary tumour by the site's names; none or more than one is refused.

Names are compared without case, underscores, spaces and hyphens, so `GTV_nx`, `gtv-nx` and `GTVnx` are one name; `*`
matches any text. Names of margins, nodes and organs never match, whatever the site's list contains.

Source of the names: AAPM TG-263 (GTVp) and usage in Chinese centres (GTVnx).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from config.errors import IneligibleStudyError
from config.messages.message import message

_JOINTS = re.compile(r"[\s_\-.]+")
# Nodes, margins and organs; a hyphenated P-GTV is a primary tumour, PGTV is a planning margin around one.
NOT_PRIMARY = re.compile(
    r"^p[\s_]*(?:gtv|ctv|itv)(?!p\b)|ptv|ctv|itv|prv|ring|shell|brain|stem|cord|parotid|optic|chiasm|lens|body|external"
    r"|gtv[\s_\-]*(?:n(?![xp])|nd|ln|node|nodal|lymph)|(?:^|[\s_\-])(?:n|nd|ln|lns|node|nodes|nodal|lymph|neck)(?:$|[\s_\-\d])"
    r"|minus|margin|expan|avoid|dose|淋巴|颈|脑干"
)
P_GTV = re.compile(r"^p[\s_]gtv$|^p-gtv")
GENERIC = frozenset({"gtv", "gtv70"})  # state neither primary tumour nor node
PLANAR = "CLOSED_PLANAR"
GTV_TYPE = "GTV"


@dataclass(frozen=True)
class RoiChoice:
    """The ROI of the primary tumour.

    Attributes
    ----------
    number : int
        ROI Number (3006,0022), or Segment Number (0062,0004) of a SEG.
    name : str
        ROI Name as written.
    reason : str
        One sentence for `explain`.
    extent_mm : [[x, y, z], [x, y, z]] or None
        Least and greatest corner of its contours, LPS, mm; None for a segmentation.
    """

    number: int
    name: str
    reason: str
    extent_mm: Sequence[Sequence[float]] | None = None


def choose_roi(rois: Sequence[Mapping[str, Any]], roi_names: Sequence[str]) -> RoiChoice:
    """Choose the one ROI with a name of the site for the primary tumour.

    Parameters
    ----------
    rois : sequence of mapping
        Entries of `Rois` in a header: number, name, type, n_contours, geometric_types, extent_mm.
    roi_names : sequence of str
        Names and patterns of `[case] roi_names`.

    Returns
    -------
    RoiChoice
        Identified by number, because names may repeat.

    Raises
    ------
    IneligibleStudyError
        ``no_matching_roi`` naming what was found, or ``ambiguous_roi`` naming those that match.
    """
    matching = [roi for roi in rois if matches(str(roi.get("name") or ""), roi_names)]
    drawn = [roi for roi in matching if _is_drawn(roi)]
    if not drawn:
        raise IneligibleStudyError("no_matching_roi", _none_text(rois, matching, roi_names))
    preferred, because = _preferred(drawn)
    if len(preferred) > 1:
        names = [message("roi.number_name", name=roi["name"], number=roi["number"]) for roi in preferred]
        raise IneligibleStudyError("ambiguous_roi", message("ambiguous_roi.each_primary", names=names))
    roi = preferred[0]
    same_number = [str(other.get("name") or "") for other in rois if other.get("number") == roi.get("number")]
    if len(same_number) > 1:  # the contours refer to the number, so their owner is unknown (PS3.3 C.8.8.5)
        raise IneligibleStudyError(
            "ambiguous_roi",
            message(
                "ambiguous_roi.number_shared",
                number=roi["number"],
                names=[message("roi.name", name=name) for name in same_number],
            ),
        )
    return RoiChoice(
        number=int(roi["number"]),
        name=str(roi["name"]),
        reason=message("roi.chosen", number=roi["number"], name=roi["name"], because=because),
        extent_mm=roi.get("extent_mm"),
    )


def matches(name: str, roi_names: Sequence[str]) -> bool:
    """Return whether a ROI name is a name of the primary tumour.

    Parameters
    ----------
    name : str
        ROI Name.
    roi_names : sequence of str
        Names and patterns of the site.

    Returns
    -------
    bool
        False for a name of a node, a margin or an organ, even where a pattern of the site matches.
    """
    plain = unicodedata.normalize("NFKC", name).strip().lower()
    if NOT_PRIMARY.search(plain) and not P_GTV.match(plain):
        return False
    joined = normalised(name)
    return bool(joined) and any(fnmatchcase(joined, normalised(pattern)) for pattern in roi_names)


def normalised(name: str) -> str:
    """Return a ROI name without case, underscores, spaces, hyphens and dots."""
    return _JOINTS.sub("", unicodedata.normalize("NFKC", name).lower())


def _is_drawn(roi: Mapping[str, Any]) -> bool:
    # A point or an open curve encloses no volume (PS3.3 C.8.8.6.1).
    kinds = {str(kind) for kind in roi.get("geometric_types") or ()}
    return int(roi.get("n_contours") or 0) > 0 and not kinds <= {"POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"}


def _preferred(drawn: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
    """Prefer the type GTV, then a name that states the primary tumour over a bare GTV."""
    preferred, because = list(drawn), ""
    if len(preferred) > 1:
        typed = [roi for roi in preferred if str(roi.get("type") or "").upper() == GTV_TYPE]
        if typed and len(typed) < len(preferred):
            preferred, because = typed, message("roi.type_gtv")
    if len(preferred) > 1:
        specific = [roi for roi in preferred if normalised(str(roi["name"])) not in GENERIC]
        if specific and len(specific) < len(preferred):
            preferred, because = specific, message("roi.says_more", because=because)
    return preferred, because


def _none_text(
    rois: Sequence[Mapping[str, Any]], matching: Sequence[Mapping[str, Any]], roi_names: Sequence[str]
) -> str:
    if matching:
        names = [message("roi.name", name=str(roi["name"])) for roi in matching]
        return message("no_matching_roi.no_closed_contour", names=names)
    names = [message("roi.name", name=str(roi.get("name"))) for roi in rois] or [message("no_matching_roi.no_roi")]
    return message("no_matching_roi.names", expected=roi_names, found=names)
