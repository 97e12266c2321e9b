"""`cptdn demo`: the main job on this machine with real parts, a small PACS and a synthetic patient."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import CptdnError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from config.settings import Settings
    from dicom_sr.report.treatment_report import TreatmentReport
    from node.ledger.database import Ledger
    from node.ledger.tables import Report
    from node.small_pacs.pacs import SmallPacs
    from workers.phantoms.dicom_study import WrittenStudy

PACS_AE, NODE_AE = "DEMOPACS", "CPTDN"
PATIENT_ID = "DEMO-0001"
BIRTH_DATE, STUDY_DATE = date(1979, 5, 17), date(2026, 3, 9)
EBV_DNA, DIAGNOSIS, STAGE, EDITION = "6200", "C11.9", "T3N1M0", "8"
SEED = 79
REPORT_WITHIN_S = 120.0
LOOK_EVERY_S = 0.02
NAMES = {"sr": "report.dcm", "sc": "picture.dcm", "pdf": "pdf.dcm"}
PARTS = ("volumes", "features", "scores", "stability", "nomogram", "report")


class DemoFailedError(CptdnError):
    """The demonstration did not end with a delivered and committed report."""


@dataclass(frozen=True)
class DeliveredReport:
    """A report that came back from the PACS, with the seconds of each part and whether it was committed."""

    report: Report
    seconds: Mapping[str, float]
    committed: bool


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Where the report, its companions and summary.json go.")] = Path("out/demo"),
) -> None:
    """Run the main job with real parts on this machine and print the report.

    Broker, ledger, node and workers start; a small PACS sends a synthetic patient; the report comes back to it and is
    committed.

    Example: cptdn demo --out out/demo
    """
    from dicom_sr.reading.reader import read_report
    from dicom_sr.report.json_form import to_json
    from dicom_sr.report.plain_text import plain_text
    from workers.phantoms.dicom_study import write_phantom_study

    workplace = out / "work"
    # A report of an earlier run would be a predecessor, and a demonstration starts from nothing.
    shutil.rmtree(out, ignore_errors=True)
    workplace.mkdir(parents=True)
    say = _Narrator()
    say("A synthetic patient: T1w, T2w, CE-T1w and an RTSTRUCT (no real person, no real tumour)")
    study = write_phantom_study(
        workplace / "sent", seed=SEED, patient_id=PATIENT_ID, birth_date=BIRTH_DATE, study_date=STUDY_DATE
    )
    with ExitStack() as stack:
        settings, ledger, pacs = _start(stack, workplace, say)
        _record_facts(settings, ledger, say)
        delivered = _main_job(settings, ledger, pacs, study, say)
        files = _collect(out, ledger, pacs, delivered.report)
    report = read_report(files["sr"])
    _draw_nomogram(out / "nomogram.png", report)
    summary = {
        "ok": delivered.committed,
        "case": study.study_instance_uid,
        "report_sop_instance_uid": delivered.report.sop_instance_uid,
        "seconds": delivered.seconds,
        "report": to_json(report),
        "committed": delivered.committed,
        "files": {kind: path.name for kind, path in files.items()},
    }
    (out / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=1, default=str), encoding="utf-8")
    typer.echo("\n" + plain_text(report) + "\n")
    typer.echo("Seconds: " + ", ".join(f"{part} {seconds:.2f}" for part, seconds in delivered.seconds.items()))
    typer.echo(f"Saved in {out}: " + ", ".join(sorted(path.name for path in out.iterdir() if path.is_file())))
    if not delivered.committed:
        raise DemoFailedError("the report was sent, but the PACS did not commit it")


class _Narrator:
    """Prints each step with the time since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, sentence: str) -> None:
        typer.echo(f"[{time.monotonic() - self._started:6.2f} s] {sentence}")


