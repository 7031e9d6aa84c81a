"""The packages keep the structure that CONTRIBUTING describes, and the check of it sees planted faults."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import architecture

ROOT = Path(__file__).parent.parent


def test_the_packages_keep_their_structure() -> None:
    assert architecture.violations(ROOT) == []


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a copy of the packages, to plant faults in."""
    for package in architecture.PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def _cycle(root: Path) -> str:
    _append(root / "monitoring" / "policy.py", "from monitoring import alerts\n")
    return "circle: monitoring.alerts, monitoring.policy"


def _lazy_cycle(root: Path) -> str:
    _append(root / "monitoring" / "policy.py", "def late() -> None:\n    from monitoring.alerts import AlertError\n")
    return "circle: monitoring.alerts, monitoring.policy"


def _folder_cycle(root: Path) -> str:
    _append(root / "serving" / "protocol" / "tensors.py", "from serving.state import rate_limiter\n")
    return "folders import one another in a circle: serving/inference, serving/protocol, serving/state"


def _thirteenth_module(root: Path) -> str:
    for number in range(architecture.MAX_MODULES + 1):
        (root / "serving" / "bulk" / f"module_{number}.py").write_text("", encoding="utf-8")
    return "serving/bulk holds"


def _line_251(root: Path) -> str:
    (root / "serving" / "bulk" / "long.py").write_text("\n" * 251, encoding="utf-8")
    return "serving/bulk/long.py has 251 lines"


def _wrong_direction(root: Path) -> str:
    _append(root / "serving" / "predictor.py", "from monitoring import policy\n")
    return "serving/predictor.py imports monitoring.policy"


def _wrong_relative_direction(root: Path) -> str:
    _append(root / "feature_checks" / "contract.py", "from ..serving import errors\n")
    return "feature_checks/contract.py imports serving.errors"


def _step_imports_step(root: Path) -> str:
    _append(root / "components" / "split.py", "def late() -> None:\n    from components import train\n")
    return "components/split.py is a step and imports the step components.train"


def _second_importer(root: Path) -> str:
    _append(root / "monitoring" / "policy.py", "import evidently\n")
    return "monitoring/policy.py imports evidently"


def _long_function(root: Path) -> str:
    body = "    pass\n" * architecture.MAX_FUNCTION_LINES
    _append(root / "monitoring" / "policy.py", f"def long() -> None:\n{body}")
    return "monitoring/policy.py: long has"


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.mark.parametrize(
    "plant",
    [
        *(
            _cycle,
            _lazy_cycle,
            _folder_cycle,
            _thirteenth_module,
            _line_251,
            _wrong_direction,
            _wrong_relative_direction,
        ),
        *(_step_imports_step, _second_importer, _long_function),
    ],
)
def test_a_planted_fault_is_reported(copied: Path, plant: Callable[[Path], str]) -> None:
    expected = plant(copied)
    assert any(expected in sentence for sentence in architecture.violations(copied))


def test_ops_imports_only_kfp_and_the_standard_library_at_its_top() -> None:
    tree = ast.parse((ROOT / "components" / "ops.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = architecture.imported_names(ast.Module(body=list(top), type_ignores=[]), "components")
    assert {name.split(".")[0] for name in names} <= {"functools", "typing", "kfp"}
