"""Render templates as pages; the functions that templates may call are here."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from config.entered_sources import source_of
from config.who_and_when import local_time
from dicom_sr.report.numbers import percent, signed_percent
from node.web import charts
from node.web.page_request import PageRequest, delete_flash
from node.web.translations import LANGUAGE_NAMES, LANGUAGES

HERE = Path(__file__).parent
MENU = (
    ("/cases", "cases", "read"), ("/calculator", "calculator", "read"), ("/model", "model", "read"),
    ("/deliveries", "deliveries", "read"), ("/status", "health", "read"), ("/users", "users", "admin"),
)  # fmt: skip


@cache
def environment() -> Environment:
    """Return the templates: they escape every value, and a name that the view has not passed is an error."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters.update(moment=moment, percent=percent, signed=signed_percent, number=number, source=source_of)
    templates.globals.update(charts=charts, languages=LANGUAGES, language_names=LANGUAGE_NAMES)
    return templates


def render_page(request: PageRequest, template: str, http_status: int = 200, **values: Any) -> Response:
    """Render a template as the answer to a request.

    Parameters
    ----------
    request : PageRequest
        The request; the template gets it as `request`, and its translations as `t`.
    template : str
        File name in `templates/`.
    http_status : int
        Status code of the response.
    **values
        What the template shows.

    Returns
    -------
    Response
        HTML. A flash message is shown and then deleted.
    """
    flash = request.flash
    menu = [(path, name) for path, name, role in MENU if request.may(role)]
    html = environment().get_template(template).render(
        request=request, t=request.translations, flash=flash, menu=menu, here=request.http.url.path, **values
    )  # fmt: skip
    response = HTMLResponse(html, status_code=http_status, headers={"Content-Language": request.translations.lang})
    if flash:
        delete_flash(request.context, response)
    return response


def render_problem(request: PageRequest, status: int, text: str) -> Response:
    """Render the page of an error.

    Parameters
    ----------
    request : PageRequest
        The request that failed.
    status : int
        HTTP status code.
    text : str
        One sentence for the user.

    Returns
    -------
    Response
        HTML with this status.
    """
    return render_page(request, "problem.html", status, status=status, text=text)


def moment(value: datetime | str | None) -> str:
    """Return a time of the ledger as text.

    Parameters
    ----------
    value : datetime, str or None
        Aware, or in ISO form.

    Returns
    -------
    str
        In the time zone of this machine with its offset, to the second; empty for no time.
    """
    return local_time(value)


def number(value: float, decimals: int = 1) -> str:
    """Return a number with fixed decimals.

    Parameters
    ----------
    value : float
        The number.
    decimals : int
        Digits after the point.
    """
    return f"{value:.{decimals}f}"
