"""One fault at a time: what is accepted is never lost, what cannot be kept is refused, and the reason can be read."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.dicom.scu.store_scu import send_folder
from node.ledger.tables import Case, Delivery, Instance, Job, Report
from node.small_pacs.pacs import Behaviour
from tests.faults.site import Senders, Site, kill_part, locked_ledger, parts_of, pause_part, site
from tests.faults.studies import SmallStudy, Template
from tests.faults.tmpfs import small_disk
from tests.flow.launcher import run_forked
from tests.flow.program import wait_for

WITHIN_S = 240.0

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running `cptdn up` that the tests of this module share; SQLite's writers give up after two seconds."""
    folder = tmp_path_factory.mktemp("site")
    extra = f'[ledger]\nurl = "sqlite:///{folder}/data/ledger.db?timeout=2"\n'
    with site(folder, "one fault at a time", extra=extra) as made:
        made.start_up()
        made.wait_until_listening()
        yield made


def send(here: Site, *studies: SmallStudy) -> Senders:
    """Tell the facts and let a sender try until everything is accepted."""
    here.tell_facts(studies)
    senders = Senders(here, studies, 1).start()
    senders.join(WITHIN_S)
    return senders


def case_of(here: Site, study: SmallStudy) -> Case | None:
    with here.ledger.begin() as session:
        return session.get(Case, study.study_instance_uid)


def count(here: Site, table: Any, *conditions: Any) -> int:
    with here.ledger.begin() as session:
        return session.query(table).filter(*conditions).count()


def delivery_of(here: Site, study: SmallStudy) -> Delivery | None:
    with here.ledger.begin() as session:
        query = session.query(Delivery).join(Report, Report.id == Delivery.report_id)
        return query.filter(Report.study_instance_uid == study.study_instance_uid).one_or_none()


def wait_settled(here: Site) -> None:
    here.wait_until_settled(WITHIN_S)
    here.check_promises()


def test_a_pacs_that_is_down_for_many_backoffs_gets_every_report_once(here: Site, template: Template) -> None:
    here.pacs.stop()
    studies = [template.study(n) for n in (101, 102)]
    send(here, *studies)

    def tried() -> bool:
        found = [delivery_of(here, study) for study in studies]
        return all(one is not None and one.attempts >= 5 for one in found)

    wait_for(tried, WITHIN_S, here.logs)
    delivery = delivery_of(here, studies[0])
    assert delivery is not None
    assert "cannot be reached" in (delivery.error_text or "")  # named, for as long as it lasts
    assert delivery.state == "pending"
    here.pacs.start()
    wait_settled(here)
    assert {kept.times_received for kept in here.pacs.stored.values()} == {1}


@pytest.mark.parametrize("commitment", ["never", "new"])
def test_a_commitment_that_comes_late_or_never_is_asked_for_again(
    here: Site, template: Template, commitment: Any
) -> None:
    study = template.study(110 if commitment == "never" else 111)
    asked = len(here.pacs.commitments)
    here.pacs.behaviour = Behaviour(commitment=commitment, delay_s=0.5)
    send(here, study)
    if commitment == "never":
        wait_for(lambda: len(here.pacs.commitments) >= asked + 2, WITHIN_S, here.logs)
        delivery = delivery_of(here, study)
        assert delivery is not None
        assert delivery.state == "sent"  # stored there, and no more is claimed
        here.pacs.behaviour = Behaviour()
    wait_settled(here)
    here.pacs.behaviour = Behaviour()


def test_a_partial_commitment_sends_again_what_failed(here: Site, template: Template) -> None:
    here.pacs.behaviour = Behaviour(lose_classes={"1.2.840.10008.5.1.4.1.1.88.34": 0x0110})
    study = template.study(120)
    send(here, study)

    def resent() -> bool:
        delivery = delivery_of(here, study)
        return delivery is not None and "could not commit 1 object(s)" in (delivery.error_text or "")

    wait_for(resent, WITHIN_S, here.logs)
    here.pacs.behaviour = Behaviour()
    wait_settled(here)


def test_a_broker_that_is_killed_or_hangs_comes_back_empty_and_nothing_is_lost(here: Site, template: Template) -> None:
    for number, stop in ((130, signal.SIGKILL), (131, signal.SIGSTOP)):
        before = parts_of(here.processes["up"])["broker"]
        assert kill_part(here.processes["up"], "broker", stop)
        send(here, template.study(number))
        wait_settled(here)
        assert parts_of(here.processes["up"])["broker"] != before


