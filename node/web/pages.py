"""From a template and values to a page; everything that templates may call stands here."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from dicom_sr.report.numbers import percent, signed_percent
from node.web import charts
from node.web.translations import LANGUAGES, OTHER_NAMES

if TYPE_CHECKING:
    from node.web.page_request import Visit

HERE = Path(__file__).parent
MENU = (
    ("/cases", "cases", "read"), ("/calculator", "calculator", "read"), ("/model", "model", "read"),
    ("/deliveries", "deliveries", "read"), ("/status", "health", "read"), ("/users", "users", "admin"),
)  # fmt: skip


@cache
def environment() -> Environment:
    """Templates escape everything, and a name that is not given is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(moment=moment, percent=percent, signed=signed_percent, number=number)
    made.globals.update(charts=charts, languages=LANGUAGES, language_names=OTHER_NAMES)
    return made


def show(visit: Visit, template: str, http_status: int = 200, **values: Any) -> Response:
    """A page of this visit. What an earlier form had to say is shown once."""
    said = unquote(visit.request.cookies.get("said", ""))
    menu = [(path, name) for path, name, role in MENU if visit.may(role)]
    html = environment().get_template(template).render(
        visit=visit, t=visit.words, said=said, menu=menu, here=visit.request.url.path, **values
    )  # fmt: skip
    response = HTMLResponse(html, status_code=http_status, headers={"Content-Language": visit.words.lang})
    if said:
        response.delete_cookie("said", path="/", httponly=True, samesite="strict", secure=visit.context.secure)
    return response


def problem(visit: Visit, status: int, text: str) -> Response:
    """A page for what did not work, with one clear sentence."""
    return show(visit, "problem.html", status, status=status, text=text)


def moment(value: datetime | str | None) -> str:
    """A time of the ledger (UTC) on this machine's clock, to the second."""
    if value is None or value == "":
        return ""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def number(value: float, decimals: int = 1) -> str:
    return f"{value:.{decimals}f}"
