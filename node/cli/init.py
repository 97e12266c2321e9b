"""`cptdn init`: write a first configuration from five questions, or from options."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from config.addresses import is_loopback
from config.errors import CptdnError, InputError

HEAD = """# Configuration of cptdn-node, written by `cptdn init`. A setting that is not here has its default; each is
# explained in default.toml and REFERENCE.md of the program's folder `config`. Check it with `cptdn doctor`.
"""
ANYWHERE = "0.0.0.0"  # noqa: S104 - offered only together with a list of peers
DEFAULT_BUNDLE = "demonstration"


@dataclass(frozen=True)
class Site:
    """The answers to the five questions."""

    ae_title: str
    port: int
    bind: str
    pacs_ae: str
    pacs_host: str
    pacs_port: int
    allow: tuple[str, ...]
    data: str
    min_free_gb: float
    bundle: str
    allow_demonstration: bool


def init(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the configuration goes.")] = Path("cptdn.toml"),
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: options and defaults are the answers.")] = False,
    ae_title: Annotated[str | None, typer.Option(metavar="AE", help="Our application entity title.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port on which we listen.")] = None,
    bind: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on (default: loopback for a PACS on it).")
    ] = None,
    pacs_ae: Annotated[str | None, typer.Option(metavar="AE", help="The PACS's application entity title.")] = None,
    pacs_host: Annotated[str | None, typer.Option(metavar="HOST", help="The PACS's name or address.")] = None,
    pacs_port: Annotated[int | None, typer.Option(min=1, max=65535, help="The PACS's DICOM port.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", metavar="AE", help="A title that may call us; repeatable.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Where studies and reports are kept.")] = None,
    min_free_gb: Annotated[float | None, typer.Option(min=0, help="GB that remain free on that disk.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Model bundle: a name or a folder.")] = None,
    allow_demonstration: Annotated[
        bool | None,
        typer.Option("--allow-demonstration/--no-allow-demonstration", help="Send reports of a demonstration model."),
    ] = None,
) -> None:
    """Write a commented configuration from five questions.

    They are: our AE title and port, the PACS, who may call, the folder of data, the model. With --yes it asks nothing.
    An existing file is never changed.

    Example: cptdn init
    Example: cptdn init --yes --pacs-ae HOSPITALPACS --pacs-host 192.0.2.10 --pacs-port 104 --data /srv/cptdn
    """
    if out.exists():
        # Never overwritten: the file may be the only copy of a site's configuration.
        raise InputError(f"{out} exists already and is not changed; name another file with --out, or move it away")
    if not yes and not sys.stdin.isatty():
        raise InputError(
            "expected a terminal to ask on, found none; give --yes and the answers as options (`cptdn init --help`)"
        )
    given = {
        "ae_title": ae_title, "port": port, "bind": bind, "pacs_ae": pacs_ae, "pacs_host": pacs_host,
        "pacs_port": pacs_port, "allow": allow, "data": data, "min_free_gb": min_free_gb, "bundle": bundle,
        "allow_demonstration": allow_demonstration,
    }  # fmt: skip
    site = _answers(_Asker(given, asks=not yes))
    _write(out, configuration(site))
    typer.echo(f"\nWritten: {out}")
    for line in next_steps(site, out):
        typer.echo(line)


class _Asker:
    """Takes an answer from the options, the terminal or the default; the terminal is asked again after a wrong one."""

    def __init__(self, given: dict[str, Any], asks: bool) -> None:
        self._given, self._asks = given, asks

    def title(self, text: str) -> None:
        if self._asks:
            typer.echo(f"\n{text}")

    def __call__(self, name: str, question: str, default: Any, check: Callable[[str], Any]) -> Any:
        given = self._given[name]
        if given is not None or not self._asks:
            return _checked(given if given is not None else default, check, f"--{name.replace('_', '-')}")
        return typer.prompt(f"   {question}", default=_shown(default), value_proc=lambda text: _checked(text, check))


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _checked(value: Any, check: Callable[[str], Any], option: str | None = None) -> Any:
    text = ",".join(value) if isinstance(value, list) else _shown(value)
    try:
        return check(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _answers(ask: _Asker) -> Site:
    ask.title("1. This node. The PACS sends to this application entity title and port.")
    ae_title = ask("ae_title", "Our AE title", "CPTDN", _ae_title)
    port = ask("port", "Our port", 11112, _port)
    ask.title("2. The PACS. Reports go there.")
    pacs_ae = ask("pacs_ae", "AE title of the PACS", "PACS", _ae_title)
    pacs_host = ask("pacs_host", "Its name or address", "127.0.0.1", _host)
    pacs_port = ask("pacs_port", "Its DICOM port", 11113, _port)
    ask.title("3. Who may call. Separate several titles by commas; empty: any program of this machine, no other.")
    # Loopback unless other machines have to reach the node: an open port is a decision, not a default.
    away = not is_loopback(pacs_host)
    allow = ask("allow", "Titles that may call us", pacs_ae if away else "", _ae_titles)
    bind = _checked(ask._given["bind"] or (ANYWHERE if away or allow else "127.0.0.1"), _host, "--bind")
    ask.title("4. Data. Received studies, reports and intermediate results are in one folder.")
    data = ask("data", "Folder", "./data", _folder)
    min_free_gb = ask("min_free_gb", "GB that remain free on its disk", 5.0, _gigabytes)
    ask.title("5. The model. The bundled one is trained on synthetic phantoms and only shows that the program works.")
    bundle = ask("bundle", "Model bundle, a name or a folder", DEFAULT_BUNDLE, _bundle)
    allow_demonstration = False
    if _is_demonstration(bundle):
        question = "Send its reports to the PACS? Each says that it is no clinical result"
        allow_demonstration = ask("allow_demonstration", question, False, _yes_or_no)
    return Site(
        ae_title, port, bind, pacs_ae, pacs_host, pacs_port, allow, data, min_free_gb, bundle, allow_demonstration
    )


# --- answers ---


def _ae_title(text: str) -> str:
    """PS3.5 section 6.2, AE: at most 16 characters of the default repertoire, no backslash, no control character."""
    title = text.strip()
    if not 1 <= len(title) <= 16 or not all(" " <= letter <= "~" and letter != "\\" for letter in title):
        raise ValueError(f"expected 1 to 16 ASCII letters without backslash, found {text!r}")
    return title


def _ae_titles(text: str) -> tuple[str, ...]:
    return tuple(_ae_title(one) for one in text.split(",") if one.strip())


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ValueError(f"expected a port from 1 to 65535, found {text!r}")
    return int(text)


def _host(text: str) -> str:
    host = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", host):
        raise ValueError(f"expected a name or an address, found {text!r}")
    return host


def _folder(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("expected a folder, found nothing")
    if Path(text).exists() and not Path(text).is_dir():
        raise ValueError(f"expected a folder, found the file {text}")
    return text.strip()


def _gigabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"expected a number of GB, found {text!r}")
    return value


def _bundle(text: str) -> str:
    from config.bundle_manifest import bundle_reference, read_manifest

    try:
        read_manifest(text)
    except CptdnError as error:
        raise ValueError(str(error)) from error
    return bundle_reference(text)


def _is_demonstration(bundle: str) -> bool:
    from config.bundle_manifest import read_manifest

    return read_manifest(bundle).demonstration


def _yes_or_no(text: str) -> bool:
    answers = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}
    try:
        return answers[text.strip().lower()]
    except KeyError:
        raise ValueError(f"expected yes or no, found {text!r}") from None


# --- what is written ---


def configuration(site: Site) -> str:
    """Return the commented TOML of a site.

    Parameters
    ----------
    site : Site
        The answers.

    Returns
    -------
    str
        TOML; each key has its explanation from default.toml as a comment.
    """
    sections: dict[str, dict[str, Any]] = {
        "node": {"ae_title": site.ae_title, "bind": site.bind, "port": site.port, "allowed_calling_aes": site.allow},
        "pacs": {
            "name": "main", "ae_title": site.pacs_ae, "host": site.pacs_host, "port": site.pacs_port,
            "send": ["sr", "pdf", "sc", "seg"], "storage_commitment": True,
        },
        "storage": {"root": site.data, "min_free_gb": site.min_free_gb},
        "model": {"bundle": site.bundle, "allow_demonstration": site.allow_demonstration},
    }  # fmt: skip
    return "\n".join([HEAD, *(line for name, values in sections.items() for line in _section(name, values))])


def _section(name: str, values: dict[str, Any]) -> Sequence[str]:
    from config.explained import explained

    section = next(one for one in explained() if one.name == name)
    comments = {key.name: key.comment for key in section.keys}
    lines = [_commented(f"[[{name}]]" if section.repeated else f"[{name}]", section.comment)]
    lines += [_commented(f"{key} = {_toml(value)}", comments[key]) for key, value in values.items()]
    return [*lines, ""]


def _commented(line: str, comment: str) -> str:
    return f"{line:<35} # {comment}" if comment else line


def _toml(value: Any) -> str:
    """TOML of a text, number, truth value or list; JSON's form of them is TOML, too."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _write(out: Path, text: str) -> None:
    """Write a file that does not exist yet, for its owner and group alone; what was written is read back first."""
    from config.settings import load_settings

    # Read back by the program itself before it is written: a file that cannot be loaded is of no use.
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as trial:
        trial.write(text)
        trial.flush()
        load_settings(Path(trial.name))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # O_EXCL: of two calls at one moment the second one fails.
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error


def next_steps(site: Site, out: Path) -> list[str]:
    """Return lines that say what to do next, here and at the PACS."""
    named = "" if out == Path("cptdn.toml") else f" --config {out}"
    here = "127.0.0.1" if is_loopback(site.bind) else socket.gethostname()
    steps = {
        "cptdn up": "starts everything on this machine; Ctrl-C stops it",
        "cptdn doctor": "in another terminal: checks every part, the PACS by C-ECHO",
        "cptdn studies list": "shows what arrived and its state",
    }
    lines = ["", "Next:", *(f"  {f'{step}{named}':<{len(named) + 20}} {what}" for step, what in steps.items())]
    lines.append(
        f"At the PACS, add the destination {site.ae_title}, {here}, port {site.port}; route MR and RTSTRUCT there."
    )
    if _is_demonstration(site.bundle) and not site.allow_demonstration:
        lines += [
            "",
            "The demonstration model's reports are not sent: studies will be refused (model_not_permitted). For a",
            f"trial, set [model] allow_demonstration = true in {out}; for patients, train a bundle of your own.",
        ]
    return lines
