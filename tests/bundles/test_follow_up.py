"""A model whose cohort was not followed for as long as it shall look ahead is refused when it is made."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from config.bundle_manifest import MANIFEST
from config.errors import InputError, ModelBundleError
from config.indication.nasopharynx import NASOPHARYNX
from config.settings import BUNDLES
from node.cli.app import main
from workers.bundles.bundle import verify_bundle
from workers.bundles.bundle_files import NOMOGRAM
from workers.bundles.packing import pack_bundle
from workers.nomogram.nomogram_file import load_nomogram
from workers.phantoms.population import draw_patient, published_nomogram
from workers.training.run import BundleDescription, ImageSource, train_bundle
from workers.training.training_config import TrainingConfig

LAST_DAY = 1100  # 36.7 months of 30 days
SAID = r"longest follow-up is 36\.7 months and does not reach the horizon of 60 months"


@pytest.fixture(scope="module")
def three_years(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients of the published survival model, all censored at 36.7 months."""
    rows = []
    for number in range(400):
        patient = draw_patient(4, number, published_nomogram())
        row = {**patient.record, "prognostic_score": patient.prognostic, "predictive_score": patient.predictive}
        for endpoint in NASOPHARYNX.endpoints:
            if row[f"{endpoint}_days"] >= LAST_DAY:
                row |= {f"{endpoint}_days": LAST_DAY, f"{endpoint}_event": 0}
        rows.append(row)
    path = tmp_path_factory.mktemp("cohort") / "three_years.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def fit(cohort: Path, out: Path, *options: str) -> int:
    try:
        main(["nomogram", "fit", str(cohort), "--out", str(out), *options])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_nomogram_fit_refuses_it_and_takes_horizons_within_the_follow_up(
    three_years: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(three_years, tmp_path / "n") == 1
    said = capsys.readouterr().err
    assert "three_years.csv, cohort training: the longest follow-up is 36.7 months and does not reach the" in said
    assert "horizon of 60 months: name horizons within the follow-up with --horizons" in said
    assert not (tmp_path / "n").exists()
    assert fit(three_years, tmp_path / "n", "--horizons", "24,36") == 0
    nomogram = load_nomogram(tmp_path / "n")
    assert nomogram.indication.horizons_months == (24, 36)
    assert nomogram.indication.decision.horizon_months == 36
    assert set(nomogram.variance_terms) >= {720.0, 1080.0}


@pytest.mark.parametrize("horizons", ["36,24", "36,months", "0", "24,36 --decision-horizon 30"])
def test_horizons_that_are_none_are_wrong_usage(three_years: Path, tmp_path: Path, horizons: str) -> None:
    assert fit(three_years, tmp_path / "n", "--horizons", *horizons.split(" ")) == 2


def test_train_refuses_it_before_it_learns_anything(three_years: Path, tmp_path: Path) -> None:
    def no_images(_: object) -> ImageSource:
        raise AssertionError("images were read")

    with pytest.raises(InputError, match=SAID):
        train_bundle(
            three_years, no_images, tmp_path / "b", tmp_path / "w", TrainingConfig(epochs=1), BundleDescription("x")
        )
    assert not (tmp_path / "w").exists()


def test_pack_refuses_it_and_leaves_the_manifest_as_it_was(three_years: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "b"))
    before = (folder / MANIFEST).read_bytes()
    assert fit(three_years, tmp_path / "n", "--horizons", "24,36") == 0
    shutil.copyfile(tmp_path / "n" / NOMOGRAM, folder / NOMOGRAM)
    content = json.loads(before)
    with pytest.raises(ModelBundleError, match=SAID):
        pack_bundle(folder, content)
    assert (folder / MANIFEST).read_bytes() == before


def test_pack_writes_the_indication_of_the_nomogram_where_none_is_given(three_years: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "b"))
    assert fit(three_years, tmp_path / "n", "--horizons", "24,36") == 0
    shutil.copyfile(tmp_path / "n" / NOMOGRAM, folder / NOMOGRAM)
    content = json.loads((folder / MANIFEST).read_text())
    del content["indication"]
    assert pack_bundle(folder, content).manifest.indication.horizons_months == (24, 36)
    assert verify_bundle(folder).nomogram.indication.horizons_months == (24, 36)


def test_a_horizon_without_confidence_terms_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "b"))
    content = json.loads((folder / MANIFEST).read_text())
    content["indication"] |= {"horizons_months": [48], "decision": {"horizon_months": 48, "threshold": 0.0}}
    with pytest.raises(
        ModelBundleError, match=r"confidence terms at the horizon of 48 months .* found them at 1080, 1800"
    ):
        pack_bundle(folder, content)


def test_a_nomogram_of_another_threshold_is_refused(three_years: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLES / "demonstration", tmp_path / "b"))
    content = json.loads((folder / MANIFEST).read_text())
    content["indication"]["biomarker"]["threshold"] = 1500
    with pytest.raises(ModelBundleError, match=r"biomarker\.threshold = 1500\.0, found 4000\.0"):
        pack_bundle(folder, content)
