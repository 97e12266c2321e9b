"""Training of a model bundle: images and a cohort in, a verified bundle out. The service never imports this room."""
