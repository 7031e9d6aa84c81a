"""The structure of the packages as rules over a source tree: import directions, cycles and sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

PACKAGES: Final = ("feature_checks", "components", "pipelines", "serving", "monitoring")
MAX_MODULES: Final = 12
"""Most modules in one folder, `__init__.py` not counted."""
MAX_LINES: Final = 250
"""Most lines in one module."""
MAX_FUNCTION_LINES: Final = 45
"""Most lines in one function, its docstring included."""
MAY_IMPORT: Final = {
    "feature_checks": {"feature_checks"},
    "components": {"components", "feature_checks"},
    "pipelines": {"pipelines", "feature_checks"},
    "serving": {"serving", "feature_checks"},
    "monitoring": {"monitoring", "feature_checks"},
}
"""What each package may import of the other packages."""
ALSO: Final = {
    "components/ops.py": {"monitoring"},
    "components/monitoring_ops.py": {"monitoring"},
    "pipelines/training.py": {"components.ops"},
    "pipelines/monitoring.py": {"components.ops", "components.monitoring_ops"},
    "pipelines/search.py": {"components.ops", "components.search.ops"},
    "pipelines/cli": {"components", "monitoring", "serving"},
    "pipelines/simulation": {"components", "monitoring"},
}
"""What single modules, and all modules of a folder, may import besides."""
STEPS: Final = ("ingest", "check", "split", "train", "evaluate", "export", "verify", "gate", "register")
"""The steps of the training pipeline. A step imports results and the registry, never another step."""
IMPORTERS: Final = {
    "great_expectations": ("feature_checks/",),
    "evidently": ("monitoring/drift/evidently_report.py",),
    "kfp": ("components/ops.py", "components/monitoring_ops.py", "components/search/ops.py", "pipelines/"),
    "kserve": ("serving/",),
}
"""The only modules that may import a heavy library."""


@dataclass(frozen=True)
class Module:
    """One source file below the root of the tree."""

    path: str
    """POSIX path from the root."""
    source: str

    @property
    def name(self) -> str:
        """The dotted name; that of the package for an `__init__.py`."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def folder(self) -> str:
        """The folder that holds the file."""
        return self.path.rpartition("/")[0]

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.source, self.path)

    @cached_property
    def imports(self) -> list[str]:
        """Every imported name, `package.module.attribute`, imports inside functions included."""
        return list(imported_names(self.tree, self.name if self.path.endswith("__init__.py") else self.folder))


def imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the names that a tree imports; relative imports are resolved against `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.replace("/", ".").split(".")[: 1 - node.level or None]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def modules(root: Path) -> list[Module]:
    """Return every module of the packages below `root`."""
    paths = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return [Module(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def violations(root: Path) -> list[str]:
    """Return one sentence for each broken rule."""
    found = modules(root)
    rules = (
        wrong_directions,
        steps_that_import_steps,
        wrong_importers,
        cycles,
        folder_cycles,
        crowded_folders,
        long_modules,
    )
    return [sentence for rule in rules for sentence in rule(found)]


def wrong_directions(found: list[Module]) -> Iterator[str]:
    """Yield the imports that run against the direction of the packages."""
    for module in found:
        allowed = set(MAY_IMPORT[module.path.split("/")[0]])
        for place, names in ALSO.items():
            if module.path == place or module.path.startswith(f"{place}/"):
                allowed |= names
        for name in module.imports:
            ours = name.split(".")[0] in PACKAGES
            if ours and not any(name == rule or name.startswith(f"{rule}.") for rule in allowed):
                yield f"{module.path} imports {name}; it may import {sorted(allowed)}"


def steps_that_import_steps(found: list[Module]) -> Iterator[str]:
    """Yield the pipeline steps that import another step."""
    steps = {f"components.{step}" for step in STEPS}
    for module in found:
        if module.name not in steps:
            continue
        others = {name for name in module.imports if any(_inside(name, step) for step in steps - {module.name})}
        yield from (f"{module.path} is a step and imports the step {name}" for name in sorted(others))


def wrong_importers(found: list[Module]) -> Iterator[str]:
    """Yield the imports of a heavy library outside the modules that own it."""
    for module in found:
        for name in module.imports:
            owners = IMPORTERS.get(name.split(".")[0])
            if owners is not None and not module.path.startswith(owners):
                yield f"{module.path} imports {name}; only {', '.join(owners)} may"


def cycles(found: list[Module]) -> Iterator[str]:
    """Yield each group of modules that import one another in a circle, imports inside functions included."""
    names = {module.name for module in found}
    graph = {module.name: sorted(set(_targets(module, names)) - {module.name}) for module in found}
    for component in strongly_connected(graph):
        if len(component) > 1:
            yield f"modules import one another in a circle: {', '.join(sorted(component))}"


def folder_cycles(found: list[Module]) -> Iterator[str]:
    """Yield each group of sub-packages that import one another in a circle."""
    names = {module.name for module in found}
    folders = {module.name: module.folder for module in found}
    graph: dict[str, list[str]] = {folder: [] for folder in folders.values() if "/" in folder}
    for module in found:
        if module.path.endswith("/__main__.py"):  # An entry point: nothing imports it.
            continue
        targets = {folders[name] for name in _targets(module, names)} & graph.keys()
        if module.folder in graph:
            graph[module.folder].extend(sorted(targets - {module.folder}))
    for component in strongly_connected(graph):
        if len(component) > 1:
            yield f"folders import one another in a circle: {', '.join(sorted(component))}"


def _targets(module: Module, names: set[str]) -> Iterator[str]:
    for name in module.imports:
        if name in names:
            yield name
        elif name.rpartition(".")[0] in names:
            yield name.rpartition(".")[0]


def strongly_connected(graph: dict[str, list[str]]) -> list[list[str]]:
    """Return the strongly connected components of a graph (Tarjan, SIAM J. Comput. 1(2), 1972)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], index[target])
        if lowest[node] == index[node]:
            start = stack.index(node)
            components.append(stack[start:])
            del stack[start:]

    for node in graph:
        if node not in index:
            visit(node)
    return components


def crowded_folders(found: list[Module]) -> Iterator[str]:
    """Yield the folders with too many modules."""
    for folder in sorted({module.folder for module in found}):
        count = sum(module.folder == folder and not module.path.endswith("__init__.py") for module in found)
        if count > MAX_MODULES:
            yield f"{folder} holds {count} modules; at most {MAX_MODULES} fit"


def long_modules(found: list[Module]) -> Iterator[str]:
    """Yield the modules and functions with too many lines."""
    for module in found:
        lines = module.source.count("\n")
        if lines > MAX_LINES:
            yield f"{module.path} has {lines} lines; at most {MAX_LINES} are allowed"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    yield f"{module.path}: {node.name} has {length} lines; at most {MAX_FUNCTION_LINES} are allowed"


def _inside(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")