def _start(stack: ExitStack, workplace: Path, say: Callable[[str], None]) -> tuple[Settings, Ledger, SmallPacs]:
    """Broker, ledger, node, workers and the small PACS, on free loopback ports."""
    from config.settings import load_settings
    from node.ledger.database import open_ledger
    from node.runtime.local_installation import running_parts, wait_until_ready
    from node.small_pacs.pacs import Destination, SmallPacs

    node_port = _free_port()
    pacs = stack.enter_context(
        SmallPacs(workplace / "pacs", PACS_AE, destinations=(Destination(NODE_AE, "127.0.0.1", node_port),))
    )
    config = workplace / "cptdn.toml"
    config.write_text(
        f'[node]\nae_title = "{NODE_AE}"\nport = {node_port}\n\n'
        f'[[pacs]]\nname = "demo"\nae_title = "{PACS_AE}"\nport = {pacs.port}\n\n'
        '[storage]\nroot = "./data"\nmin_free_gb = 0.2\n\n'
        '[model]\nbundle = "demonstration"\nallow_demonstration = true\n',
        encoding="utf-8",
    )
    settings = load_settings(config)
    ledger = open_ledger(settings.ledger.url or "")
    stack.callback(ledger.close)
    say(f"The small PACS listens on 127.0.0.1:{pacs.port}; the ledger is open; broker, node and workers start")
    log = stack.enter_context((workplace / "log.txt").open("a"))
    supervisor = stack.enter_context(running_parts(settings, {}, say, log))
    wait_until_ready(ledger, supervisor)
    say(f"Ready: the node listens on 127.0.0.1:{node_port}, the model is warm")
    return settings, ledger, pacs


def _record_facts(settings: Settings, ledger: Ledger, say: Callable[[str], None]) -> None:
    """Record what a hospital's systems would send: EBV DNA, diagnosis and stage."""
    from node.clinical.entries import diagnosis_entry, ebv_entry, record_entries, stage_entry

    entries = [ebv_entry(settings, EBV_DNA), diagnosis_entry(DIAGNOSIS), stage_entry(settings, STAGE, EDITION)]
    with ledger.begin() as session:
        record_entries(session, PATIENT_ID, "", entries, source="cptdn demo", set_by="demo")
    say(f"Clinical facts: EBV DNA {EBV_DNA} copies/mL, diagnosis {DIAGNOSIS}, stage {STAGE} (AJCC {EDITION})")


def _main_job(
    settings: Settings, ledger: Ledger, pacs: SmallPacs, study: WrittenStudy, say: Callable[[str], None]
) -> DeliveredReport:
    """Route the study from the PACS, and wait until its report is delivered and committed."""
    from node.dicom.scu.store_scu import send_folder
    from node.ledger.deliveries import deliveries_of
    from node.ledger.jobs import get_job
    from node.ledger.reports import current_report

    begun = time.monotonic()
    outcomes = send_folder(study.files, "127.0.0.1", settings.node.port, PACS_AE, NODE_AE)
    received = time.monotonic() - begun
    # Any status but 0000 counts, the warnings (Bxxx, PS3.7 C) too: the node gives none for an object that it stores.
    refused = [outcome for outcome in outcomes if outcome.status != 0x0000]
    if refused:
        raise DemoFailedError(f"the node refused {len(refused)} objects: {refused[0].note}")
    say(f"C-STORE: {len(outcomes)} objects sent and stored")
    printed_lines = 0
    while True:
        with ledger.read() as session:
            printed_lines = _print_history(session, study.study_instance_uid, printed_lines, say)
            report = current_report(session, study.study_instance_uid)
            delivery = deliveries_of(session, report.id)[0] if report is not None else None
        # Delivered and dead are the only final states; in all others the node tries again.
        if report is not None and delivery is not None and delivery.state in ("delivered", "dead"):
            break
        if time.monotonic() - begun > REPORT_WITHIN_S:
            where = settings.storage.root.parent / "log.txt"
            raise DemoFailedError(
                f"expected a delivered report within {REPORT_WITHIN_S:.0f} s, found none; see {where}"
            )
        time.sleep(LOOK_EVERY_S)
    total = time.monotonic() - begun
    with ledger.read() as session:
        seconds = get_job(session, report.job_id).seconds
    if delivery.state == "dead":
        raise DemoFailedError(f"the report could not be delivered: {delivery.error_text}")
    say(f"C-STORE: {len(delivery.objects)} objects are back at the PACS, committed")
    parts = {name: round(float(seconds.get(name, 0.0)), 3) for name in PARTS}
    sent = ((delivery.committed_at or delivery.created_at) - delivery.created_at).total_seconds()
    timing = {"receive": round(received, 3), **parts, "delivery": round(sent, 3), "total": round(total, 3)}
    return DeliveredReport(report, timing, delivery.committed_at is not None)


