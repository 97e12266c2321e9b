"""A node of this program with its ledger and store in a temporary folder, and data sets to send to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from sqlalchemy import select

from config.settings import NodeSettings, PacsSettings, Settings, StorageSettings
from node.dicom.scp.ae import RunningNode, start_node
from node.dicom.scp.intake import Intake
from node.ledger.commitments import record_commitment
from node.ledger.database import Ledger, open_ledger
from node.ledger.tables import Association, Instance, Quarantined
from node.store.study_store import StudyStore

MR = "1.2.840.10008.5.1.4.1.1.4"


@dataclass
class Scene:
    """A running node and everything behind it."""

    settings: Settings
    ledger: Ledger
    store: StudyStore
    intake: Intake
    node: RunningNode
    released: list[set[str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    ended: threading.Condition = field(default_factory=threading.Condition)

    @property
    def port(self) -> int:
        return self.node.port

    def instances(self) -> list[Instance]:
        with self.ledger.begin() as session:
            return list(session.scalars(select(Instance).order_by(Instance.received_at)))

    def quarantined(self) -> list[Quarantined]:
        with self.ledger.begin() as session:
            return list(session.scalars(select(Quarantined).order_by(Quarantined.id)))

    def associations(self) -> list[Association]:
        with self.ledger.begin() as session:
            return list(session.scalars(select(Association).order_by(Association.opened_at)))

    def wait_released(self, n: int = 1, timeout_s: float = 10.0) -> bool:
        with self.ended:
            return self.ended.wait_for(lambda: len(self.released) >= n, timeout_s)

    def files(self) -> set[str]:
        """Every file under the root, relative to it, without the ledger's own."""
        found = (path.relative_to(self.store.root) for path in self.store.root.rglob("*") if path.is_file())
        return {str(path) for path in found if not path.name.startswith("ledger.db")}


@contextmanager
def scene(
    root: Path, pacs: tuple[PacsSettings, ...] = (), min_free_gb: float = 0.0, fast: bool = True, **node: Any
) -> Iterator[Scene]:
    settings = Settings(
        node=NodeSettings(**{"port": 0, **node}), pacs=pacs,
        storage=StorageSettings(root=root, min_free_gb=min_free_gb),
    )  # fmt: skip
    ledger = open_ledger(settings.ledger.url or "")
    store = StudyStore(settings.storage.root, min_free_gb)
    store.prepare()
    seen: list[str] = []
    released: list[set[str]] = []
    ended = threading.Condition()

    def on_release(studies: set[str]) -> None:
        with ended:
            released.append(studies)
            ended.notify_all()

    intake = Intake(ledger, store, "test-node", on_instance=seen.append, on_release=on_release)
    running = start_node(settings, intake, record_commitment(ledger), fast)
    try:
        yield Scene(settings, ledger, store, intake, running, released, seen, ended)
    finally:
        running.stop(1.0)
        store.close()
        ledger.close()


def mr_slice(
    study: str | None = None, series: str | None = None, rows: int = 16, sop_class: str = MR, **values: Any
) -> Dataset:
    """A small MR image with random pixels; `values` are further DICOM keywords."""
    ds = Dataset()
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID = study or generate_uid()
    ds.SeriesInstanceUID = series or generate_uid()
    ds.FrameOfReferenceUID = generate_uid()
    ds.PatientID, ds.PatientName, ds.Modality = "P-1", "Phantom^One", "MR"
    ds.Rows = ds.Columns = rows
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    pixels = np.random.default_rng(len(values)).integers(0, 4096, (rows, rows), dtype=np.uint16)
    ds.PixelData = pixels.tobytes()
    return ds


def encoded(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set bytes alone, as they go over the wire."""
    from pynetdicom.dsutils import encode

    uid = UID(syntax)
    data = encode(ds, uid.is_implicit_VR, uid.is_little_endian, uid.is_deflated)
    assert data is not None
    return data


def write_file(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """A Part-10 file, written by pydicom."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())
    return path
