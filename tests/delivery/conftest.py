"""A node and a small PACS that know each other: started once, and emptied before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from config.settings import PacsSettings
from node.ledger.tables import CommitmentRequest, Delivery, Outbox, Report, ReportObject
from node.small_pacs.pacs import Behaviour, Destination, SmallPacs
from tests.delivery.scenes import DeliveryScene
from tests.dicom.scenes import Scene, scene


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallPacs, Scene]]:
    folder = tmp_path_factory.mktemp("site")
    with SmallPacs(folder / "pacs") as pacs:
        main = PacsSettings(port=pacs.port, timeout_s=5, give_up_after_days=7, commitment_wait_s=3600)
        with scene(folder / "data", pacs=(main,)) as node:
            pacs.destinations["CPTDN"] = Destination("CPTDN", "127.0.0.1", node.port)
            yield pacs, node


@pytest.fixture
def pacs(site: tuple[SmallPacs, Scene]) -> SmallPacs:
    running = site[0]
    running.stop()  # associations of the test before, too
    running.behaviour = Behaviour()
    running.stored.clear()
    running.commitments.clear()
    running.held.clear()
    return running.start()


@pytest.fixture
def here(site: tuple[SmallPacs, Scene], pacs: SmallPacs) -> DeliveryScene:
    """Reports to deliver to the PACS; the node receives commitments that come on a new association."""
    node = site[1]
    with node.ledger.begin() as session:
        for table in (CommitmentRequest, Delivery, ReportObject, Report, Outbox):
            session.execute(delete(table))
    return DeliveryScene(node.ledger, node.store, node.settings)
