"""The house rules that a reader relies on: imports run one way, rooms stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("feature_checks", "components", "pipelines", "serving", "monitoring")
MAY_IMPORT = {
    "feature_checks": {"feature_checks"},
    "components": {"components", "feature_checks"},
    "pipelines": {"pipelines", "feature_checks"},
    "serving": {"serving", "feature_checks"},
    "monitoring": {"monitoring", "feature_checks"},
}
ALSO = {
    "components/ops.py": {"monitoring"},
    "pipelines/training.py": {"components.ops"},
    "pipelines/monitoring.py": {"components.ops"},
}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    package = name_of(path).split("/")[0]
    allowed = MAY_IMPORT[package] | ALSO.get(name_of(path), set())
    ours = [name for name in imports(ast.parse(path.read_text())) if name.split(".")[0] in PACKAGES]
    wrong = [name for name in ours if not any(name == rule or name.startswith(f"{rule}.") for rule in allowed)]
    assert wrong == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_heavy_libraries_have_one_importer(path: Path) -> None:
    owners = {
        "great_expectations": {"feature_checks"},
        "evidently": {"monitoring/drift.py"},
        "kfp": {"components/ops.py", "pipelines"},
        "kserve": {"serving"},
    }
    for name in imports(ast.parse(path.read_text())):
        allowed = owners.get(name.split(".")[0])
        assert allowed is None or any(name_of(path).startswith(owner) for owner in allowed), name


def test_components_import_only_kfp_at_the_top_of_ops() -> None:
    tree = ast.parse((ROOT / "components" / "ops.py").read_text())
    top = {name.split(".")[0] for node in tree.body for name in imports(ast.Module(body=[node], type_ignores=[]))
           if isinstance(node, ast.Import | ast.ImportFrom)}  # fmt: skip
    assert top <= {"functools", "typing", "kfp"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_rooms_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 260
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > 45] == []
