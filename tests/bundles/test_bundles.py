"""Model bundles: whole, changed, missing, of another architecture; and what the shipped one promises."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from config.bundle_manifest import MANIFEST
from config.errors import ModelBundleError
from config.settings import BUNDLES
from workers.bundles.bundle import Bundle, load_bundle, verify_bundle
from workers.bundles.bundle_files import files_of, load_weights, save_weights, sha256_of
from workers.bundles.packing import pack_bundle
from workers.features.extraction import extract
from workers.scores.scoring import score

MAX_MEGABYTES = 10


@pytest.fixture(scope="module")
def demonstration() -> Bundle:
    return verify_bundle("demonstration")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "copy"))


def test_the_shipped_bundle_is_small_whole_and_a_demonstration(demonstration: Bundle) -> None:
    files = [path for path in demonstration.folder.rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    assert total <= MAX_MEGABYTES * 1e6
    assert demonstration.manifest.demonstration
    assert "demonstration only" in demonstration.manifest.intended_use
    assert "phantom" in demonstration.training_population
    assert {path.suffix for path in files} == {".json", ".safetensors"}


def test_the_shipped_bundle_tells_how_it_does_on_held_out_phantoms(demonstration: Bundle) -> None:
    # The gates of the method: within 0.06 of the oracle and 0.85 agreement; other scanners 0.10 and 0.80.
    metrics = demonstration.manifest.content["metrics"]
    for title, gap, agreement in (
        ("phantoms_test", 0.06, 0.85),
        ("phantoms_other", 0.10, 0.80),
    ):
        found = metrics[title]
        assert found["c_index"]["all"]["value"] >= found["oracle_c_index"] - gap
        assert found["against_truth"]["agreement"] >= agreement


def test_the_nomogram_is_the_published_one(demonstration: Bundle) -> None:
    assert demonstration.nomogram.coefficients["prognostic_score"] == pytest.approx(1.534686422935056)
    assert "EBioMedicine 2021;70:103522" in demonstration.nomogram.citation


def test_a_copy_has_the_same_digest_and_the_same_scores(demonstration: Bundle, copy: Path) -> None:
    other = load_bundle(copy)
    assert other.digest == demonstration.digest
    assert other.network_digest == demonstration.network_digest
    assert other.preprocessing_digest == demonstration.preprocessing_digest
    patches = np.random.default_rng(0).random((3, 2, 128, 128), dtype=np.float32)

    def scored(bundle: Bundle) -> tuple[float, float]:
        roles = ("T1w", "T2w", "CE-T1w")
        return score(
            {r: extract(patches, bundle.members[0].sequence_network(r))[0] for r in roles},
            bundle.members[0].score_network(),
        )

    assert scored(other) == scored(demonstration)


@pytest.mark.parametrize("name", [name for name in files_of(5) if name[:8] not in ("member-2", "member-3", "member-4")])
def test_one_changed_byte_is_found(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(
        ModelBundleError, match=rf"{name} was changed: expected sha256 .*, found {sha256_of(copy / name)}"
    ):
        load_bundle(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "member-2" / "t2w.safetensors").unlink()
    with pytest.raises(ModelBundleError, match=r"expected the file .*member-2/t2w\.safetensors, found no such file"):
        load_bundle(copy)


def test_a_changed_manifest_is_another_bundle(demonstration: Bundle, copy: Path) -> None:
    content = json.loads((copy / MANIFEST).read_text())
    content["intended_use"] = "clinical use"
    (copy / MANIFEST).write_text(json.dumps(content))
    assert load_bundle(copy).digest != demonstration.digest


def test_layout_of_the_manifest_does_not_count(demonstration: Bundle, copy: Path) -> None:
    content = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(dict(reversed(content.items())), indent=7))
    assert load_bundle(copy).digest == demonstration.digest


def test_a_manifest_without_architecture_is_refused(copy: Path) -> None:
    content = json.loads((copy / MANIFEST).read_text())
    del content["architecture"]["scores"]
    (copy / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ModelBundleError, match="expected 'architecture' with backbone, scores, found backbone"):
        load_bundle(copy)


def test_weights_of_another_width_are_refused_with_both_shapes(copy: Path) -> None:
    content = json.loads((copy / MANIFEST).read_text())
    content["architecture"]["backbone"]["width"] = 0.5
    with pytest.raises(ModelBundleError, match=r"expected \(.*\), found \(.*\)"):
        pack_bundle(copy, {name: value for name, value in content.items() if name != "files"})


def test_a_tensor_too_many_or_too_few_is_named(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    save_weights(layer, tmp_path / "w.safetensors")
    tensors = load_file(tmp_path / "w.safetensors")
    save_file({"weight": tensors["weight"]}, tmp_path / "few.safetensors")
    with pytest.raises(ModelBundleError, match=r"tensor bias: expected \(2,\), found no such tensor"):
        load_weights(layer, tmp_path / "few.safetensors")
    (tmp_path / "none.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelBundleError, match="not a safetensors file"):
        load_weights(layer, tmp_path / "none.safetensors")


def test_pickles_are_never_read(copy: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, copy / "member-1" / "t1w.safetensors")
    content = json.loads((copy / MANIFEST).read_text())
    content["files"]["member-1/t1w.safetensors"] = sha256_of(copy / "member-1" / "t1w.safetensors")
    (copy / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ModelBundleError, match="not a safetensors file"):
        verify_bundle(copy)


def test_saved_weights_are_rounded_to_half_precision_only_where_they_are_matrices(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    save_weights(layer, tmp_path / "w.safetensors")
    tensors = load_file(tmp_path / "w.safetensors")
    assert tensors["weight"].dtype == torch.float16
    assert torch.equal(tensors["bias"], layer.bias)


def test_an_unknown_role_is_named(demonstration: Bundle) -> None:
    with pytest.raises(ModelBundleError, match="expected one of T1w, T2w, CE-T1w, found 'FLAIR'"):
        demonstration.members[0].sequence_network("FLAIR")


def test_noise_is_far_from_the_training_features(demonstration: Bundle) -> None:
    distribution = demonstration.members[0].distributions["CE-T1w"]
    assert distribution.distance(distribution.mean) == 0
    assert distribution.distance(distribution.mean + 100) > distribution.limit