def _print_history(session: Session, study_instance_uid: str, printed_lines: int, say: Callable[[str], None]) -> int:
    """Print the new lines of the case's history; return how many lines it has now."""
    from node.ledger.cases import history

    lines = history(session, study_instance_uid)
    for line in lines[printed_lines:]:
        say(f"Case: {line['text']}")
    return len(lines)


def _collect(out: Path, ledger: Ledger, pacs: SmallPacs, report: Report) -> dict[str, Path]:
    """Copy what the PACS received: kind -> file."""
    from pydicom import dcmread

    from node.ledger.reports import objects_of

    with ledger.read() as session:
        objects = objects_of(session, report.id)
    files: dict[str, Path] = {}
    n_of_kind: Counter[str] = Counter()
    for number, report_object in enumerate(objects):
        kind = report_object.kind
        n_of_kind[kind] += 1
        name, key = NAMES.get(kind, f"{kind}-{number}.dcm"), kind if kind in NAMES else f"{kind}-{number}"
        if key in files:  # the next page of the picture
            key = f"{kind}-{n_of_kind[kind]}"
            name = f"{Path(name).stem}-{n_of_kind[kind]}.dcm"
        files[key] = out / name
        shutil.copyfile(pacs.stored[report_object.sop_instance_uid].path, out / name)
    if "pdf" in files:
        encapsulated = dcmread(files["pdf"])
        # The value is padded to even length (PS3.5 8.2); the true length is in (0042,0015).
        data = bytes(encapsulated.EncapsulatedDocument)[: encapsulated.EncapsulatedDocumentLength]
        (out / "report.pdf").write_bytes(data)
    pages = [path for key, path in files.items() if key.split("-")[0] == "sc"]
    if pages:
        from PIL import Image

        from dicom_sr.objects.lossless import rgb_pixels

        for number, page in enumerate(pages, start=1):
            picture = "report.png" if number == 1 else f"report-{number}.png"
            Image.fromarray(rgb_pixels(dcmread(page))).save(out / picture)
    return files


def _draw_nomogram(path: Path, report: TreatmentReport) -> None:
    """Draw the nomogram with this patient's lines, from the numbers in the report."""
    from matplotlib.figure import Figure

    from config.indication.vocabulary import EbvCategory
    from workers.bundles.bundle import load_bundle
    from workers.nomogram.drawing import draw_nomogram
    from workers.survival.covariates import PatientCovariates

    if report.scores is None or report.age_years is None:
        raise DemoFailedError("the report has no scores to draw")
    nomogram = load_bundle("demonstration").nomogram
    above = report.ebv_dna.category is EbvCategory.ABOVE
    patient = PatientCovariates(
        report.age_years, float(above), report.scores.prognostic_score, report.scores.predictive_score
    )
    figure = Figure(figsize=(11, 6.5), dpi=130, layout="constrained")
    draw_nomogram(figure.add_subplot(), nomogram, nomogram.score(patient))
    figure.savefig(path)


def _free_port() -> int:
    with socket.socket() as probe:
        # Port 0: the system chooses a free one.
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
