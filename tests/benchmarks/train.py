"""Training: reading patches must never be what it waits for.

A batch is read from the memory-mapped store of a cohort at random places and run through one step of training with the
paper's network; beside it the same patches from one compressed file a patient, as a cohort is kept elsewhere.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from tests.benchmarks.measuring import Options, Result, interleaved, timed
from tests.benchmarks.phantom_patients import SEED
from workers.bundles.bundle import load_bundle
from workers.features.extraction import Precision
from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork
from workers.phantoms.population import published_nomogram
from workers.phantoms.writing import PhantomCohort, phantom_patches
from workers.training.patch_store import PATCH_KEYS, build_store, saved_patch_reader
from workers.training.precision import PRECISIONS, autocast, faster_precision, step_seconds
from workers.training.sequence_training import WATCHED_EVERY
from workers.training.training_config import config_from_choices

PATIENTS = 24
BATCH = 32
ROLE = "CE-T1w"
PAPER_PATIENTS, PAPER_BATCH, EPOCHS, MEMBERS = 684, 64, 20, 5
BAG = 12  # tumour slices of a patient in one sequence


def run(options: Options) -> Result:
    """Milliseconds to read a batch and to learn from it, and the share of the reading."""
    result = Result("train")
    device = torch.device(options.device)
    with TemporaryDirectory() as temporary:
        root = Path(temporary)
        names = _write(root / "patches")
        store = build_store(names, saved_patch_reader(root / "patches"), root / "store")
        rng = np.random.default_rng(0)
        n_slices = int(store.starts[ROLE][-1])
        torch.manual_seed(0)
        network = SequenceNetwork(BackboneArchitecture()).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-4)
        read = saved_patch_reader(root / "patches")

        def load() -> torch.Tensor:
            return torch.from_numpy(store.slices(ROLE, rng.integers(0, n_slices, BATCH)))

        def load_files() -> None:
            for name in rng.choice(names, BATCH):
                read(str(name))[ROLE][0].astype(np.float32)

        batch = load()

        def learn() -> None:
            optimiser.zero_grad()
            prognosis, response = network(batch.to(device).contiguous(memory_format=torch.channels_last), 0.5)
            (prognosis.square().mean() + response.square().mean()).backward()
            optimiser.step()
            if device.type == "cuda":
                torch.cuda.synchronize()

        found = interleaved(
            {"reading": timed(load), "files": timed(load_files), "learning": timed(learn)}, options.rounds(9)
        )
        for n in (32, 128, 512):
            points = result.curve.setdefault("ms by number of slices read", {})
            points[str(n)] = round(
                min(timed(lambda n=n: store.slices(ROLE, rng.integers(0, n_slices, n)))() for _ in range(5)) * 1e3,
                3,  # type: ignore[misc]
            )
    result.figure("ours: reading a batch of 32 from the store", [s * 1e3 for s in found["reading"]], "ms")
    result.figure("one compressed file a patient: the same", [s * 1e3 for s in found["files"]], "ms")
    result.figure("learning from the batch", [s * 1e3 for s in found["learning"]], "ms")
    result.ratio("files / ours", found["files"], found["reading"])
    share = result.ratio("reading / learning", found["reading"], found["learning"])
    result.at_most("reading / learning", share, 0.2)
    _by_precision(device, result)
    return result


def _by_precision(device: torch.device, result: Result) -> None:
    """Seconds of a step by precision, and the hours of the paper's training from them."""
    slices = 64 if device.type == "cuda" else 8
    learning = step_seconds(BackboneArchitecture(), device, slices)
    looking = forward_seconds(BackboneArchitecture(), device, slices)
    for precision, seconds in learning.items():
        result.figure(f"a step of {PAPER_BATCH} patients in {precision}", [seconds / slices * PAPER_BATCH], "s")
        hours = _paper_seconds(seconds / slices, looking[precision] / slices) / 3600
        result.figure(f"{PAPER_PATIENTS} patients, {MEMBERS} members, {EPOCHS} epochs in {precision}", [hours], "h")
    result.notes.append(
        f"hours: from a step and a pass of {slices} slices, {BAG} slices a patient and sequence, one thread; "
        f"chosen here: {faster_precision(learning)}"
    )


def _paper_seconds(learning: float, looking: float) -> float:
    """Return the seconds of all SE-ResNets of an ensemble from those of one slice, learned from and looked at."""
    inside = PAPER_PATIENTS * (1 - 1 / MEMBERS)
    config = config_from_choices(
        width=1, variant="basic", pooling="maximum", epochs=EPOCHS, batch_size=PAPER_BATCH, transfer=False, seed=1
    )
    selections = -(-(EPOCHS - config.random_epochs) // config.refresh_every)
    watched = EPOCHS / WATCHED_EVERY * (PAPER_PATIENTS - inside)
    looked_at = selections * inside + watched + PAPER_PATIENTS  # the last: features for the multi-task network
    return MEMBERS * 3 * (EPOCHS * inside * learning + BAG * looked_at * looking)


def forward_seconds(backbone: BackboneArchitecture, device: torch.device, n_slices: int) -> dict[str, float]:
    """Seconds to select the instance among a number of slices, by precision."""
    network = SequenceNetwork(backbone).to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    patches = torch.rand(n_slices, 2, 128, 128, device=device).contiguous(memory_format=torch.channels_last)
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def look(precision: Precision) -> float:
        began = clock()
        with torch.no_grad(), autocast(device, precision):
            network.backbone(patches)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return clock() - began

    return {precision: min(look(precision) for _ in range(2)) for precision in PRECISIONS}


def _write(folder: Path) -> list[str]:
    folder.mkdir()
    cohort, nomogram, templates = (
        PhantomCohort(PATIENTS, SEED),
        published_nomogram(),
        load_bundle("demonstration").templates,
    )
    names = []
    for number in range(PATIENTS):
        patient, bags = phantom_patches(number, cohort, nomogram, templates)
        names.append(str(patient.record["patient_id"]))
        np.savez_compressed(folder / f"{names[-1]}.npz", **{PATCH_KEYS[role]: bag for role, bag in bags.items()})
    return names
