"""Survival statistics of a cohort: Kaplan-Meier, Cox regression, concordance, stepwise selection.

Arrays and file names only; no torch, no nomogram. A duration is in days unless a name says otherwise.
"""
