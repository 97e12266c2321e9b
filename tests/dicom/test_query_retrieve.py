"""Query and retrieve against the small PACS of this project, Orthanc, and dcmtk's archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage, generate_uid
from pynetdicom.events import Event

from config.errors import PacsUnavailableError
from config.settings import PacsSettings
from node.cases.retrieval_choice import PacsSeries
from node.dicom.query.patient_query import PatientKey
from node.dicom.query.query_scu import find_series
from node.dicom.query.retrieve_scu import retrieve
from node.dicom.scp.store_messages import store_response
from node.ledger.associations import Peer
from node.ledger.database import now_utc
from node.small_pacs.pacs import Behaviour, Destination, SmallPacs
from node.store.part10 import FileMeta
from tests.dicom.scenes import Scene, mr_slice, scene, write_file
from tests.flow.program import free_port
from tests.flow.servers import dcmqrscp, orthanc

STUDY, OTHER_STUDY, FOREIGN_STUDY = generate_uid(), generate_uid(), generate_uid()
T1W, T2W, CONTOUR, FOREIGN_SERIES = generate_uid(), generate_uid(), generate_uid(), generate_uid()
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
        image(FOREIGN_STUDY, FOREIGN_SERIES, 1, "P-10", RepetitionTime=600, EchoTime=11),
    ]
    contour = image(OTHER_STUDY, CONTOUR, 9)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "ScanningSequence"):
        delattr(contour, keyword)
    contour.SOPClassUID, contour.Modality = RTStructureSetStorage, "RTSTRUCT"
    objects.append(contour)
    return [write_file(ds, folder / f"{number}.dcm") for number, ds in enumerate(objects)]


@dataclass
class Exchange:
    """A node, and a PACS that it may query."""

    node: Scene
    pacs: PacsSettings

    def find(self, *other_modalities: str, patient: PatientKey = PATIENT, study: str = STUDY) -> list[PacsSeries]:
        return find_series(self.pacs, "CPTDN", study, patient, other_modalities)

    def fetch(self, series: list[PacsSeries], by: str) -> list[str]:
        """The outcome for each series; the node's own intake gives the C-STORE responses."""
        sender = self.node.intake.senders.open(Peer("fetch", "test-node", "PACS", "127.0.0.1", now_utc()))

        def store(meta: FileMeta, data: bytes | memoryview) -> Dataset:
            return store_response(self.node.intake.receive(meta, data, sender))

        pacs = self.pacs.model_copy(update={"retrieve_by": by})
        outcomes = [outcome.text for outcome in retrieve(pacs, "CPTDN", series, store, 10_000_000)]
        self.node.intake.senders.close(sender)
        return outcomes

    def here(self) -> dict[str, int]:
        series = [row.series_instance_uid for row in self.node.instances()]
        return {uid: series.count(uid) for uid in series}


def uids(series: list[PacsSeries]) -> set[str]:
    return {each.series_instance_uid for each in series}


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
    offered = {series.series_instance_uid: series for series in exchange.find()}
    assert set(offered) == {T1W, T2W}
    t2w = offered[T2W]
    assert t2w.modality == "MR"
    # dcmtk's archive neither counts nor describes: such series are retrieved to be classified here
    assert (t2w.n_instances, t2w.header.get("SeriesDescription"), t2w.header.get("EchoTime")) in (
        (2, "t2 tra", 92),
        (None, None, None),
    )


def test_contours_are_found_in_other_studies_of_this_patient_alone(exchange: Exchange) -> None:
    offered = {series.series_instance_uid: series for series in exchange.find("RTSTRUCT", "SEG")}
    assert set(offered) == {T1W, T2W, CONTOUR}
    assert offered[CONTOUR].study_instance_uid == OTHER_STUDY
    assert {series.series_instance_uid for series in exchange.find("RTSTRUCT", patient=PatientKey("P-10"))} == {
        T1W,
        T2W,
    }


@pytest.mark.parametrize("patient_id", ["", "P*", "P-?", "P-1\\P-10"])
def test_a_patient_id_with_wild_cards_is_not_queried(exchange: Exchange, patient_id: str) -> None:
    assert uids(exchange.find("RTSTRUCT", "MR", patient=PatientKey(patient_id))) == {T1W, T2W}


@pytest.mark.parametrize("by", ["move", "get", "auto"])
def test_whole_series_are_retrieved_one_by_one(exchange: Exchange, by: str) -> None:
    offered = exchange.find("RTSTRUCT")
    outcomes = exchange.fetch(offered, by)
    service = "C-GET" if by == "get" else "C-MOVE"
    assert sorted(outcomes) == [f"{n} instances by {service}" for n in (1, 2, 3)]
    assert exchange.here() == {T1W: 3, T2W: 2, CONTOUR: 1}
    assert exchange.node.quarantined() == []


