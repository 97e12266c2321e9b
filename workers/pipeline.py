"""The whole story in plain Python: stored series and contour in, scores and both arms' survival out.

    prepare_study   files -> geometry-true volumes -> contour on their grids -> patches          (volumes)
    analyse_study   patches -> deep features -> Prognostic- and Predictive-score -> nomogram     (features, scores, nomogram)
    draft_report    all of it -> the TreatmentReport, which dicom_sr turns into objects

The queue (tasks.py, steps.py) and the command line (`cptdn score`) tell this same story; a notebook can, too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from config.errors import IneligibleStudyError
from config.settings import Settings
from dicom_sr.treatment_report import SeriesRole
from node.cases.assessment import ComputeRequest
from workers.artefacts import SequenceMaterial, StudyMaterial
from workers.bundles import Bundle
from workers.features.extraction import extract, resolve_device
from workers.nomogram.model import CoxNomogram
from workers.nomogram.result import NomogramResult, PatientCovariates
from workers.scores.scoring import score
from workers.volumes.contours import RoiMask, roi_mask
from workers.volumes.patches import extract_bag
from workers.volumes.reader import MrSeries, read_series
from workers.volumes.structures import Roi, read_structures

Paths = Mapping[str, Path]
"""Where the stored instances are: SOP Instance UID -> file."""


@dataclass(frozen=True)
class Analysis:
    """What the networks and the nomogram say about one study.

    representative : row of the slice with the highest predicted risk in each sequence's patches.
    nomogram : one result for a known EBV DNA category, two for an unknown one.
    seconds : duration by part.
    """

    prognostic_score: float
    predictive_score: float
    representative: Mapping[SeriesRole, int]
    seconds: Mapping[str, float] = field(default_factory=dict)
