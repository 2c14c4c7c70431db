"""Imports run one way: a folder imports only from those above it, no module from one that imports it."""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dms_jax"
# From the ground up. What stands on one line does not know of each other.
ROWS = (
    ("errors", "tables", "version", "whole_files"),
    ("file_lock", "references"),
    ("ops",),
    ("models",),
    ("runtime",),
    ("data",),
    ("training",),
    ("inference",),
    ("evaluation",),
    ("checkpoints",),
    ("comparison",),
    ("interop",),
    ("runs",),
    ("commands",),
    ("cli",),
)
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {name_of(path) for path in MODULES}


@cache
def imports_of(path: Path) -> frozenset[str]:
    """The project's modules that a module imports, at its top or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & KNOWN or {node.module}
    return frozenset(name for name in found if name.split(".")[0] == "dms_jax")


def folder(name: str) -> str:
    return [*name.split("."), ""][1]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_folder_imports_only_from_those_above_it(path: Path) -> None:
    own = folder(name_of(path))
    if not own:
        return
    for imported in imports_of(path):
        other = folder(imported)
        # `dms_jax` itself, which says where the package lies, is everyone's.
        assert not other or other == own or ROW_OF[other] < ROW_OF[own], f"{name_of(path)} imports {imported}"


def test_every_folder_has_its_row() -> None:
    assert {folder(name) for name in KNOWN} - {""} <= ROW_OF.keys()


def test_no_module_imports_one_that_imports_it() -> None:
    graph = {name_of(path): imports_of(path) & KNOWN - {name_of(path)} for path in MODULES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " imports ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_a_configuration_is_known_where_runs_are_alone() -> None:
    """Everything below takes plain values and frozen dataclasses."""
    knowing = {name_of(path) for path in MODULES if "ConfigDict" in path.read_text()}
    assert knowing
    assert {folder(name) for name in knowing} == {"runs"}