def contour_of(study: str, **values: object) -> Dataset:
    ds = mr_slice(study, StudyDate="20260309", SeriesNumber=1, **values)
    ds.SOPClassUID, ds.Modality = RTStructureSetStorage, "RTSTRUCT"
    return ds


@pytest.mark.parametrize(
    ("foreign", "ignored"),
    [
        ({"PatientID": "P-2"}, "PatientID"),
        ({"PatientID": "P-1", "IssuerOfPatientID": "Other hospital"}, ""),
        ({"PatientID": "P-1", "PatientBirthDate": "19810101"}, ""),
    ],
    ids=["Patient ID", "issuer", "birth date"],
)
def test_a_study_of_another_patient_in_an_answer_is_not_believed(
    tmp_path: Path, foreign: dict[str, str], ignored: str
) -> None:
    """A PACS that does not match on the Patient ID, and two patients who share one."""
    patient = PatientKey("P-1", "Hospital", "19700101")
    own = contour_of(OTHER_STUDY, PatientID="P-1", IssuerOfPatientID="Hospital", PatientBirthDate="19700101")
    other = contour_of(FOREIGN_STUDY, **foreign)
    with SmallPacs(tmp_path / "pacs", behaviour=Behaviour(ignored_keys=frozenset({ignored}))) as pacs:
        for number, ds in enumerate((own, other)):
            pacs.add(write_file(ds, tmp_path / f"{number}.dcm"))
        settings = PacsSettings(name="main", port=pacs.port)
        offered = find_series(settings, "CPTDN", STUDY, patient, ("RTSTRUCT",))
    assert [series.study_instance_uid for series in offered] == [OTHER_STUDY]


def test_a_series_that_the_pacs_files_under_another_patient_is_not_believed(tmp_path: Path) -> None:
    """The answer of the case's own study names its patient, although nobody asked for that."""

    class Volunteering(SmallPacs):
        def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
            for status, answer in super()._find(event):
                if answer is not None:
                    answer.PatientID = patient_id
                yield status, answer

    with Volunteering(tmp_path / "pacs") as pacs:
        pacs.add(write_file(mr_slice(STUDY, T1W, PatientID="P-1"), tmp_path / "1.dcm"))
        settings = PacsSettings(name="main", port=pacs.port)
        patient_id = "P-2"
        assert find_series(settings, "CPTDN", STUDY, PATIENT, ()) == []
        patient_id = "P-1"
        assert uids(find_series(settings, "CPTDN", STUDY, PATIENT, ())) == {T1W}


def test_c_get_is_used_where_the_pacs_does_not_know_the_move_destination(tmp_path: Path) -> None:
    files = archive(tmp_path / "files")
    with scene(tmp_path / "data") as node, SmallPacs(tmp_path / "pacs") as pacs:
        for path in files:
            pacs.add(path)
        exchange = Exchange(node, PacsSettings(name="main", port=pacs.port))
        offered = exchange.find()
        assert sorted(exchange.fetch(offered, "auto")) == ["2 instances by C-GET", "3 instances by C-GET"]
        assert [request.split()[0] for request in pacs.requests if "FIND" not in request] == [
            "C-MOVE",
            "C-GET",
            "C-GET",
        ]
        assert exchange.here() == {T1W: 3, T2W: 2}
        assert "status A801" in exchange.fetch(offered, "move")[0]


def test_a_pacs_that_is_away_or_offers_no_queries_is_named_in_the_error(tmp_path: Path) -> None:
    away = PacsSettings(name="main", port=free_port(), timeout_s=2)
    with pytest.raises(PacsUnavailableError, match=r"PACS 'main' .* cannot be reached"):
        find_series(away, "CPTDN", STUDY, PATIENT, ())
    with scene(tmp_path / "data") as node:  # a node of ours offers no query/retrieve
        other = PacsSettings(name="main", ae_title="CPTDN", port=node.port)
        with pytest.raises(PacsUnavailableError, match="accepted none of the offered presentation contexts"):
            find_series(other, "PACS", STUDY, PATIENT, ())
        with pytest.raises(PacsUnavailableError, match="offers no C-MOVE; it offers no C-GET"):
            list(retrieve(other, "PACS", [PacsSeries(STUDY, T1W, "MR", {})], lambda _meta, _data: Dataset(), 1000))
