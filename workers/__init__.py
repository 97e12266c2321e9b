"""Computation of the scores and the nomogram, and the worker process that serves it. See README.md."""
