"""The wheel carries every module and data file of the packages, and each module imports from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.architecture import PACKAGES, modules

ROOT = Path(__file__).parent.parent
IMPORT_ALL = """
import importlib, sys
site, *names = sys.argv[1:]
sys.path.insert(0, site)
for name in names:
    module = importlib.import_module(name)
    assert module.__file__.startswith(site), f"{name} came from {module.__file__}"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the wheel of a copy of the sources is installed in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(build, check=True, timeout=200)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def test_the_wheel_holds_every_file_of_the_packages(installed: Path) -> None:
    suffixes = (".py", ".toml", ".jsonl", ".html", ".css", ".js")
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in suffixes
    }
    assert wanted <= {path.relative_to(installed).as_posix() for path in installed.rglob("*")}


def test_every_module_imports_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    names = [module.name for module in modules(ROOT) if not module.path.endswith("/__main__.py")]
    environment = {**os.environ, "STATE_DIR": str(tmp_path), "PYTHONPATH": ""}
    command = [sys.executable, "-P", "-c", IMPORT_ALL, str(installed), *names]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
