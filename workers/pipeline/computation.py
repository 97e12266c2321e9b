"""The steps of a computation in plain Python, without queue and ledger.

    prepare_study           files -> volumes, contour on their grids, patches
    extract_study_features  patches -> deep features of the representative slices
    score_studies           features -> Prognostic-score, Predictive-score, out-of-distribution reasons

`analyse_study` and `analyse_studies` extract and score in one call. What follows from the scores is in `prediction`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from config.arrays import Float32Array
from config.indication.conventions import SCORE_DECIMALS
from config.indication.vocabulary import SeriesRole
from config.messages.message import message
from config.settings import CaseSettings
from dicom_sr.report.treatment_report import Reason
from node.cases.case_inputs import ComputeRequest
from workers.bundles.bundle import Bundle, Preprocessing
from workers.features.extraction import DeepFeatures, Precision, extract, extract_many, resolve_device
from workers.nomogram.score_error import ScoreError, score_error_of
from workers.plausibility.contour_alone import require_outside_organs, require_tumour_volume
from workers.scores.ensemble import score_by_ensemble
from workers.scores.scoring import score
from workers.stability.variants import DrawnStudy, VariantScores, variant_scores
from workers.volumes.chosen_series import read_chosen
from workers.volumes.contour_source import contour_on_series
from workers.volumes.patches import PATCH_SIZE
from workers.volumes.prepared_study import PreparedSeries, PreparedStudy
from workers.volumes.series_patches import extract_series_patches

Files = Mapping[str, Path]
"""Stored instances: SOP Instance UID -> file."""

WARM_UP_SLICES = 8  # one batch of a CPU, see `extraction.BATCH`


@dataclass(frozen=True)
class StudyFeatures:
    """Deep features of n studies, of each member of the bundle.

    Attributes
    ----------
    features : tuple of mapping of SeriesRole to float32, shape (n, n_features)
        By member, of the slice that represents the study for this member.
    representative : mapping of SeriesRole to tuple of int, length n
        Row among the series' patches of the slice that most members take; of equally many the first.
    deep : tuple of mapping of SeriesRole to sequence of DeepFeatures, length n
        By member, with the features of every slice.
    """

    features: tuple[Mapping[SeriesRole, Float32Array], ...]
    representative: Mapping[SeriesRole, tuple[int, ...]]
    deep: tuple[Mapping[SeriesRole, Sequence[DeepFeatures]], ...]

    def of_study(self, role: SeriesRole, study: int) -> list[Float32Array]:
        """Return the features of one study and sequence, of each member: float32, shape (n_features,)."""
        return [member[role][study] for member in self.features]


@dataclass(frozen=True)
class Analysis:
    """Result of the networks for one study.

    Attributes
    ----------
    prognostic_score, predictive_score : float
        In (-1, 1), the mean of the members' scores, rounded to the decimals of the report.
    score_error : ScoreError or None
        Standard errors of the scores; None for a bundle with one member.
    representative : mapping of SeriesRole to int
        Row of the slice with the highest predicted risk among each series' patches.
    out_of_distribution : tuple of Reason
        One for each series whose features are farther from those of the training patients than the bundle's limit.
    variants : VariantScores or None
        Scores with slightly other inputs, where they were asked for.
    seconds : mapping of str to float
        Time of extraction (``features``), scoring (``scores``) and, where they were computed, of the variants
        (``stability``), the mean over the studies of one call.
    """

    prognostic_score: float
    predictive_score: float
    representative: Mapping[SeriesRole, int]
    score_error: ScoreError | None = None
    out_of_distribution: tuple[Reason, ...] = ()
    variants: VariantScores | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


def prepare_study(request: ComputeRequest, files: Files, bundle: Preprocessing, case: CaseSettings) -> PreparedStudy:
    """Read the series, rasterise the contour on their grids, and cut the patches.

    Parameters
    ----------
    request : ComputeRequest
        Which instances, contours and registrations belong to each role.
    files : mapping of str to Path
        A file for every instance that the request names.
    bundle : Preprocessing
        Intensity templates and pixel spacing.
    case : CaseSettings
        The largest angle of the slices to axial ones.

    Returns
    -------
    PreparedStudy
        One prepared series for each role of the request.

    Raises
    ------
    IneligibleStudyError
        With the reason code of the first image or contour that cannot be used.
    """
    roles = [SeriesRole(role) for role in request.series]
    # The series in parallel: reading, decoding and NumPy release the interpreter's lock.
    with ThreadPoolExecutor(len(roles)) as pool:
        prepared = pool.map(lambda role: _prepare_series(role, request, files, bundle, case), roles)
        return {series.role: series for series in prepared}


def _prepare_series(
    role: SeriesRole, request: ComputeRequest, files: Files, bundle: Preprocessing, case: CaseSettings
) -> PreparedSeries:
    series = read_chosen(request.series[role.value], files, case.series_rules.check_image_count)
    chosen, registration = request.contours[role.value], request.registrations.get(role.value)
    contour = contour_on_series(
        files[chosen["sop_instance_uid"]],
        chosen["kind"],
        chosen["roi_number"],
        series,
        files[registration["sop_instance_uid"]] if registration else None,
    )
    # Before any pixel of the images is decoded: the contour alone shows the slip, and an organ of its structure set.
    require_tumour_volume(role.value, contour)
    organs = require_outside_organs(role.value, files[chosen["sop_instance_uid"]], chosen["kind"], contour)
    template = bundle.templates[role.value]
    max_oblique_degrees = case.series_rules.max_oblique_degrees
    cut = extract_series_patches(series, contour.mask_zyx, template, bundle.spacing_mm, max_oblique_degrees)
    findings = (*series.findings, *contour.findings, *organs)
    return PreparedSeries(
        role=role,
        series_instance_uid=series.series_instance_uid,
        sop_class_uid=str(series.dataset.SOPClassUID),
        description=str(series.dataset.get("SeriesDescription") or ""),
        patches=cut.patches,
        slices=cut.slices,
        # Only the touched slices: the report needs no others, and the artefact stays small.
        mask_zyx=contour.mask_zyx[cut.slice_index],
        volume_ml=contour.volume_ml,
        n_slices=contour.n_slices,
        landmark_distance=cut.distance,
        distance_limit=template.distance_limit,
        findings=tuple((finding.code, finding.text) for finding in findings),
        picture=cut.picture,
        close_up=cut.close_up,
    )


def extract_study_features(
    studies: Sequence[PreparedStudy], bundle: Bundle, device: str, precision: Precision = "float32"
) -> StudyFeatures:
    """Compute the deep features of the representative slices, batched across studies.

    Parameters
    ----------
    studies : sequence of PreparedStudy, not empty
        All with the roles of the first.
    bundle : Bundle
        Its SE-ResNets.
    device : str
        As in the settings: ``auto``, ``cpu`` or ``cuda``.
    precision : {'float32', 'bfloat16'}
        Reports are computed in float32.

    Returns
    -------
    StudyFeatures
        In the order of the studies; the numbers of each are those that it has alone.
    """
    where = resolve_device(device)
    by_member: list[dict[SeriesRole, list[DeepFeatures]]] = []
    for member in bundle.members:
        deep = {}
        for role in studies[0]:
            bags = [member.patches_on_own_scale(role.value, study[role].patches) for study in studies]
            deep[role] = extract_many(bags, member.sequence_network(role.value), where, precision)
        by_member.append(deep)
    features = [{role: np.stack([each.features for each in deep[role]]) for role in deep} for deep in by_member]
    representative = {
        role: tuple(
            _most_frequent([deep[role][study].representative_index for deep in by_member])
            for study in range(len(studies))
        )
        for role in studies[0]
    }
    return StudyFeatures(tuple(features), representative, tuple(by_member))


def _most_frequent(rows: Sequence[int]) -> int:
    """Return the row that most members take, of equally many the first in the series."""
    return int(np.bincount(rows).argmax())


def score_studies(extracted: StudyFeatures, bundle: Bundle, device: str) -> list[Analysis]:
    """Compute both scores of each study, and compare its features with those of the training patients.

    Parameters
    ----------
    extracted : StudyFeatures
        Of n studies.
    bundle : Bundle
        Its multi-task network and feature distributions.
    device : str
        As in the settings.

    Returns
    -------
    list of Analysis, length n
        In the order of the studies. The nomogram is given the rounded scores, so that the report's numbers are what
        `cptdn nomogram score` computes from the scores in the report.
    """
    by_role = [{role.value: rows for role, rows in member.items()} for member in extracted.features]
    networks = [member.score_network() for member in bundle.members]
    scores = score_by_ensemble(by_role, networks, str(resolve_device(device)))
    mean, errors = scores.mean, score_error_of(scores)
    return [
        Analysis(
            # Rounded before the nomogram reads them, so that the report's numbers follow from the scores it shows.
            prognostic_score=round(float(mean.prognostic[study]), SCORE_DECIMALS),
            predictive_score=round(float(mean.predictive[study]), SCORE_DECIMALS),
            representative={role: rows[study] for role, rows in extracted.representative.items()},
            score_error=None if errors is None else errors.of_patient(study),
            out_of_distribution=tuple(
                reason
                for role in extracted.representative
                for reason in _feature_reasons(role, extracted.of_study(role, study), bundle)
            ),
        )
        for study in range(len(mean.prognostic))
    ]


def analyse_study(study: PreparedStudy, bundle: Bundle, device: str, *, with_variants: bool = False) -> Analysis:
    """Extract and score one study, and its variants where they are asked for.

    Parameters
    ----------
    study : PreparedStudy
        All series.
    bundle, device
        As of `analyse_studies`.
    with_variants : bool
        Whether the stability of the answer is to be told (`stability.variants`); no other number depends on it.

    Returns
    -------
    Analysis
        Of the study.
    """
    begin = time.perf_counter()
    extracted = extract_study_features([study], bundle, device)
    between = time.perf_counter()
    analysis = score_studies(extracted, bundle, device)[0]
    end = time.perf_counter()
    seconds = {"features": between - begin, "scores": end - between}
    if not with_variants:
        return replace(analysis, seconds=seconds)
    drawn = DrawnStudy(
        {role.value: series.patches for role, series in study.items()},
        [{role.value: deep[0] for role, deep in member.items()} for member in extracted.deep],
    )
    [variants] = variant_scores([drawn], bundle.members, bundle.spacing_mm, device)
    return replace(analysis, variants=variants, seconds={**seconds, "stability": time.perf_counter() - end})


def analyse_studies(
    studies: Sequence[PreparedStudy], bundle: Bundle, device: str, precision: Precision = "float32"
) -> list[Analysis]:
    """Extract and score studies, batched across patients.

    Parameters
    ----------
    studies : sequence of PreparedStudy, not empty
        All with the roles of the first.
    bundle : Bundle
        The networks.
    device : str
        As in the settings.
    precision : {'float32', 'bfloat16'}
        Of the features; reports are computed in float32.

    Returns
    -------
    list of Analysis
        In the order of the studies.
    """
    begin = time.perf_counter()
    extracted = extract_study_features(studies, bundle, device, precision)
    between = time.perf_counter()
    analyses = score_studies(extracted, bundle, device)
    n, end = len(studies), time.perf_counter()
    # Of one study: a batch is timed as a whole and shared out evenly.
    seconds = {"features": (between - begin) / n, "scores": (end - between) / n}
    return [replace(analysis, seconds=seconds) for analysis in analyses]


def _feature_reasons(role: SeriesRole, features: Sequence[Float32Array], bundle: Bundle) -> list[Reason]:
    distance, limit = bundle.feature_distance(role.value, features), bundle.feature_limit(role.value)
    # Reasons only: the setting `eligibility.out_of_distribution` decides whether they refuse the study or are warnings.
    if distance <= limit:
        return []
    text = message("out_of_distribution.features", role=role.value, distance=distance, limit=limit)
    return [Reason("out_of_distribution", text)]


def warm_up(bundle: Bundle, device: str) -> None:
    """Load all networks and run one inference on empty patches, so that the first study does not wait for it."""
    patches = np.zeros((WARM_UP_SLICES, 2, PATCH_SIZE, PATCH_SIZE), dtype=np.float32)
    where = resolve_device(device)
    for member in bundle.members:
        features = {role.value: extract(patches, member.sequence_network(role.value), where)[0] for role in SeriesRole}
        score(features, member.score_network(), str(where))
