"""Scoring a cohort of the paper's size again from kept patches: no DICOM is touched.

Patches of some patients stand on the disk as the volumes step keeps them and are read again and again until 1,872
patients are scored. Reading runs ahead of the network. Both the bundled network and one of the paper's size are run;
the latter on fewer patients where there is no GPU, and what a whole cohort would take is said to be computed from it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.benchmarks.measuring import Options, Result
from tests.benchmarks.phantom_patients import phantom_materials
from workers.bundles.bundle import Bundle, load_bundle
from workers.features.extraction import extract_many, resolve_device
from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork
from workers.pipeline.artefacts import load_prepared_study, save_prepared_study
from workers.pipeline.computation import analyse_studies
from workers.volumes.prepared_study import PreparedStudy

COHORT = 1872
KEPT = 48
AT_ONCE = 24
GOAL_S = 60.0
CURVE = (24, 120, 480, 1872)


def run(options: Options) -> Result:
    """Seconds of the whole cohort, by number of patients, and by network."""
    result = Result("rescore")
    bundle = load_bundle("demonstration")
    with TemporaryDirectory() as temporary:
        folders = _keep(Path(temporary))
        sizes = CURVE[:3] if options.quick else CURVE
        for n in sizes:
            began = time.perf_counter()
            found = rescore(_cohort(folders, n), bundle, options)
            result.curve.setdefault("seconds by number of patients", {})[str(n)] = round(time.perf_counter() - began, 3)
            assert found == n
        largest = sizes[-1]
        took = result.curve["seconds by number of patients"][str(largest)]
        whole = took * COHORT / largest
        said = "" if largest == COHORT else f", computed from {largest} patients"
        result.figure(f"bundled network: {COHORT} patients{said}", [whole], "s")
        result.at_most(f"bundled network: {COHORT} patients on this machine, s", whole, GOAL_S)
        _paper_size(folders, options, result)
    return result


def _keep(root: Path) -> list[Path]:
    folders = []
    for group in phantom_materials(KEPT, at_once=KEPT):
        for at, material in enumerate(group):
            folders.append(root / str(at))
            save_prepared_study(folders[-1], material)
    return folders


def _cohort(folders: list[Path], n: int) -> list[Path]:
    return [folders[at % len(folders)] for at in range(n)]


def read_ahead(folders: list[Path]) -> Iterator[list[PreparedStudy]]:
    """Kept patches in groups, the next one read while this one is computed."""
    groups = [folders[at : at + AT_ONCE] for at in range(0, len(folders), AT_ONCE)]

    def read(group: list[Path]) -> list[PreparedStudy]:
        return [material for folder in group if (material := load_prepared_study(folder)) is not None]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(read, groups[0])
        for following in [*groups[1:], []]:
            here = coming.result()
            coming = pool.submit(read, following)
            yield here


def rescore(folders: list[Path], bundle: Bundle, options: Options) -> int:
    """Both scores of every patient; how many there were."""
    device = str(resolve_device(options.device))
    precision = "bfloat16" if options.device == "cuda" else "float32"
    return sum(len(analyse_studies(group, bundle, device, precision)) for group in read_ahead(folders))


def _paper_size(folders: list[Path], options: Options, result: Result) -> None:
    """The features of a network of the paper's size, which are nearly all of the work."""
    torch.manual_seed(0)
    network = SequenceNetwork(BackboneArchitecture()).eval()
    n = COHORT if options.device == "cuda" else 4
    began = time.perf_counter()
    for group in read_ahead(_cohort(folders, n)):
        for role in group[0]:
            extract_many([one[role].patches for one in group], network, options.device, "bfloat16")
    whole = (time.perf_counter() - began) * COHORT / n
    said = "" if n == COHORT else f", computed from {n} patients"
    result.figure(f"network of the paper's size, bfloat16: {COHORT} patients{said}", [whole], "s")
    if options.device == "cuda":
        result.at_most(f"network of the paper's size: {COHORT} patients on the GPU, s", whole, GOAL_S)
