"""A backup while studies arrive, then everything is lost, then the restore: what it held ends in one current report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.site import Senders, site
from tests.faults.studies import Template
from tests.flow.launcher import run_forked

WITHIN_S = 240.0


@pytest.mark.timeout(900)
def test_everything_accepted_before_the_backup_is_reported_once_after_the_restore(tmp_path: Path) -> None:
    template = Template(tmp_path)
    before, during = [template.study(n) for n in (1, 2, 3)], [template.study(n) for n in (4, 5, 6)]
    with site(tmp_path / "site", "backup and restore") as here:
        here.start_up()
        here.wait_until_listening()
        here.tell_facts([*before, *during])
        Senders(here, before, 1).start().join(WITHIN_S)
        sending = Senders(here, during, 1).start()
        done = run_forked("backup", str(tmp_path / "backup"), "--config", str(here.config))
        assert done.returncode == 0, done.stderr
        here.diary.write(done.stdout.strip())
        sending.join(WITHIN_S)
        here.kill_everything()
        here.forget_ledger()
        shutil.rmtree(here.settings.storage.root)
        here.diary.write("everything is lost")

        restored = run_forked("restore", str(tmp_path / "backup"), "--config", str(here.config))
        assert restored.returncode == 0, restored.stderr
        here.diary.write(restored.stdout.strip())
        here.start_up()
        here.wait_until_listening()
        here.tell_facts(during)  # told after the moment of the backup, perhaps
        here.accepted = {study.study_instance_uid: study for study in before}
        here.wait_until_settled(WITHIN_S)
        Senders(here, during, 1).start().join(WITHIN_S)  # the PACS still has what came later, and sends it again
        here.wait_until_settled(WITHIN_S)
        here.check_promises()
        assert run_forked("doctor", "--storage", "--config", str(here.config)).returncode == 0
