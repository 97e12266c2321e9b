"""From deep features to Prognostic-score and Predictive-score, and their Grad-CAM maps. See README.md."""
