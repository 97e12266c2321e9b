"""Measurements of TID 300, written as the number that every other object shows."""

from __future__ import annotations

from highdicom.sr import Measurement
from pydicom.valuerep import DS

from dicom_sr.coding import codes
from dicom_sr.coding.concept import Concept
from dicom_sr.report import numbers


def percent(name: Concept, fraction: float) -> Measurement:
    """Build the measurement of a probability, in percent."""
    return measurement(name, numbers.percent(fraction), codes.PERCENT)


def percentage_points(name: Concept, fraction: float) -> Measurement:
    """Build the measurement of a difference of probabilities, in percentage points."""
    return measurement(name, numbers.percent(fraction), codes.PERCENTAGE_POINTS)


def measurement(name: Concept, shown: str, unit: Concept) -> Measurement:
    """Build a measurement (TID 300) with the number as shown.

    Parameters
    ----------
    name : Concept
        Concept name of the quantity.
    shown : str
        The number, at most 16 characters (VR DS).
    unit : Concept
        Unit from UCUM.

    Returns
    -------
    Measurement
        A NUM item.
    """
    item = Measurement(name.code, 0, unit.code)
    # highdicom writes all digits of a float; a reader should see the string that every other object shows.
    item[0].MeasuredValueSequence[0].NumericValue = DS(shown)
    return item
