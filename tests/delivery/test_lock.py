"""The lock files of both images: of this project's requirements and versions, every package by hash."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
HASH = "    --hash=sha256:" + "5" * 64


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ROOT / ".github" / "delivery" / "lock.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lock"] = module
    spec.loader.exec_module(module)
    return module


def committed(role: str) -> str:
    return (ROOT / role / "requirements.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("role", ["serving", "components"])
def test_the_committed_lock_belongs_to_the_project(role: str, lock: ModuleType) -> None:
    assert list(lock.problems(role, committed(role))) == []
    assert "://" not in committed(role)
    assert "torch==" not in committed(role)


def test_a_lock_of_another_version_or_without_a_package_is_noticed(lock: ModuleType) -> None:
    text = committed("serving")
    other = text.replace("redis==", "redis==0.", 1)
    assert any("redis is locked at" in problem for problem in lock.problems("serving", other))
    entry = next(match for match in lock.LINE.finditer(text) if match["name"] == "uvloop")
    without = text.replace(entry.group(0) + "\n", "")
    assert list(lock.problems("serving", without)) == ["serving: uvloop of pyproject.toml is not locked"]


def test_a_package_without_a_hash_is_noticed(lock: ModuleType) -> None:
    text = committed("serving") + "extra==1.0\n"
    assert any("extra==1.0" in problem for problem in lock.problems("serving", text))
