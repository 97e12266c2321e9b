"""Which fonts the pages of reports are drawn with on this machine, for `cptdn doctor`.

A process of its own answers: neither the commands nor the web pages load matplotlib, and a new process finds what a
worker that starts now would find.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

TIMEOUT_S = 60  # the first use of matplotlib on a machine lists all its fonts, which takes seconds


class PageFontsError(RuntimeError):
    """The fonts of this machine cannot be told; the message says why."""


def page_fonts() -> dict[str, str] | None:
    """Return the fonts that a worker of this machine would draw pages with.

    Returns
    -------
    dict of str to str, or None
        Family name to font file, the Latin font first, then the Chinese one where there is one; None where matplotlib
        is not installed, so that no page is drawn on this machine.

    Raises
    ------
    PageFontsError
        The process failed or did not answer within `TIMEOUT_S`.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return None
    # -P: a file of the working folder with the name of a library must not be imported in its place.
    command = [sys.executable, "-P", "-m", "dicom_sr.page.fonts"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        fonts: dict[str, str] = json.loads(answer.stdout)
    except subprocess.TimeoutExpired as error:
        raise PageFontsError(f"no answer within {TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise PageFontsError(last_line) from error
    except (OSError, ValueError) as error:
        raise PageFontsError(str(error)) from error
    return fonts
