"""Training: reading patches must never be what it waits for.

A batch is read from the memory-mapped store of a cohort at random places and run through one step of training with the
paper's network; beside it the same patches from one compressed file a patient, as a cohort is kept elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from tests.benchmarks.measuring import Options, Result, interleaved, timed
from tests.benchmarks.phantom_patients import SEED
from workers.bundles.bundle import load_bundle
from workers.features.se_resnet import BackboneArchitecture, SequenceNetwork
from workers.phantoms.population import published_nomogram
from workers.phantoms.writing import PhantomCohort, phantom_patches
from workers.training.patch_store import PATCH_KEYS, build_store, saved_patch_reader

PATIENTS = 24
BATCH = 32
ROLE = "CE-T1w"


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
    return result


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
