"""The CPTDN nomogram: from four covariates to disease-free survival under both arms and a recommendation.

No torch; `model`, `points` and `result` need numpy alone, so that a command answers in half a second.
"""
