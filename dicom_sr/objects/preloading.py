"""What the first report would wait for, done before. Light to import: each function loads what it needs when called, so
that a process can be told to get ready before anything of this room is loaded."""

from __future__ import annotations

import importlib


def preload_drawing() -> None:
    """Everything that draws a page: modules, fonts, and the measures of plain letters."""
    from dicom_sr.page.layout import preload_fonts

    importlib.import_module("dicom_sr.objects.build")  # pages are drawn by functions that stand there
    preload_fonts()


def preload_validation_tables() -> None:
    """The standard's tables that objects are checked against."""
    from dicom_sr.objects.validation import load_tables

    load_tables()
