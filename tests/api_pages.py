"""API pages of the four rooms from their docstrings: `python -m tests.api_pages FOLDER`.

A warning of the generator (a type that it cannot resolve, a module that it cannot import) ends it with an error.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc

ROOMS = ("config", "node", "workers", "dicom_sr")
# Alembic's scripts run inside a migration only.
SKIPPED = ("!node.ledger.migrations",)
# Types that exist for type checkers only, so that no page can link to them.
UNRESOLVABLE = (
    # pynetdicom's own imports for type checkers fail at run time ('str' | type).
    r"Failed to run TYPE_CHECKING code .* unsupported operand type\(s\) for \|: 'str' and 'type'",
    r"Error parsing type annotation .* Import of (NotificationEvent|_QueueType|_UserQueuePrimitives|Context) failed",
    # The constructor that Python makes for a NamedTuple is outside the module whose names it uses.
    r"Error parsing type annotation ForwardRef\('\w+'\) for .*\.__(init|new)__",
    # select.poll is a function at run time.
    r"Error parsing type annotation select\.poll \| None",
)


def write_api_pages(folder: Path) -> None:
    """Write one HTML page per module into the folder, and a search index beside them.

    Parameters
    ----------
    folder : Path
        Is made where it does not exist; pages of the same name are replaced.

    Raises
    ------
    Warning
        The first warning of the generator.
    """
    pdoc.render.configure(docformat="numpy", show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for message in UNRESOLVABLE:
            warnings.filterwarnings("ignore", message=message)
        pdoc.pdoc(*ROOMS, *SKIPPED, output_directory=folder)


if __name__ == "__main__":
    write_api_pages(Path(sys.argv[1]))
