"""Asking a PACS and fetching from it: the small PACS of this project, Orthanc, and dcmtk's archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage, generate_uid

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.cases.retrieval_choice import PacsSeries
from node.dicom.query.query_scu import PatientKey, find_series
from node.dicom.query.retrieve_scu import retrieve
from node.dicom.scp.handlers import store_response
from node.ledger.associations import Peer
from node.ledger.database import now_utc
from node.small_pacs.pacs import Destination, SmallPacs
from node.store.part10 import FileMeta
from tests.dicom.scenes import Scene, mr_slice, scene, write_file
from tests.flow.program import free_port
from tests.flow.servers import dcmqrscp, orthanc

STUDY, OTHER_STUDY, STRANGER = generate_uid(), generate_uid(), generate_uid()
T1W, T2W, CONTOUR, STRANGE_SERIES = generate_uid(), generate_uid(), generate_uid(), generate_uid()
PATIENT = PatientKey("P-1")


def archive(folder: Path) -> list[Path]:
    """A study of two series, a structure set of the same patient in another study, and another patient."""
    folder.mkdir()

    def image(study: str, series: str, number: int, patient: str = "P-1", **physics: object) -> Dataset:
        return mr_slice(
            study, series, PatientID=patient, PatientBirthDate="", PatientSex="", StudyDate="20260309",
            StudyTime="120000", StudyID="1", AccessionNumber="", SeriesNumber=number, ScanningSequence="SE",
            SequenceVariant="SK", **physics,
        )  # fmt: skip

    objects = [
        *(image(STUDY, T1W, 2, RepetitionTime=600, EchoTime=11, SeriesDescription="t1 tra") for _ in range(3)),
        *(image(STUDY, T2W, 3, RepetitionTime=4000, EchoTime=92, SeriesDescription="t2 tra") for _ in range(2)),
        image(STRANGER, STRANGE_SERIES, 1, "P-10", RepetitionTime=600, EchoTime=11),
    ]
    contour = image(OTHER_STUDY, CONTOUR, 9)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "ScanningSequence"):
        delattr(contour, keyword)
    contour.SOPClassUID, contour.Modality = RTStructureSetStorage, "RTSTRUCT"
    objects.append(contour)
    return [write_file(ds, folder / f"{number}.dcm") for number, ds in enumerate(objects)]


@dataclass
class Exchange:
    """A node, and a PACS that it may ask."""

    node: Scene
    pacs: PacsSettings

    def ask(self, *elsewhere: str, patient: PatientKey = PATIENT, study: str = STUDY) -> list[PacsSeries]:
        return find_series(self.pacs, "CPTDN", study, patient, elsewhere)

    def fetch(self, series: list[PacsSeries], by: str) -> list[str]:
        """What became of each series, with the answers of the node's own door."""
        sender = self.node.intake.opened(Peer("fetch", "test-node", "PACS", "127.0.0.1", now_utc()))

        def take(meta: FileMeta, data: bytes | memoryview) -> Dataset:
            return store_response(self.node.intake.take(meta, data, sender))

        pacs = self.pacs.model_copy(update={"retrieve_by": by})
        found = [outcome.text for outcome in retrieve(pacs, "CPTDN", series, take, 10_000_000)]
        self.node.intake.closed(sender)
        return found

    def here(self) -> dict[str, int]:
        series = [row.series_instance_uid for row in self.node.instances()]
        return {uid: series.count(uid) for uid in series}


@contextmanager
def small_pacs(folder: Path, node_port: int, files: list[Path]) -> Iterator[int]:
    destinations = (Destination("CPTDN", "127.0.0.1", node_port),)
    with SmallPacs(folder, "PACS", destinations=destinations) as pacs:
        for path in files:
            pacs.add(path)
        yield pacs.port


@contextmanager
def an_orthanc(folder: Path, node_port: int, files: list[Path]) -> Iterator[int]:
    with orthanc(folder, node_port, free_port(), routes=False) as pacs:
        for path in files:
            pacs.upload(path)
        yield pacs.dicom_port


