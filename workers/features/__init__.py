"""Deep features of one sequence: SE-ResNet and multiple-instance learning. See README.md."""
