"""Steps exchange results by files: no step imports another, and results import no step."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "components"
OPERATIONS = sorted(PACKAGE.rglob("*ops.py"))
STEPS = sorted(path for path in PACKAGE.glob("*.py") if path.name != "__init__.py" and path not in OPERATIONS)
NAMES = {f"components.{path.stem}" for path in STEPS}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path not in OPERATIONS)
ALLOWED = {
    PACKAGE / "search" / "trials.py": {"components.train"},
    PACKAGE / "launching" / "worker.py": {"components.train"},
}
"""A trial of the search is the training step with other settings, and a worker is one of its processes."""


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_but_ops_imports_a_step(path: Path) -> None:
    assert imported(path) & NAMES == ALLOWED.get(path, set())


@pytest.mark.parametrize("path", OPERATIONS, ids=lambda path: path.name)
def test_an_operation_has_at_most_ten_lines_besides_imports(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        body = [node for node in function.body[1:] if not isinstance(node, ast.Import | ast.ImportFrom)]
        assert sum((node.end_lineno or 0) - node.lineno + 1 for node in body) <= 10, function.name
