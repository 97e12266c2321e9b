"""Validation of a nomogram on a cohort: statistics, figures and a report. The service never imports this room."""
