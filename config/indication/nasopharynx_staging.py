"""TNM of the nasopharynx by edition: categories, stage groups, and what a category of one edition is in another.

An edition is the number of the AJCC manual or of the UICC book: "7" (2010), "8" (2017), "9" (AJCC Version 9, 2025). In
the 9th a node with advanced radiologic extranodal extension (into muscle, skin or neurovascular bundles) is N3, M1 is
divided by the number of lesions, and the groups have other names; T stays.

References
----------
AJCC Cancer Staging Manual, 7th edition, chapter 4, and 8th edition, chapter 9; AJCC Version 9, Nasopharynx, as in Pan
et al., JAMA Oncol 2024, "Ninth version of the AJCC and UICC nasopharyngeal cancer TNM staging classification", table 2.
"""

from __future__ import annotations

from collections.abc import Mapping

EDITIONS = ("7", "8", "9")
T_CATEGORIES = frozenset({"Tis", "T0", "T1", "T2", "T3", "T4"})
CATEGORIES: Mapping[str, frozenset[str]] = {
    "7": T_CATEGORIES | {"N0", "N1", "N2", "N3", "N3a", "N3b", "M0", "M1"},
    "8": T_CATEGORIES | {"N0", "N1", "N2", "N3", "M0", "M1"},
    "9": T_CATEGORIES | {"N0", "N1", "N2", "N3", "M0", "M1", "M1a", "M1b"},
}
WITH_METASTASES: Mapping[str, Mapping[str, str]] = {
    "7": {"M1": "IVC"},
    "8": {"M1": "IVB"},
    "9": {"M1": "IV", "M1a": "IVA", "M1b": "IVB"},
}


def main_category(category: str) -> str:
    """Return a category without its subdivision: ``N3b`` is an N3, ``T3a`` a T3, ``Tis`` itself.

    Parameters
    ----------
    category : str
        For example ``N3b``.
    """
    return category if category.lower().endswith("is") else category[:2]


def is_defined(category: str, edition: str) -> bool:
    """Return whether an edition has a category; N1a and T2b are those of other systems.

    Parameters
    ----------
    category : str
        For example ``N1`` or ``M1b``.
    edition : str
        One of `EDITIONS`.
    """
    return category in CATEGORIES[edition]


def stage_group(t: str | None, n: str | None, m: str | None, edition: str | None) -> str | None:
    """Return the stage group of three categories.

    Parameters
    ----------
    t, n, m : str or None
        For example ``T3``, ``N1``, ``M0``; None where it is not known.
    edition : str or None
        One of `EDITIONS`.

    Returns
    -------
    str or None
        For example ``III``; None where edition or categories leave it open.
    """
    if edition not in EDITIONS or m is None:
        return None
    if m.startswith("M1"):
        groups = WITH_METASTASES[edition]
        return groups.get(m, groups["M1"])
    if n is None or t is None or not {main_category(t), main_category(n), m} <= CATEGORIES[edition]:
        return None
    return _group_without_metastases(main_category(t), main_category(n), edition)


def _group_without_metastases(t: str, n: str, edition: str) -> str | None:
    if t == "Tis":
        return "0" if n == "N0" else None
    if n == "N3":
        return {"7": "IVB", "8": "IVA", "9": "III"}[edition]
    if t == "T4":
        return {"7": "IVA", "8": "IVA", "9": "III"}[edition]
    if t == "T3" or n == "N2":
        return {"7": "III", "8": "III", "9": "II"}[edition]
    if t == "T0" and n == "N0":  # a T0 is known by its nodes alone
        return None
    if edition == "9":
        return "IA" if n == "N0" else "IB"
    return "I" if (t, n) == ("T1", "N0") else "II"


def other_group(
    t: str | None, n: str | None, m: str | None, edition: str | None, extension: str | None
) -> tuple[str, tuple[str, ...]] | None:
    """Return the stage groups by the other one of the editions 8 and 9.

    Parameters
    ----------
    t, n, m : str or None
        Categories by `edition`.
    edition : str or None
        "8" or "9".
    extension : {"yes", "no"} or None
        Whether there is advanced extranodal extension; None where it is not known.

    Returns
    -------
    pair of (edition, groups) or None
        One group, or two where the extension is not known and decides: the first without, the second with it. None
        where categories or edition leave it open.
    """
    if edition == "8":
        return _groups("9", t, _n_in_the_9th(n, extension), m)
    if edition == "9" and n != "N3":
        return _groups("8", t, (n,), "M1" if m and m.startswith("M1") else m)
    return None


def _n_in_the_9th(n: str | None, extension: str | None) -> tuple[str | None, ...]:
    if n in ("N1", "N2"):
        return {"yes": ("N3",), "no": (n,)}.get(extension or "", (n, "N3"))
    return (n,)


def _groups(
    edition: str, t: str | None, nodes: tuple[str | None, ...], m: str | None
) -> tuple[str, tuple[str, ...]] | None:
    groups = tuple(dict.fromkeys(stage_group(t, n, m, edition) for n in nodes))
    return None if None in groups else (edition, tuple(group for group in groups if group))