@pytest.fixture(scope="module", params=[small_pacs, an_orthanc, dcmqrscp], ids=["small", "orthanc", "dcmqrscp"])
def exchange(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Exchange]:
    folder = tmp_path_factory.mktemp("exchange")
    files = archive(folder / "files")
    with scene(folder / "data") as node, request.param(folder / "pacs", node.port, files) as port:
        yield Exchange(node, PacsSettings(name="main", port=port, query_retrieve=True))


def test_a_study_is_described_series_by_series(exchange: Exchange) -> None:
    found = {one.series_instance_uid: one for one in exchange.ask()}
    assert set(found) == {T1W, T2W}
    assert found[T2W].modality == "MR"
    # dcmtk's archive neither counts nor describes: such series are fetched to be judged here
    told = found[T2W].n_instances, found[T2W].header.get("SeriesDescription"), found[T2W].header.get("EchoTime")
    assert told in ((2, "t2 tra", 92), (None, None, None))


def test_contours_are_found_in_other_studies_of_this_patient_alone(exchange: Exchange) -> None:
    found = {one.series_instance_uid: one for one in exchange.ask("RTSTRUCT", "SEG")}
    assert set(found) == {T1W, T2W, CONTOUR}
    assert found[CONTOUR].study_instance_uid == OTHER_STUDY
    assert {one.series_instance_uid for one in exchange.ask("RTSTRUCT", patient=PatientKey("P-10"))} == {T1W, T2W}


@pytest.mark.parametrize("patient_id", ["", "P*", "P-?", "P-1\\P-10"])
def test_a_patient_id_with_wild_cards_is_not_asked_for(exchange: Exchange, patient_id: str) -> None:
    assert {one.series_instance_uid for one in exchange.ask("RTSTRUCT", "MR", patient=PatientKey(patient_id))} == {
        T1W, T2W,
    }  # fmt: skip


@pytest.mark.parametrize("by", ["move", "get", "auto"])
def test_series_come_whole_and_by_themselves(exchange: Exchange, by: str) -> None:
    asked = exchange.ask("RTSTRUCT")
    outcomes = exchange.fetch(asked, by)
    how = "C-GET" if by == "get" else "C-MOVE"
    assert sorted(outcomes) == [f"{n} instances by {how}" for n in (1, 2, 3)]
    assert exchange.here() == {T1W: 3, T2W: 2, CONTOUR: 1}
    assert exchange.node.quarantined() == []


def test_a_pacs_that_cannot_move_here_is_fetched_from_by_c_get(tmp_path: Path) -> None:
    files = archive(tmp_path / "files")
    with scene(tmp_path / "data") as node, SmallPacs(tmp_path / "pacs") as pacs:
        for path in files:
            pacs.add(path)
        exchange = Exchange(node, PacsSettings(name="main", port=pacs.port))
        asked = exchange.ask()
        assert sorted(exchange.fetch(asked, "auto")) == ["2 instances by C-GET", "3 instances by C-GET"]
        assert [one.split()[0] for one in pacs.requests if "FIND" not in one] == ["C-MOVE", "C-GET", "C-GET"]
        assert exchange.here() == {T1W: 3, T2W: 2}
        assert "status A801" in exchange.fetch(asked, "move")[0]


def test_a_pacs_that_is_away_or_takes_no_queries_is_named(tmp_path: Path) -> None:
    away = PacsSettings(name="main", port=free_port(), timeout_s=2)
    with pytest.raises(PacsUnavailableError, match=r"PACS 'main' .* cannot be reached"):
        find_series(away, "CPTDN", STUDY, PATIENT, ())
    with scene(tmp_path / "data") as node:  # a node of ours offers no query/retrieve
        other = PacsSettings(name="main", ae_title="CPTDN", port=node.port)
        with pytest.raises(PacsUnavailableError, match="accepted none of the offered presentation contexts"):
            find_series(other, "PACS", STUDY, PATIENT, ())
        with pytest.raises(PacsUnavailableError, match="offers no C-MOVE; it offers no C-GET"):
            list(retrieve(other, "PACS", [PacsSeries(STUDY, T1W, "MR", {})], lambda _meta, _data: Dataset(), 1000))
