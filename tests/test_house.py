"""The structure of the project: import directions, a node without torch, start of the command line, documentation."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.documentation import measure

PROJECT = Path(__file__).parents[1]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_run_one_way() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(tool)], capture_output=True, text=True, cwd=PROJECT, timeout=200, check=False)
    assert done.returncode == 0, done.stdout


def modules_of(rooms: tuple[str, ...]) -> dict[str, Path]:
    """Dotted name -> file of every module; a package has the name of its folder."""
    files = [path for room in rooms for path in (PROJECT / room).rglob("*.py")]
    return {".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports_of(path: Path, modules: dict[str, Path]) -> set[str]:
    """Own modules that a file imports anywhere: at the top, in functions and for type checkers alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & set(modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from room import module` needs the module; `from module import name` needs the module that has the name.
            found |= {name if name in modules else node.module for name in names} & set(modules)
    return found


def cycle_in(imports: dict[str, set[str]]) -> list[str]:
    """A chain of imports that ends where it began; empty when there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_circles_also_not_inside_functions_or_for_types() -> None:
    modules = modules_of(("config", "dicom_sr", "node", "workers"))
    assert cycle_in({name: imports_of(path, modules) for name, path in modules.items()}) == []


def test_a_circle_of_imports_inside_functions_and_for_types_is_found(tmp_path: Path) -> None:
    sources = {"one": "def f():\n    from two import g\n", "two": "if TYPE_CHECKING:\n    import one\n"}
    for name, text in sources.items():
        (tmp_path / f"{name}.py").write_text(text)
    modules = {name: tmp_path / f"{name}.py" for name in sources}
    assert set(cycle_in({name: imports_of(path, modules) for name, path in modules.items()})) == {"one", "two"}


@pytest.mark.parametrize("room", ["node", "workers", "dicom_sr"])
def test_a_room_contains_packages_and_no_loose_module(room: str) -> None:
    assert {path.name for path in (PROJECT / room).glob("*.py")} <= {"__init__.py", "__main__.py"}


def test_the_node_runs_without_what_computes() -> None:
    modules = "node.runtime.service, node.cli.studies, node.workflow.reprocessing"
    heavy = {"torch", "SimpleITK", "pandas", "lifelines"}
    assert python(f"import sys, {modules}; print(sorted({heavy!r} & set(sys.modules)))").strip() == "[]"


def test_a_worker_that_only_delivers_never_imports_torch() -> None:
    assert (
        python("import sys, workers.queue.tasks, workers.queue.app; print('torch' in sys.modules)").strip() == "False"
    )


def test_a_worker_that_answers_the_pages_never_imports_torch() -> None:
    modules = "workers.web.web_queries, workers.web.pictures, workers.bundles.drift"
    assert python(f"import sys, {modules}; print('torch' in sys.modules)").strip() == "False"


def test_scoring_the_nomogram_starts_with_numpy_alone() -> None:
    heavy = {"torch", "lifelines", "matplotlib", "pandas", "sqlalchemy"}
    code = (
        "import sys\nfrom node.cli.app import main\n"
        "try:\n main(['nomogram', 'score', '--age', '40', '--ebv-dna', '5000', '--prognostic-score', '0',"
        " '--predictive-score', '-0.4', '--json'])\nexcept SystemExit: pass\n"
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr.strip() == "[]"
    assert '"dfs"' in done.stdout


# One child for each command: forked before anything but the entry point is loaded, so that every command imports all
# that it needs, and the start of an interpreter is paid once.
EACH_COMMAND = """
import os, sys
from node.cli.app import command_table, main
for name in command_table():
    print(f"=== {name}", flush=True)
    if os.fork() == 0:
        try:
            main([name, "--help"])
        except SystemExit as ended:
            sys.stdout.flush()
            os._exit(int(ended.code or 0))
        os._exit(3)
    print("=== code", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_every_published_command_can_be_loaded_and_shows_an_example() -> None:
    from node.cli.app import command_table

    done = subprocess.run([sys.executable, "-c", EACH_COMMAND], capture_output=True, text=True, timeout=200, check=True)
    answers = {}
    for answer in done.stdout.split("=== ")[1::2]:
        name, _, text = answer.partition("\n")
        answers[name] = text
    codes = done.stdout.split("=== code ")[1:]
    assert list(answers) == list(command_table())
    assert {code.partition("\n")[0] for code in codes} == {"0"}, done.stderr
    for name, text in answers.items():
        assert "--config" in text or "COMMAND" in text, name


def test_the_top_level_has_only_the_agreed_folders() -> None:
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=PROJECT, check=True).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    assert folders <= {"node", "workers", "dicom_sr", "config", "tests", "docker", ".ci"}


def test_versions_agree() -> None:
    from config.version import software_version

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert software_version() == f"cptdn-node {project['version']}"


DOCUMENTED = ("config", "node", "workers", "dicom_sr")
SECTIONS_AT_LEAST = 58.3  # percent: pynetdicom, the best of the libraries that the rooms were compared with


@pytest.mark.parametrize("room", DOCUMENTED)
def test_everything_public_has_a_docstring(room: str) -> None:
    assert measure(PROJECT / room).undocumented == []


@pytest.mark.parametrize("room", DOCUMENTED)
def test_most_functions_say_what_they_take_and_return(room: str) -> None:
    assert measure(PROJECT / room).section_percent >= SECTIONS_AT_LEAST


def test_the_measure_of_documentation_counts_what_it_says(tmp_path: Path) -> None:
    """A package of which everything was counted by hand."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("# a licence\n\nX = 1\n", encoding="utf-8")
    (package / "module.py").write_text(SAMPLE, encoding="utf-8")
    (package / "_private.py").write_text("def f(): ...\n", encoding="utf-8")
    counted = measure(package)
    assert (counted.public, counted.documented) == (7, 4)  # 2 modules, 2 classes, 3 functions
    assert counted.undocumented == ["package", "package.module.Documented.bare", "package.module.Bare"]
    assert (counted.function_docstrings, counted.with_sections) == (2, 1)
    assert (counted.comments, counted.lines) == (1, 20 + 2 + 1)


SAMPLE = '''"""A module."""

class Documented:
    """A class."""

    def __init__(self): ...

    def method(self):
        """Do it.

        Returns
        -------
        int
            One.
        """
        def nested(): ...
        return 1  # behind code

    def bare(self): ...
    def _private(self): ...

class Bare: ...

if True:
    # Why it is so.
    def function():  # noqa: E501
        """Return the Returns of nothing."""
'''
