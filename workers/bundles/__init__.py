"""Model bundles: load, verify, pack; and the drift of incoming studies against the training."""
