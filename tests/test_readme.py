"""The README is what the code does: its commands exist, its settings table is complete, CI runs what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from serving.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = ("setup", "demo", "train", "serve", "monitor", "ui", "test", "lint", "bench", "manifests", "images")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def setting_row(name: str) -> str:
    field = Settings.model_fields[name]
    default = "unset" if field.default is None else f"`{field.default}`"
    return f"| `{name.upper()}` | {default} | {field.description} |"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_a_row_of_the_table(name: str) -> None:
    assert setting_row(name) in README.splitlines()


def test_the_table_has_no_setting_that_does_not_exist() -> None:
    table = README.split("## Settings")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([A-Z_]+)` \|", table, flags=re.MULTILINE)
    known = {name.upper() for name in Settings.model_fields} | {"BASE_MODEL", "GIT_REVISION"}
    assert set(named) <= known


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_exists_and_is_described(target: str) -> None:
    assert re.search(rf"^{target}:.*## .+", MAKEFILE, flags=re.MULTILINE)
    assert f"`make {target}`" in README


def test_make_commands_of_the_readme_exist() -> None:
    named = set(re.findall(r"make ([a-z]+)", "\n".join(blocks("bash"))))
    assert named
    assert all(re.search(rf"^{name}:", MAKEFILE, flags=re.MULTILINE) for name in named)


def test_python_modules_of_the_readme_exist() -> None:
    modules = re.findall(r"python -m ([a-z_.]+)", README)
    assert modules
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_ci_runs_the_commands_that_the_readme_gives() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (checks,) = (block for block in blocks("bash") if "make lint" in block)
    for line in checks.strip().splitlines():
        command = shlex.join(shlex.split(line, comments=True))
        assert re.search(rf"^\s*{re.escape(command)}\b", script, flags=re.MULTILINE), command


def test_relative_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
