"""The figures of a manifest as text, for pages and commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.messages.catalogue import CATALOGUE
from config.messages.message import message

FIGURE = {"value", "ci95"}
NAMES = {
    "c_index": "C-index",
    "oracle_c_index": "C-index of the true risk",
    "ici": "ICI",
    "ipa": "IPA",
    "brier": "Brier",
}


def metric_rows(group: Mapping[str, Any], path: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return name and text of each figure of a group of metrics.

    Parameters
    ----------
    group : mapping
        One entry of ``metrics`` in a manifest: numbers, figures with their interval, or groups of these.
    path : sequence of str
        Names of the groups that it is in.

    Returns
    -------
    list of (str, str)
        In the order of the manifest; a figure that does not exist is ``-``.
    """
    rows: list[tuple[str, str]] = []
    for name, value in group.items():
        full_name = [*path, _words(name)]
        if isinstance(value, Mapping) and set(value) != FIGURE:
            rows += metric_rows(value, full_name)
        else:
            rows.append((message("metric.path", parts=full_name), figure_text(value)))
    return rows


def _words(name: str) -> str:
    key = f"metric.{name}"
    return message(key) if key in CATALOGUE else NAMES.get(name, name.replace("_", " "))


def figure_text(value: Any) -> str:
    """Return a figure to three decimals, with its 95 % interval where it has one.

    Parameters
    ----------
    value : number, mapping with ``value`` and ``ci95``, an interval, or None
        None is a figure that does not exist.

    Returns
    -------
    str
        For example ``0.781 (0.700 to 0.850)``, or ``-``.
    """
    if isinstance(value, Mapping):
        interval = value["ci95"]
        shown = figure_text(value["value"])
        return shown if interval is None else f"{shown} ({interval[0]:.3f} to {interval[1]:.3f})"
    if value is None:
        return "-"
    if isinstance(value, list) and len(value) == 2:
        return f"{value[0]:.3f} to {value[1]:.3f}"
    key = f"metric_value.{value}"
    if key in CATALOGUE:
        return message(key)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
