"""What can be set and what is shared: settings, errors, model bundle manifests, and the indication."""
