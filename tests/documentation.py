"""How much of the four rooms, and of libraries of the field, is documented: `python -m tests.documentation`.

Counted in the source text of every module, without importing it:

public docstrings
    Of the public modules, packages, classes, functions and methods, the share that has a docstring. Public is what has
    no name with a leading underscore in its dotted path; tests, nested functions, overloads, property setters and
    special methods do not count.
with sections
    Of the docstrings of public functions and methods (properties, too), the share that has at least one section
    Parameters, Returns, Yields or Raises, in numpydoc, Google or Sphinx form.
comment lines
    Of the lines that are not blank, the share that contains a comment and nothing else. Directives to tools (noqa,
    type, fmt, pragma) are not comments, nor is a licence or an encoding line at the top of a file.

A library that is not installed is named and left out.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("config", "node", "workers", "dicom_sr")
LIBRARIES = {"highdicom": "highdicom", "pynetdicom": "pynetdicom", "scikit-survival": "sksurv", "TorchIO": "torchio"}
SECTION_NAMES = "Parameters|Returns|Yields|Raises"
SECTION = re.compile(
    rf"^[ \t]*(?:(?:{SECTION_NAMES})[ \t]*\n[ \t]*-{{3,}}[ \t]*$"
    rf"|(?:Args|Arguments|{SECTION_NAMES}):[ \t]*$"
    rf"|:(?:param|returns?|raises)\b)",
    re.MULTILINE,
)
DIRECTIVE = re.compile(r"#+[:!]?\s*(?:noqa|type:|fmt:|pragma|ruff:|isort:|pylint:|mypy:)|#!|#.*-\*-")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class Documentation:
    """What was counted in some modules; `undocumented` names what has no docstring."""

    public: int = 0
    documented: int = 0
    function_docstrings: int = 0
    with_sections: int = 0
    lines: int = 0
    comments: int = 0
    undocumented: list[str] = field(default_factory=list)

    @property
    def docstring_percent(self) -> float:
        return 100 * self.documented / max(1, self.public)

    @property
    def section_percent(self) -> float:
        return 100 * self.with_sections / max(1, self.function_docstrings)

    @property
    def comment_percent(self) -> float:
        return 100 * self.comments / max(1, self.lines)


def measure(root: Path) -> Documentation:
    """Count in every module of a package; `root` is its folder."""
    counted = Documentation()
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
        if "tests" in path.relative_to(root).parts:
            continue
        source = path.read_text(encoding="utf-8")
        _count_lines(source, counted)
        if _is_public(name):
            _count_docstrings(ast.parse(source), name, counted)
    return counted


def _is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def _count_docstrings(module: ast.Module, name: str, counted: Documentation) -> None:
    counted.public += 1
    if ast.get_docstring(module):
        counted.documented += 1
    else:
        counted.undocumented.append(name)
    for qualified, definition in _definitions(module.body, name):
        counted.public += 1
        docstring = ast.get_docstring(definition)
        if not docstring:
            counted.undocumented.append(qualified)
            continue
        counted.documented += 1
        if not isinstance(definition, ast.ClassDef):
            counted.function_docstrings += 1
            counted.with_sections += bool(SECTION.search(docstring))


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
    """Public classes and functions with their dotted names, also those below `if` and `try` and inside classes."""
    for statement in body:
        if isinstance(statement, Definition):
            if statement.name.startswith("_") or _is_another_form(statement):
                continue
            name = f"{prefix}.{statement.name}"
            yield name, statement
            if isinstance(statement, ast.ClassDef):
                yield from _definitions(statement.body, name)
        elif isinstance(statement, ast.If | ast.Try):
            yield from _definitions([*statement.body, *statement.orelse], prefix)


def _is_another_form(definition: Definition) -> bool:
    """Whether the definition is an overload or a setter of something that is counted once already."""
    decorators = [ast.unparse(decorator) for decorator in definition.decorator_list]
    return any(re.search(r"(^|\.)(overload|setter|deleter)$", decorator) for decorator in decorators)


def _count_lines(source: str, counted: Documentation) -> None:
    counted.lines += sum(bool(line.strip()) for line in source.splitlines())
    code_seen = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = token.line.lstrip().startswith("#")
            counted.comments += code_seen and alone and not DIRECTIVE.match(token.string)
        elif token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING):
            code_seen = True


def folder_of(package: str) -> Path | None:
    """The folder of an installed package, without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def main() -> None:
    print(f"{'':16}{'public docstrings':>20}{'with sections':>16}{'comment lines':>16}")
    for room in ROOMS:
        _print_row(room, measure(PROJECT / room))
    for name, package in LIBRARIES.items():
        folder = folder_of(package)
        if folder is None:
            print(f"{name:16}{'not installed':>20}")
        else:
            _print_row(name, measure(folder))
    if "--undocumented" in sys.argv:
        print(*(name for room in ROOMS for name in measure(PROJECT / room).undocumented), sep="\n")


def _print_row(name: str, counted: Documentation) -> None:
    percents = (counted.docstring_percent, counted.section_percent, counted.comment_percent)
    print(f"{name:16}{percents[0]:>18.1f} %{percents[1]:>14.1f} %{percents[2]:>14.1f} %")


if __name__ == "__main__":
    main()
