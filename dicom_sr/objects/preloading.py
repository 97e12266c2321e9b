"""Work of the first report, done before it is needed.

Light to import: each function imports what it needs when it is called, so that another process can be told to call one
before anything of this room is loaded here.
"""

from __future__ import annotations

import importlib


def preload_drawing() -> None:
    """Load the modules and fonts that draw a page, and measure the ASCII letters."""
    from dicom_sr.page.layout import preload_fonts

    # The functions that draw pages are sent to the drawing process by name: their module must be there.
    importlib.import_module("dicom_sr.objects.build")
    preload_fonts()


def preload_building() -> None:
    """Load the modules that build the objects, and highdicom's tables of the standard."""
    import numpy as np
    from highdicom.sc import SCImage
    from pydicom.uid import generate_uid

    importlib.import_module("dicom_sr.objects.build")
    # highdicom reads its tables (0.4 CPU seconds) when a process builds its first object; a single pixel is enough.
    SCImage(
        pixel_array=np.zeros((1, 1, 3), np.uint8),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=generate_uid(),
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="preloading",
    )
