"""Two nodes behind one address and four workers on PostgreSQL, Redis and a shared folder: the same promises."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from node.ledger.database import open_ledger
from node.ledger.processes import live_processes
from node.small_pacs.pacs import Behaviour
from node.store.backup import back_up, restore
from node.store.consistency import check_consistency
from node.store.study_store import StudyStore
from tests.faults.servers import Postgres, Redis, postgres, redis_server
from tests.faults.site import Senders, Site, site
from tests.faults.studies import Template
from tests.faults.test_chaos import seed
from tests.flow.launcher import run_forked
from tests.flow.program import wait_for

COMPUTE = "volumes,features,report"
PATIENCE_S = 300.0

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


class Cluster:
    """What runs, and what starts it again when it ends."""

    def __init__(self, here: Site, database: Postgres, broker: Redis) -> None:
        self.here, self.database, self.broker = here, database, broker
        self.starters: dict[str, Callable[[], None]] = {}
        for number in range(len(here.ports)):
            config = here.folder / f"node-{number}.toml"
            self.starters[f"node-{number}"] = partial(here.start, f"node-{number}", "node", config=config)
        for number, queues in enumerate((COMPUTE, COMPUTE, "delivery", f"{COMPUTE},delivery")):
            name = f"worker-{number}"
            self.starters[name] = partial(here.start, name, "worker", "--queues", queues)

    def start(self) -> None:
        open_ledger(self.here.settings.ledger.url or "").close()
        self.tend()
        self.here.wait_until_listening()

    def tend(self) -> None:
        self.here.restart_what_ended(self.starters)

    def wait_for_workers(self) -> None:
        def ready() -> bool:
            with self.here.ledger.begin() as session:
                return sum(worker.ready for worker in live_processes(session, "worker")) >= 4

        wait_for(ready, PATIENCE_S, self.here.logs)

    def mischief(self, rng: random.Random) -> None:
        deeds: list[Callable[[random.Random], None]] = [
            self.kill_one, self.kill_one, self.kill_one, self.kill_one, self.lose_broker, self.crash_database,
            self.trouble_pacs, self.trouble_pacs, self.power_cut,
        ]  # fmt: skip
        rng.choice(deeds)(rng)

    def kill_one(self, rng: random.Random) -> None:
        name = rng.choice(sorted(self.starters))
        self.here.kill(name)
        self.here.diary.write(f"kill -9 {name}")

    def lose_broker(self, rng: random.Random) -> None:
        seconds = rng.uniform(0.5, 5)
        self.broker.kill()
        self.here.diary.write(f"kill -9 of Redis; it comes back empty in {seconds:.1f} s")
        time.sleep(seconds)
        self.broker.start()

    def crash_database(self, rng: random.Random) -> None:
        seconds = rng.uniform(0.5, 4)
        self.database.crash()
        self.here.diary.write(f"PostgreSQL crashes and comes back in {seconds:.1f} s")
        time.sleep(seconds)
        self.database.start()

    def power_cut(self, _rng: random.Random) -> None:
        self.here.kill_everything()
        self.here.diary.write("power cut: kill -9 of both nodes and all workers")

    def trouble_pacs(self, rng: random.Random) -> None:
        behaviours = [
            Behaviour(abort_after=0),
            Behaviour(store_status=0xA700),
            Behaviour(commitment="new"),
            Behaviour(),
        ]
        self.here.pacs.behaviour = rng.choice(behaviours)
        self.here.diary.write(f"the PACS: {self.here.pacs.behaviour}")


def cluster_chaos(folder: Path, database: Postgres, n_studies: int, n_deeds: int, pause_s: tuple[float, float]) -> None:
    number = seed()
    rng = random.Random(number)
    with redis_server(folder / "redis") as broker:
        extra = (
            f'[ledger]\nurl = "{database.url(f"chaos_{number}")}"\n[broker]\nurl = "{broker.url}"\n'
            f'[storage]\nroot = "{folder}/shared"\nmin_free_gb = 0.05\n'
        )
        title = f"two nodes, four workers, seed {number}: {n_studies} studies, {n_deeds} deeds"
        with site(folder / "site", title, extra=extra, nodes=2) as here:
            cluster = Cluster(here, database, broker)
            template = Template(folder)
            studies = [template.study(n) for n in range(1, n_studies + 1)]
            cluster.start()
            here.tell_facts(studies)
            cluster.wait_for_workers()
            here.diary.write("both nodes answer, four workers are ready; sending begins")
            rest = n_deeds * sum(pause_s) / 2 * 4 / n_studies
            senders = Senders(here, studies, 4, rest, number).start()
            for _ in range(n_deeds):
                time.sleep(rng.uniform(*pause_s))
                cluster.tend()
                cluster.mischief(rng)
            here.pacs.behaviour = Behaviour()
            here.diary.write(f"the mischief ends; {len(here.accepted)} studies are accepted")
            with here.service_manager(cluster.starters):
                senders.join()
                here.diary.write(f"all {len(here.accepted)} studies are accepted; answers: {dict(senders.tries)}")
                here.wait_until_settled()
            states = here.check_promises()
            here.diary.write(f"checked: {dict(states)}")
            assert run_forked("doctor", "--storage", "--config", str(here.config)).returncode == 0


@pytest.mark.long
def test_a_cluster_survives_a_few_faults(tmp_path: Path, database: Postgres) -> None:
    cluster_chaos(tmp_path, database, n_studies=4, n_deeds=3, pause_s=(1, 4))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_cluster_survives_chaos(tmp_path: Path, database: Postgres) -> None:
    cluster_chaos(tmp_path, database, n_studies=200, n_deeds=40, pause_s=(2, 8))


def test_a_backup_of_postgresql_and_a_shared_folder_comes_back(tmp_path: Path, database: Postgres) -> None:
    with redis_server(tmp_path / "redis") as broker:
        extra = '[ledger]\nurl = "{url}"\n[broker]\nurl = "{broker}"\n[storage]\nroot = "{root}"\nmin_free_gb = 0.05\n'
        first = extra.format(url=database.url("before"), broker=broker.url, root=tmp_path / "shared")
        study = Template(tmp_path).study(1)
        with site(tmp_path / "site", "a backup of PostgreSQL", extra=first, nodes=1) as here:
            here.start("node", "node")
            here.wait_until_listening()
            Senders(here, [study], 1).start().join(PATIENCE_S)
            manifest = back_up(here.settings, tmp_path / "backup")
            assert (manifest.files, manifest.missing, manifest.ledger) == (len(study.files), [], "ledger.pgdump")
        second = extra.format(url=database.url("after"), broker=broker.url, root=tmp_path / "elsewhere")
        with site(tmp_path / "site-2", "restored", extra=second) as here:
            restore(here.settings, tmp_path / "backup")
            ledger = open_ledger(here.settings.ledger.url or "")
            assert list(check_consistency(ledger, StudyStore(here.settings.storage.root))) == []
            ledger.close()