def test_a_ledger_that_is_locked_refuses_for_now_and_goes_on(here: Site, template: Template) -> None:
    """Two objects of one association: the first refusal does not end it. Each waits for two seconds."""
    study = template.study(140)
    with locked_ledger(here.settings.storage.root / "ledger.db"):
        refused = send_folder(study.files[:2], "127.0.0.1", here.ports[0], "PACS", "CPTDN")
    assert [outcome.status for outcome in refused] == [0xA700, 0xA700]
    assert count(here, Instance, Instance.study_instance_uid == study.study_instance_uid) == 0
    send(here, study)
    wait_settled(here)


def test_a_frozen_worker_loses_its_work_and_cannot_write_it_later(here: Site, template: Template) -> None:
    """SIGSTOP, as a machine that is suspended: another life of the worker must not find the outcome written twice."""
    study = template.study(150)
    with pause_part(here.processes["up"], "worker"):
        send(here, study)
        time.sleep(1.5 * here.settings.jobs.lease_s)
    wait_settled(here)


@pytest.mark.long
def test_power_cuts_in_the_middle_of_everything_lose_nothing(tmp_path: Path, template: Template) -> None:
    studies = [template.study(n) for n in range(160, 166)]
    with site(tmp_path / "site", "power cuts") as here:
        here.tell_facts(studies)
        senders = Senders(here, studies, 2, pause_s=1.0).start()
        moments: dict[str, Callable[[], bool]] = {
            "something was stored": lambda: count(here, Instance) > 0,
            "a study was accepted": lambda: bool(here.accepted),
            "a computation had begun": lambda: count(here, Job, Job.step != "volumes") > 0,
            "a report was made": lambda: count(here, Report) > 0,
        }
        for moment, come in moments.items():
            here.start_up()
            wait_for(come, WITHIN_S, here.logs)
            here.kill_everything()
            here.diary.write(f"power cut when {moment}; {len(here.accepted)} studies are accepted")
        here.start_up()
        senders.join(WITHIN_S)
        here.wait_until_settled(WITHIN_S)
        here.check_promises()
        assert run_forked("doctor", "--storage", "--config", str(here.config)).returncode == 0


def test_a_full_disk_refuses_before_it_is_full_and_recovers(tmp_path: Path, template: Template) -> None:
    """A real small disk. Kept free: 20 MB from new objects, 2 MB of them from computing, too."""
    first, refused, waiting, last = (template.study(n) for n in range(170, 174))
    with small_disk(tmp_path / "disk", megabytes=120) as disk:
        extra = f'[storage]\nroot = "{disk.folder}/data"\nmin_free_gb = 0.02\n'
        with site(tmp_path / "site", "a full disk", extra=extra) as here:
            here.start_up()
            here.wait_until_listening()
            send(here, first)
            here.wait_until_settled(WITHIN_S)

            disk.fill(leave_mb=15)
            here.tell_facts([refused, waiting, last])
            senders = Senders(here, [refused], 1).start()
            wait_for(lambda: senders.tries["A700"] >= len(refused.files), WITHIN_S, here.logs)
            assert case_of(here, refused) is None
            findings = run_forked("doctor", "--json", "--config", str(here.config)).stdout
            assert "objects are refused below 0.02 GB" in findings

            disk.free()
            senders.join(WITHIN_S)
            here.wait_until_settled(WITHIN_S)
            here.diary.write(f"refused and accepted later: {dict(senders.tries)}")

            with pause_part(here.processes["up"], "worker"):
                Senders(here, [waiting], 1).start().join(WITHIN_S)
                disk.fill(leave_mb=1)

            def named() -> bool:
                case = case_of(here, waiting)
                return case is not None and [one["code"] for one in case.reasons] == ["out_of_space"]

            wait_for(named, WITHIN_S, here.logs)
            here.diary.write("the computation waits and says why")
            disk.fill(leave_mb=0)
            senders = Senders(here, [last], 1).start()
            wait_for(lambda: senders.tries["A700"] >= 1, WITHIN_S, here.logs)
            disk.free()
            senders.join(WITHIN_S)
            here.wait_until_settled(WITHIN_S)
            here.check_promises()
            done = run_forked("doctor", "--storage", "--config", str(here.config))
            assert done.returncode == 0, done.stdout
