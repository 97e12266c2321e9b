"""The distribution of the training patients' deep features, from which out-of-distribution features are told.

References
----------
Lee et al., A simple unified framework for detecting out-of-distribution samples, NeurIPS 2018 (Mahalanobis distance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.arrays import Float32Array


@dataclass(frozen=True)
class FeatureDistribution:
    """Mean and spread of the training patients' features of one sequence.

    Attributes
    ----------
    mean : float32, shape (c,)
        Mean of each feature.
    precision : float32, shape (c, c)
        Inverse of the shrunk covariance.
    limit : float
        A larger distance is out of distribution.
    """

    mean: Float32Array
    precision: Float32Array
    limit: float

    def distance(self, features: Float32Array) -> float:
        """Return the distance of one patient's features from those of the training.

        Parameters
        ----------
        features : float32, shape (c,)
            Of the patient's representative slice.

        Returns
        -------
        float
            Mahalanobis distance divided by the square root of c: about 1 for a patient like those of the training,
            whatever the number of features.
        """
        # In float64: the quadratic form sums n^2 terms of both signs.
        difference = np.asarray(features, dtype=np.float64) - self.mean
        # Rounding of a nearly singular precision can give a negative form for features at the mean.
        return float(np.sqrt(max(float(difference @ self.precision @ difference), 0.0) / len(difference)))
