"""Reading windows is light: the log reader runs where no detector does."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("scipy", "sklearn", "evidently", "mlflow", "great_expectations", "onnxruntime")


@pytest.mark.parametrize(
    "module", ["monitoring.windows.log_reader", "monitoring.windows.log_window", "monitoring.__main__"]
)
def test_a_light_module_imports_no_heavy_library(module: str) -> None:
    program = f"import sys, {module}; print(sorted({set(HEAVY)} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout == "[]\n"
