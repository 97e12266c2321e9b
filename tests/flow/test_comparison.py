"""Comparing two bundles over kept cases, through the running program: killed, resumed, summed up."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr
from sqlalchemy import func, select

from config.settings import load_settings
from node.ledger.database import open_ledger
from node.ledger.tables import Delivery, Job, Report
from node.small_pacs.pacs import SmallPacs
from tests.flow.conftest import ALLOW_DEMONSTRATION
from tests.flow.kept_cases import multiply, other_bundle
from tests.flow.program import Program, know_each_other, running_program, wait_for
from tests.flow.terminal import Terminal
from tests.flow.test_main_job import delivered, route
from workers.phantoms.dicom_study import WrittenStudy

SETTINGS = ALLOW_DEMONSTRATION + '[eligibility]\nout_of_distribution = "warn"\n[case]\nstable_after_s = 2\n'
SHORT, LONG = 5, 199
KILLED_WITHIN_S, RESUMED_WITHIN_S = 1500.0, 6000.0  # limits of a very busy machine


@dataclass
class Kept:
    """A program with kept cases in it, and a second bundle."""

    program: Program
    other: Path

    def comparisons(self) -> list[Job]:
        settings = load_settings(self.program.config)
        ledger = open_ledger(settings.ledger.url or "")
        with ledger.begin() as session:
            jobs = list(session.scalars(select(Job).where(Job.send.is_(False))))
        ledger.close()
        return jobs

    def n_done(self) -> int:
        ledger = open_ledger(load_settings(self.program.config).ledger.url or "")
        with ledger.begin() as session:
            done = select(func.count()).where(Job.send.is_(False), Job.state == "done")
            found = session.scalar(done) or 0
        ledger.close()
        return found

    def n_reports(self) -> tuple[int, int]:
        ledger = open_ledger(load_settings(self.program.config).ledger.url or "")
        with ledger.begin() as session:
            found = len(session.scalars(select(Report)).all()), len(session.scalars(select(Delivery)).all())
        ledger.close()
        return found

    def command(self, *more: str) -> list[str]:
        cptdn = str(Path(sys.executable).with_name("cptdn"))
        arguments = ("reprocess", "--all", "--bundle", str(self.other), "--no-send", *more)
        return [cptdn, *arguments, "--config", str(self.program.config)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, study: WrittenStudy) -> Iterator[Kept]:
    """One reported study and nothing else yet."""
    with (
        SmallPacs(tmp_path_factory.mktemp("pacs"), "PACS") as pacs,
        running_program(tmp_path_factory.mktemp("program"), pacs.port, SETTINGS) as program,
    ):
        know_each_other(pacs, program)
        program.cptdn("clinical", "set", "FLOW-1", "--ebv-dna", "3100", "--stage", "T3N1M0")
        route(study.files, program)
        delivered(program, study.study_instance_uid, 1)
        yield Kept(program, other_bundle(tmp_path_factory.mktemp("bundles") / "other"))


def more_cases(kept: Kept, study: WrittenStudy, n: int) -> None:
    settings = load_settings(kept.program.config)
    ledger = open_ledger(settings.ledger.url or "")
    multiply(ledger, settings, study.study_instance_uid, n)
    ledger.close()


def killed_after(kept: Kept, n_done: int) -> None:
    """Start the comparison, and kill the command, not the workers, once so many answers stand in the ledger."""
    with subprocess.Popen(kept.command("--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:

        def reached() -> bool:
            assert command.poll() is None, "the comparison ended before it could be killed"
            return kept.n_done() >= n_done

        wait_for(reached, KILLED_WITHIN_S, lambda: f"{kept.n_done()} are done")
        command.send_signal(signal.SIGKILL)


def resumed(kept: Kept) -> dict[str, Any]:
    done = subprocess.run(kept.command("--json"), capture_output=True, text=True, timeout=RESUMED_WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "compared " in done.stderr  # plain lines where there is no terminal
    return dict(json.loads(done.stdout))


def check(document: dict[str, Any], n: int) -> None:
    """The summary against the studies that it sums up, and against how the second bundle was made."""
    summary, studies = document["summary"], document["studies"]
    assert summary["n"] == summary["scored_by_both"] == len(studies) == n
    assert not summary["failed"]
    assert not summary["newly_refused"]
    before = [one["before"]["scores"] for one in studies]
    after = [one["after"]["scores"] for one in studies]
    shifts = summary["shifts"]
    assert shifts["prognostic_score"]["quantiles"] == dict.fromkeys(shifts["prognostic_score"]["quantiles"], 0.0)
    moved = [a["predictive_score"] - b["predictive_score"] for b, a in zip(before, after, strict=True)]
    assert shifts["predictive_score"]["mean"] == pytest.approx(statistics.mean(moved), abs=1e-6)
    assert shifts["predictive_score"]["sd"] == pytest.approx(statistics.stdev(moved), abs=1e-6)
    assert shifts["predictive_score"]["quantiles"]["0.5"] == pytest.approx(statistics.median(moved), abs=1e-6)
    pairs = [(b["predictive_score"], a["predictive_score"]) for b, a in zip(before, after, strict=True)]
    assert shifts["predictive_score"]["rank_correlation"] == pytest.approx(spearmanr(pairs).statistic, abs=1e-6)
    assert shifts["predictive_score"]["rank_correlation"] > 0.99  # a monotone change; four decimals may tie
    changed = {one["study_instance_uid"] for one in summary["recommendation_changed"]}
    assert changed == {one["study_instance_uid"] for one in studies if "recommendation" in one["difference"]}


def test_a_killed_comparison_goes_on_where_it_stood(kept: Kept, study: WrittenStudy) -> None:
    more_cases(kept, study, SHORT)
    killed_after(kept, 2)
    document = resumed(kept)
    check(document, SHORT + 1)
    computations = Counter(job.computation for job in kept.comparisons())
    assert set(computations.values()) == {1}  # nothing was computed twice
    assert len(computations) == 2 * SHORT + 1  # the routed study's own report answers for the bundle that made it
    assert kept.n_reports() == (1, 1)  # nothing was reported, nothing sent


def test_known_answers_need_no_worker(kept: Kept) -> None:
    first = resumed(kept)  # and once more, with everything known
    n = len(kept.comparisons())
    second = resumed(kept)
    assert second["summary"] == first["summary"]
    assert len(kept.comparisons()) == n
    plan = json.loads(subprocess.run(kept.command("--dry-run", "--json"), capture_output=True, check=True).stdout)
    assert plan["plan"] == {"known": 2 * (SHORT + 1), "from_kept_patches": 0, "from_dicom": 0, "not_computable": 0}


def test_the_recommendations_are_those_of_the_two_nomograms(kept: Kept) -> None:
    document = resumed(kept)
    recommended = {one["study_instance_uid"]: one for one in document["summary"]["recommendation_changed"]}
    by_model = sorted(kept.comparisons(), key=lambda job: (job.bundle, job.study_instance_uid))
    for job in (by_model[0], by_model[-1]):
        found = (job.result or {})["report"]
        (scenario,) = found["scenarios"]
        ebv = ">4000" if scenario["ebv_category"] == ">threshold" else "<4000"
        nomogram = kept.program.json(
            "nomogram", "score", "--age", str(found["age_years"]), "--ebv-dna", ebv,
            "--prognostic-score", str(found["scores"]["prognostic_score"]),
            "--predictive-score", str(found["scores"]["predictive_score"]),
            *(("--nomogram", str(kept.other)) if found["model"]["name"] == "other" else ()),
        )  # fmt: skip
        withheld = scenario["ground"] in ("not_valid", "not_stable")
        expected = "no_reliable_difference" if withheld else nomogram["recommendation"]
        assert scenario["recommendation"] == expected
        if (changed := recommended.get(job.study_instance_uid)) is not None:
            assert changed["after" if found["model"]["name"] == "other" else "before"] == expected


def test_a_terminal_shows_a_bar_and_the_summary(kept: Kept) -> None:
    with Terminal(kept.command()) as terminal:
        shown = terminal.until_end()
    assert terminal.returncode == 0, shown
    assert f"{SHORT + 1}/{SHORT + 1}" in shown
    assert f"{SHORT + 1} studies, {SHORT + 1} scored by both bundles" in shown
    assert "rank correlation" in shown
    assert "\x1b[" in terminal.raw  # colours: it is a terminal


def test_what_would_change_is_shown_before_it_is_sent_or_activated(kept: Kept) -> None:
    n_reports, configuration = kept.n_reports(), kept.program.config.read_text()
    bulk = kept.program.json("reprocess", "--state", "reported", "--bundle", str(kept.other), as_user=True)
    assert bulk["sent"] is False
    # Other tests of this module left cases without a report of their own.
    compared = [one for one in bulk["studies"] if one["before"] is not None]
    activation = kept.program.cptdn(
        "bundle", "activate", str(kept.other), "--because", "a test", "--json", check=False
    )  # fmt: skip
    changes = json.loads(activation.stdout)["changes"]
    assert activation.returncode == 1
    assert changes["n_reported"] == changes["n_compared"] == len(compared) > 0
    assert "nothing was changed" in activation.stderr
    # Two ways to the same answer: by a worker, and in the command's own process.
    assert [one["after"] for one in changes["changed"]] == [
        one["after"] for one in bulk["changes"]["recommendation_changed"]
    ]
    assert any("recommendation" in one["difference"] for one in compared) is bool(changes["changed"])
    assert (kept.n_reports(), kept.program.config.read_text()) == (n_reports, configuration)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_hundred_kept_cases(kept: Kept, study: WrittenStudy) -> None:
    more = LONG + 1 - len(kept.program.json("studies", "list"))
    assert more > 0
    more_cases(kept, study, more)
    killed_after(kept, kept.n_done() + 60)
    document = resumed(kept)
    check(document, LONG + 1)
    assert set(Counter(job.computation for job in kept.comparisons()).values()) == {1}
    print(json.dumps(document["summary"]["shifts"], indent=1))
