"""The sources run beside the node, by their settings."""

from __future__ import annotations

import os
import time
from pathlib import Path

from config.settings import ClinicalSettings, Hl7Settings, Settings
from node.clinical import sources
from node.ledger.database import open_ledger
from node.ledger.facts import facts_of


def test_nothing_runs_by_default(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    quiet = sources.ClinicalSources(ledger, Settings())
    quiet.start()
    assert (quiet.hl7, quiet.fhir) == (None, None)
    quiet.stop()
    ledger.close()


def test_a_dropped_table_is_recorded_while_running(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    folder = tmp_path / "drop"
    folder.mkdir()
    table = folder / "facts.csv"
    table.write_text("patient_id,ebv_dna\nA,5000\n")
    os.utime(table, (1, 1))
    settings = Settings(clinical=ClinicalSettings(drop_folder=folder), hl7=Hl7Settings(enabled=True, port=0))
    running = sources.ClinicalSources(ledger, settings)
    running.start()
    deadline = time.monotonic() + 20
    while table.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running.hl7 is not None
    assert running.hl7.port > 0
    running.stop()
    assert (folder / "done" / "facts.csv").exists()
    with ledger.begin() as session:
        assert facts_of(session, "A").ebv_dna[0].text == "5000"
    ledger.close()
