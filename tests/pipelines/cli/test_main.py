"""The command `review-sentiment`: its list, its help, and what help must not import."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import COMMANDS, app

NAMES = [name for section in COMMANDS.values() for name in section]
ROOT = Path(__file__).parent.parent.parent.parent
HEAVY = {"kfp", "torch", "mlflow", "pandas", "evidently", "transformers", "onnxruntime", "sklearn", "kserve", "numpy"}


def test_help_lists_every_command_with_its_summary() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    for section, commands in COMMANDS.items():
        assert f"{section}:" in result.output
        for name, entry in commands.items():
            assert any(line.split(maxsplit=1) == [name, entry.summary] for line in result.output.splitlines()), name


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"report", "calibrate"}])
def test_every_command_has_an_example(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"review-sentiment {name}" in result.output.split("Example:")[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_leads_to_a_function(name: str) -> None:
    (entry,) = (section[name] for section in COMMANDS.values() if name in section)
    module, _, function = entry.location.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in NAMES)], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from pipelines.cli.main import app
try:
    app({arguments!r})
except SystemExit as end:
    print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
    sys.exit(end.code)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.strip()) == (0, "[]")


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["trian"])
    assert result.exit_code == 2
    assert "trian" in result.output


def test_the_package_installs_the_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"review-sentiment": "pipelines.cli.main:app"}


def test_the_module_is_the_same_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: review-sentiment")


def test_serving_commands_work_without_the_training_packages() -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"kfp", "torch", "mlflow", "evidently", "transformers"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from pipelines.cli.main import app
app(sys.argv[1:])
"""
    for name in ("serve", "score", "doctor"):
        command = [sys.executable, "-c", code, name, "--help"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
