"""The wall clock of the running program jumps, as a wrong clock that is set right does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.faults.site import Senders, Site, site
from tests.faults.studies import Template
from tests.flow.program import wait_for

WITHIN_S = 240.0
HOOK = Path(__file__).parent / "wrong_clock"

pytestmark = pytest.mark.timeout(900)


def set_clock(here: Site, hours: float) -> None:
    """Set the wall clock of all processes of the site, as seen from the right one."""
    file = here.folder / "hours"
    part = file.with_suffix(".part")
    part.write_text(str(hours))
    os.replace(part, file)
    here.environment = {"PYTHONPATH": str(HOOK), "WRONG_CLOCK": str(file)}


def events(here: Site, name: str) -> list[dict[str, object]]:
    lines = [line for log in here.folder.glob("*.log") for line in log.read_text().splitlines()]
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line["event"] == name]


def test_studies_before_during_and_after_jumps_of_the_clock_are_all_reported(tmp_path: Path) -> None:
    template = Template(tmp_path)
    with site(tmp_path / "site", "clock jumps", pacs_keys="give_up_after_days = 2\n") as here:
        set_clock(here, 0)
        here.start_up()
        here.wait_until_listening()
        here.pacs.stop()  # reports wait for it while the clock jumps over the days after which they would be given up
        for number, hours in enumerate((0, 30 * 24, -3, 1), start=1):
            study = template.study(number)
            here.tell_facts([study])
            set_clock(here, hours)
            Senders(here, [study], 1).start().join(WITHIN_S)
            wait_for(lambda n=number: len(events(here, "clock_jumped")) >= n - 1, WITHIN_S, lambda: "no jump noticed")
            here.diary.write(f"the clock is {hours} hours wrong; a study is accepted")
        here.pacs.start()
        here.wait_until_settled(WITHIN_S)
        here.check_promises()
        jumps = [round(float(str(line["seconds"])) / 3600) for line in events(here, "clock_jumped")]
        here.diary.write(f"the node noticed jumps of {jumps} hours")
        assert max(jumps) > 0 > min(jumps)


@pytest.mark.long
def test_the_program_goes_on_when_its_clock_was_set_back_while_it_was_off(tmp_path: Path) -> None:
    study = Template(tmp_path).study(1)
    with site(tmp_path / "site", "a clock set right between two lives") as here:
        set_clock(here, 400 * 24)
        here.start("node", "node")
        here.wait_until_listening()
        here.tell_facts([study])
        Senders(here, [study], 1).start().join(WITHIN_S)
        here.kill("node")
        set_clock(here, 0)
        here.start_up()
        here.wait_until_listening()
        here.wait_until_settled(WITHIN_S)
        here.check_promises()
        assert events(here, "clock_went_back")
