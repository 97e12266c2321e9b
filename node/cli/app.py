"""The `cptdn` command, assembled from the tables of commands of the installed rooms.

A room publishes a table `COMMANDS` under the entry-point group `cptdn.commands`: name -> ("module:attribute", one line
of help). Only the module of the command that is called is imported, so help is fast and a node without torch works.

Exit codes: 0 success, 2 wrong usage, 1 a failure with one clear sentence on stderr (`--debug` shows the traceback).
"""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import CptdnError

ENTRY_POINT_GROUP = "cptdn.commands"
# With Python's defaults the garbage collector runs while modules are loaded, which makes loading a quarter slower.
COLLECT_AFTER = (10_000, 20, 20)
OVERVIEW = "A node beside the PACS that reads pre-treatment MR and contour and writes the CPTDN result into the study."

CommandTable = Mapping[str, tuple[str, str]]


def command_table() -> dict[str, tuple[str, str]]:
    """Return all commands of the installed rooms: name -> ("module:attribute", one line of help).

    Returns
    -------
    dict of str to (str, str)
        In alphabetical order; of two rooms with one name the later one counts.
    """
    table: dict[str, tuple[str, str]] = {}
    for point in _entry_points():
        # A room that is not installed publishes no table, so its commands are not offered.
        table.update(point.load())
    return dict(sorted(table.items()))


@functools.cache
def _entry_points() -> EntryPoints:
    """Return the tables of the installed rooms; reading the metadata of all packages takes 20 ms."""
    return entry_points(group=ENTRY_POINT_GROUP)


def load_command(root: typer.Typer, name: str, where: str, help_text: str) -> None:
    """Import one command and add it to the root.

    Parameters
    ----------
    root : typer.Typer
        The `cptdn` command.
    name, help_text : str
        Name of the command and its line of help.
    where : str
        "module:attribute" of a Typer application (a group of commands) or a plain function.
    """
    module, attribute = where.split(":")
    loaded = getattr(importlib.import_module(module), attribute)
    if isinstance(loaded, typer.Typer):
        for command in loaded.registered_commands:
            if command.callback is not None and not hasattr(command.callback, "__wrapped__"):  # once a process
                command.callback = _with_common_options(command.callback)
        root.add_typer(loaded, name=name, help=help_text)
    else:
        root.command(name)(_with_common_options(loaded))


def _with_common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the command with the options `--config FILE` and `--debug`, which `ctx.obj` contains afterwards."""

    @functools.wraps(function)
    def called(*args: Any, config: Path | None, debug: bool, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    signature = inspect.signature(function, eval_str=True)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, default, annotation in (("config", None, ConfigOption), ("debug", False, DebugOption))
    ]
    parameters = [*signature.parameters.values(), *extra]
    called.__doc__ = _with_example_lines(inspect.getdoc(function) or "")
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def _with_example_lines(text: str) -> str:
    """Return help with each example on a line of its own: click joins the lines of a paragraph without a mark."""
    return re.sub(r"\n+Example: ", "\n\n\b\nExample: ", text)


def _put_into_context(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    if value:
        ctx.ensure_object(dict)[param.name] = value
    return value


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", callback=_put_into_context, is_eager=True,
        help="Configuration file (default: $CPTDN_CONFIG, then ./cptdn.toml, then built-in defaults).",
    ),
]  # fmt: skip
DebugOption = Annotated[
    bool,
    typer.Option("--debug", callback=_put_into_context, is_eager=True, help="Show the whole traceback of a failure."),
]


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the root command with the called one; without one, all have their names and help, and are not imported.

    Parameters
    ----------
    arguments : sequence of str
        Words of the call; the first one without a hyphen names the command.

    Returns
    -------
    typer.Typer
        With the called command, or with all names, for help, completion and suggestions.
    """
    root = typer.Typer(
        name="cptdn", help=OVERVIEW, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
        context_settings={"max_content_width": 120},
    )  # fmt: skip
    root.callback()(_root)
    called = next((word for word in _words_to_complete() or arguments if not word.startswith("-")), None)
    table = command_table()
    if called in table and not _words_to_complete():
        # Typer reads the parameters of every function that it has, which takes longer than many a command.
        table = {called: table[called]}
    # Names only: importing every command would load pynetdicom, Celery and matplotlib for a line of help.
    for name, (where, help_text) in table.items():
        if name == called:
            load_command(root, name, where, help_text)
        else:
            root.command(name, help=help_text)(_not_called)
    return root


def _words_to_complete() -> list[str]:
    """Return the words that a shell completes, without the program's name; empty outside a completion."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return line.split()[1:] if "_CPTDN_COMPLETE" in os.environ else []


def _not_called() -> None:
    """Take the place of a command that is not called."""


def _print_version(ctx: typer.Context, value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"cptdn-node {version('cptdn-node')}")
        ctx.exit()


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `cptdn` command; it ends the process with the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after `cptdn`; None: those of the process.
    """
    if arguments is None:
        gc.set_threshold(*COLLECT_AFTER)
    words = list(sys.argv[1:] if arguments is None else arguments)
    state: dict[str, Any] = {}
    try:
        build(words)(args=words, prog_name="cptdn", obj=state)
    except CptdnError as error:
        _fail(str(error), state)
    # A node is installed without torch: that is no fault of the program.
    except ModuleNotFoundError as error:
        needed = f"{error.name}, which is not installed here"
        _fail(f"this command needs {needed}; call it where the extra `workers` is installed", state)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Python flushes stdout at its end and would report the broken pipe a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the user gets a sentence, --debug shows the traceback
        _fail(f"unexpected {type(error).__name__}: {error} (run again with --debug for the traceback)", state)


def _fail(sentence: str, state: Mapping[str, Any]) -> None:
    if state.get("debug"):
        raise
    print(f"cptdn: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(1)
