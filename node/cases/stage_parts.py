"""A stage that comes in parts: T, N and M as results of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from config.errors import InputError
from node.cases.stage import StageValue, parse_edition, parse_stage

_NUMBER = re.compile(r"(?P<prefix>[cpyra]{0,3})\s?(?P<value>is|x|[0-4](?:[a-e]\d?|mi)?)", re.IGNORECASE)


def parse_category(letter: str, text: str, edition: str | None = None) -> StageValue:
    """Read one category.

    Parameters
    ----------
    letter : {"T", "N", "M"}
        What the result is of, by its code.
    text : str
        ``cT3``, ``3``, ``T3 (AJCC 8)``, or a word for unknown.
    edition : str, optional
        As of `parse_stage`.

    Returns
    -------
    StageValue
        With this category, or with none where it cannot be assessed.

    Raises
    ------
    InputError
        When the text states another category or none.
    """
    plain = text.strip()
    bare = _NUMBER.fullmatch(plain)
    part = parse_stage(f"{bare.group('prefix')}{letter}{bare.group('value')}" if bare else plain, edition)
    others = {"T": (part.n, part.m), "N": (part.t, part.m), "M": (part.t, part.n)}[letter]
    own = {"T": part.t, "N": part.n, "M": part.m}[letter]
    # Some senders give the whole stage with each of the three codes.
    if any(others) and own is None:
        raise InputError(f"expected a value of {letter}, found {text!r}")
    return part


def join_parts(parts: Sequence[StageValue], default_edition: str | None = None) -> StageValue:
    """Join the parts of one stage.

    Parameters
    ----------
    parts : sequence of StageValue
        At least one.
    default_edition : str, optional
        The site's edition, where no part names one.

    Returns
    -------
    StageValue
        With the prefixes of all parts; of unknown edition where two parts name different ones.

    Raises
    ------
    InputError
        When two parts state one category with different values.
    """
    t, n, m = (_one([getattr(part, key) for part in parts], key.upper()) for key in ("t", "n", "m"))
    prefixes = {letter for part in parts for letter in part.prefix}
    unreadable = next((part.edition_text for part in parts if part.edition_text), "")
    editions = sorted({part.edition for part in parts if part.edition})
    extensions = {part.ene for part in parts if part.ene}
    stage = StageValue(
        t=t,
        n=n,
        m=m,
        prefix="".join(letter for letter in "yrpac" if letter in prefixes),
        edition=editions[0] if len(editions) == 1 and not unreadable else None,
        edition_text=unreadable or (" and ".join(editions) if len(editions) > 1 else ""),
        ene=extensions.pop() if len(extensions) == 1 else None,
        group=_one([part.group for part in parts], "the stage group"),
    )
    if stage.edition is None and not stage.edition_text and default_edition:
        return replace(stage, edition=parse_edition(default_edition), edition_assumed=True)
    return stage


def _one(values: Sequence[str | None], name: str) -> str | None:
    stated = sorted({value for value in values if value})
    if len(stated) > 1:
        raise InputError(f"expected one value of {name} in a stage, found {' and '.join(stated)}")
    return stated[0] if stated else None
