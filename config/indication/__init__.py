"""The vocabulary of the indication: every fact about the disease and the decision, once.

``vocabulary`` names arms, series roles, biomarker categories and endpoints; ``conventions`` holds the units, rounding
rules and constants that every number follows; ``profile`` is the type of an indication, and ``nasopharynx`` the first
one. All rooms take from here; ``dicom_sr`` imports nothing else of the other rooms.
"""
