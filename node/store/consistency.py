"""Compare the ledger with the disk, in both directions.

    missing_file        a row whose file does not exist
    damaged_file        a file with other bytes than were received
    orphan_file         an instance's file without a row: never acknowledged, or from an older ledger
    missing_report      an object of a report that does not exist
    damaged_report      one with other bytes than were sent
    orphan_report       a report's file without a row: of a step that was interrupted, which will use it
    missing_quarantine  a row of the quarantine whose file does not exist
    orphan_artefacts    artefacts of a study that the ledger does not have
    leftover            a file in incoming/ that no association writes any more

The check may run beside a working node: it skips files that are only minutes old, and checks a second time what seems
to be wrong. `node/workflow/storage_repair.py` repairs what can be repaired safely.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.errors import InputError
from node.ledger.database import Ledger
from node.ledger.tables import Case, Instance, Quarantined, Report, ReportObject
from node.store.digests import content_hash
from node.store.part10 import skip_file_header
from node.store.study_store import ORPHAN_AFTER_S, StudyStore

MIN_AGE_S = 300.0  # the row of a younger file may be written at this moment
PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Finding:
    """One disagreement between ledger and disk.

    Attributes
    ----------
    kind : str
        One of the kinds above.
    path : str
        Relative to the storage root.
    text : str
        A sentence for the administrator.
    """

    kind: str
    path: str
    text: str
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None


@dataclass(frozen=True)
class _Row:
    """A row that names a file; `digest` is of the data set, or of the whole file, and empty when unknown."""

    table: type[Any]
    key: str | int
    path: str
    digest: str
    study: str | None
    whole: bool = False


def check_consistency(
    ledger: Ledger,
    store: StudyStore,
    digests: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Finding]:
    """Yield every disagreement between ledger and disk.

    Parameters
    ----------
    digests : bool
        Whether to read every file and compare its bytes, which takes as long as reading the whole store.
    progress : callable
        Called with (files checked, files that the ledger names).
    """
    with ledger.read() as session:
        # One list at one time; the files are read without a transaction, which would stop reception for hours.
        rows = list(_rows(session))
        studies = set(session.scalars(select(Case.study_instance_uid))) | {row.study for row in rows}
    for done, row in enumerate(rows):
        finding = _compare(store, row, digests)
        if finding is not None and _still_named(ledger, row):
            yield finding
        progress(done + 1, len(rows))
    named = {row.path for row in rows}
    yield from _orphans(ledger, store, named)
    yield from _orphan_artefacts(store, studies)
    yield from _leftovers(store)


def _rows(session: Session) -> Iterator[_Row]:
    instances = select(Instance.sop_instance_uid, Instance.path, Instance.digest, Instance.study_instance_uid)
    for uid, path, digest, study in session.execute(instances.order_by(Instance.path)):
        yield _Row(Instance, uid, path, digest, study)
    objects = select(ReportObject.sop_instance_uid, ReportObject.path, ReportObject.digest, Report.study_instance_uid)
    for uid, path, digest, study in session.execute(objects.join(Report, Report.id == ReportObject.report_id)):
        yield _Row(ReportObject, uid, path, digest, study, whole=True)
    for number, path in session.execute(select(Quarantined.id, Quarantined.path)):
        yield _Row(Quarantined, number, path, "", None)


def _compare(store: StudyStore, row: _Row, digests: bool) -> Finding | None:
    kinds = {Instance: "file", ReportObject: "report", Quarantined: "quarantine"}
    kind = kinds[row.table]
    uid = row.key if isinstance(row.key, str) else None
    path = store.path(row.path)
    if not path.is_file():
        return Finding(f"missing_{kind}", row.path, "the ledger names this file, and it does not exist", row.study, uid)
    # Quarantined objects are only looked for: nothing is computed from them.
    if not digests or not row.digest:
        return None
    digest = digest_of(path, row.whole)
    if digest == row.digest:
        return None
    text = f"expected the digest {row.digest[:16]}, found {digest[:16] or 'no readable file'}"
    return Finding(f"damaged_{kind}", row.path, text, row.study, uid)


def digest_of(path: Path, whole: bool = False) -> str:
    """Return the digest of the data set in a file, or of the whole file.

    The digest of a received instance leaves the file meta information out, because this program writes that itself.

    Returns
    -------
    str
        Hexadecimal digits; empty when the file cannot be read.
    """
    digest = content_hash()
    try:
        with open(path, "rb") as file:
            if not whole:
                skip_file_header(file)
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
    except (OSError, InputError):
        return ""
    return digest.hexdigest()


def _still_named(ledger: Ledger, row: _Row) -> bool:
    """Return whether the ledger still names the file: retention may have deleted row and file since the first query."""
    with ledger.read() as session:
        current = session.get(row.table, row.key)
        return current is not None and current.path == row.path


def _orphans(ledger: Ledger, store: StudyStore, named: set[str]) -> Iterator[Finding]:
    paths = {"studies": (Instance.path, "orphan_file"), "reports": (ReportObject.path, "orphan_report")}
    for folder, (column, kind) in paths.items():
        for path in _files(store.root / folder):
            relative = str(path.relative_to(store.root))
            # A file is durable before its row is written: a young file without a row is normal.
            if relative in named or _age_s(path) < MIN_AGE_S:
                continue
            with ledger.read() as session:
                # Asked again: the row may be newer than the list of all rows.
                if session.scalar(select(column).where(column == relative).limit(1)) is not None:
                    continue
            study = path.relative_to(store.root).parts[1]
            yield Finding(kind, relative, "this file exists, and the ledger does not name it", study)


def _orphan_artefacts(store: StudyStore, studies: set[str | None]) -> Iterator[Finding]:
    for folder in sorted((store.root / "artefacts").glob("*")):
        if folder.name not in studies and _age_s(folder) >= MIN_AGE_S:
            path = str(folder.relative_to(store.root))
            yield Finding("orphan_artefacts", path, "artefacts of a study that the ledger does not have", folder.name)


def _leftovers(store: StudyStore) -> Iterator[Finding]:
    for path in _files(store.root / "incoming"):
        if _age_s(path) > ORPHAN_AFTER_S:
            yield Finding(
                "leftover", str(path.relative_to(store.root)), "incomplete file that no association writes any more"
            )


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(where) / name for name in sorted(names))


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        # Gone since it was listed: counted as young, so that nothing is reported.
        return 0.0
