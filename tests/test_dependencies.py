"""What the server imports is declared for it, and what is declared for it is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

from tests.support.architecture import PACKAGES, Module, imported_names, modules

ROOT: Final = Path(__file__).parent.parent
DECLARED_FOR: Final = {"serving/": ("serving", "tracing"), "feature_checks/": ("serving",)}
"""The folders whose modules the serving image runs, and the extras that it installs."""
NOT_IMPORTED: Final = {
    "s3fs": "fsspec loads it for s3:// URLs",
    "rich": "typer formats its errors with it",
}
"""Declared packages that no module imports, and what uses them."""
NOT_IN_THE_IMAGE: Final = {
    "serving/bulk/": {"pyarrow", "pyspark"},
    "serving/models/mlflow_child.py": {"mlflow"},
    "feature_checks/": {"great_expectations", "pandas", "pyspark"},
}
"""Packages that a module, or the modules of a folder, import only for what the image does not do: Parquet files, Spark,
a registry in SQLite, and the checks of a data set."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """The distributions of the extras and of the project itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {canonical(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines}


def imported(module: Module) -> set[str]:
    """The top-level packages of others that a module imports when it runs, inside functions as well."""
    tree = ast.parse(module.source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = {name.split(".")[0] for name in imported_names(tree, module.folder)}
    return names - set(PACKAGES) - sys.stdlib_module_names


def providers() -> dict[str, set[str]]:
    return {name: {canonical(each) for each in found} for name, found in packages_distributions().items()}


def undeclared(found: list[Module]) -> list[str]:
    """One sentence for each import whose package nobody declares."""
    known = providers()
    return [
        f"{module.path} imports {name}; pyproject.toml declares no package that has it"
        for module in found
        for folder, extras in DECLARED_FOR.items()
        if module.path.startswith(folder)
        for name in sorted(imported(module))
        if not known.get(name, set()) & declared(*extras)
        and not any(name in names for place, names in NOT_IN_THE_IMAGE.items() if module.path.startswith(place))
    ]


def unused(found: list[Module]) -> set[str]:
    """The declared distributions that no module imports."""
    known = providers()
    names = {name for module in found if module.path.startswith(tuple(DECLARED_FOR)) for name in imported(module)}
    used = {distribution for name in names for distribution in known.get(name, set())}
    return declared("serving", "tracing") - used - set(NOT_IMPORTED)


def test_every_import_of_the_server_is_declared() -> None:
    assert undeclared(modules(ROOT)) == []


def test_every_declared_package_is_used() -> None:
    assert unused(modules(ROOT)) == set()


def test_the_checks_see_a_fault() -> None:
    planted = Module("serving/planted.py", "def late() -> None:\n    import tenacity\n")
    assert undeclared([planted]) == [
        "serving/planted.py imports tenacity; pyproject.toml declares no package that has it"
    ]
    assert "uvloop" in unused([module for module in modules(ROOT) if module.path != "serving/server.py"])
