"""Which ROI is the primary tumour: by the site's names, refused when none or more than one fits.

Names are compared without case, underscores, spaces and hyphens, so `GTV_nx`, `gtv-nx` and `GTVnx` are one name; `*`
stands for any text. What a margin or a node is called never matches, whatever the site's list says.
Source of names: AAPM TG-263 (GTVp) and usage in Chinese centres (GTVnx).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from config.errors import IneligibleStudyError

_JOINTS = re.compile(r"[\s_\-.]+")
# Nodes, margins and organs; a hyphenated P-GTV is a primary tumour, PGTV is a planning margin around one.
NOT_PRIMARY = re.compile(
    r"^p[\s_]*(?:gtv|ctv|itv)(?!p\b)|ptv|ctv|itv|prv|ring|shell|brain|stem|cord|parotid|optic|chiasm|lens|body|external"
    r"|gtv[\s_\-]*(?:n(?![xp])|nd|ln|node|nodal|lymph)|(?:^|[\s_\-])(?:n|nd|ln|lns|node|nodes|nodal|lymph|neck)(?:$|[\s_\-\d])"
    r"|minus|margin|expan|avoid|dose|淋巴|颈|脑干"
)
P_GTV = re.compile(r"^p[\s_]gtv$|^p-gtv")
GENERIC = frozenset({"gtv", "gtv70"})  # names that say nothing of primary or node
PLANAR = "CLOSED_PLANAR"
GTV_TYPE = "GTV"


@dataclass(frozen=True)
class RoiChoice:
    """The ROI that stands for the primary tumour, by ROI Number."""

    number: int
    name: str
    reason: str
    extent_mm: Sequence[Sequence[float]] | None = None


def choose_roi(rois: Sequence[Mapping[str, Any]], roi_names: Sequence[str]) -> RoiChoice:
    """The one ROI whose name the site calls the primary tumour.

    rois : entries of `Rois` in a header (number, name, type, n_contours, geometric_types).
    Raises IneligibleStudyError: no_matching_roi naming what was found, ambiguous_roi naming those that fit.
    """
    named = [roi for roi in rois if matches(str(roi.get("name") or ""), roi_names)]
    drawn = [roi for roi in named if _is_drawn(roi)]
    if not drawn:
        raise IneligibleStudyError("no_matching_roi", _none_text(rois, named, roi_names))
    chosen, because = _narrowed(drawn)
    if len(chosen) > 1:
        names = " and ".join(f"{roi['name']!r} (ROI {roi['number']})" for roi in chosen)
        raise IneligibleStudyError(
            "ambiguous_roi", f"{names} may each be the primary tumour; keep one, or name it in case.roi_names"
        )
    roi = chosen[0]
    return RoiChoice(
        number=int(roi["number"]),
        name=str(roi["name"]),
        reason=f"ROI {roi['number']} is named {roi['name']!r}, a name of the site for the primary tumour{because}.",
        extent_mm=roi.get("extent_mm"),
    )


def matches(name: str, roi_names: Sequence[str]) -> bool:
    """Whether a ROI name is one of the site's names for the primary tumour and not that of a node or a margin."""
    plain = unicodedata.normalize("NFKC", name).strip().lower()
    if NOT_PRIMARY.search(plain) and not P_GTV.match(plain):
        return False
    joined = normalised(name)
    return bool(joined) and any(fnmatchcase(joined, normalised(pattern)) for pattern in roi_names)


def normalised(name: str) -> str:
    """A ROI name without case, underscores, spaces, hyphens and dots."""
    return _JOINTS.sub("", unicodedata.normalize("NFKC", name).lower())


def _is_drawn(roi: Mapping[str, Any]) -> bool:
    kinds = {str(kind) for kind in roi.get("geometric_types") or ()}
    return int(roi.get("n_contours") or 0) > 0 and not kinds <= {"POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"}


def _narrowed(drawn: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], str]:
    """Prefer type GTV, then a name that says "primary" over a bare GTV."""
    left, because = list(drawn), ""
    if len(left) > 1:
        typed = [roi for roi in left if str(roi.get("type") or "").upper() == GTV_TYPE]
        if typed and len(typed) < len(left):
            left, because = typed, " and has the type GTV"
    if len(left) > 1:
        telling = [roi for roi in left if normalised(str(roi["name"])) not in GENERIC]
        if telling and len(telling) < len(left):
            left, because = telling, f"{because} and says more than a bare GTV"
    return left, because


def _none_text(rois: Sequence[Mapping[str, Any]], named: Sequence[Mapping[str, Any]], roi_names: Sequence[str]) -> str:
    if named:
        names = ", ".join(repr(str(roi["name"])) for roi in named)
        return f"{names} has no closed contour, so there is no primary tumour to measure"
    found = ", ".join(repr(str(roi.get("name"))) for roi in rois) or "no ROI at all"
    return f"no ROI is named like a primary tumour (expected one of {', '.join(roi_names)}; found {found})"
