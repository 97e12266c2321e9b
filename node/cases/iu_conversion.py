"""The factor by which a result in IU/mL becomes copies/mL: it depends on laboratory, assay and time.

Laboratories that measured the same samples agreed with an intraclass correlation of 0.59 to 0.70 before they
harmonised their assays (Le et al., Clin Cancer Res 2013;19:2208), so no factor holds for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from config.sections import plain_name
from config.settings import IuFactor


def iu_factor(
    factors: Sequence[IuFactor], laboratory: str | None, assay: str | None, drawn_on: date | None
) -> IuFactor | None:
    """Choose the factor of a result.

    Parameters
    ----------
    factors : sequence of IuFactor
        ``[clinical] copies_per_iu``.
    laboratory, assay : str or None
        Of the result, as sent.
    drawn_on : date or None
        Day of the draw; without one, only factors without days fit.

    Returns
    -------
    IuFactor or None
        The most specific one that fits: laboratory and assay, then laboratory, then assay, then any.
    """
    fitting = [
        factor
        for factor in factors
        if _names(factor.laboratory, laboratory) and _names(factor.assay, assay) and _covers(factor, drawn_on)
    ]
    # The settings refuse factors that differ and fit equally well, so the order of the list does not matter.
    return max(
        fitting,
        key=lambda factor: (factor.laboratory is not None, factor.assay is not None, factor.since or date.min),
        default=None,
    )


def _names(expected: str | None, sent: str | None) -> bool:
    return expected is None or plain_name(expected) == plain_name(sent)


def _covers(factor: IuFactor, drawn_on: date | None) -> bool:
    if factor.since is None and factor.until is None:
        return True
    return drawn_on is not None and (factor.since or date.min) <= drawn_on <= (factor.until or date.max)
