"""The README stays short, names every Make target, and shows the checks that CI runs."""

from __future__ import annotations

import re
import shlex

from tests.support.documents import ROOT, blocks

README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = (
    *("setup", "demo", "train", "serve", "monitor", "ui", "test"),
    *("test-system", "lint", "bench", "manifests", "images"),
)


def test_it_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_every_make_target_is_described() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documented = set(re.findall(r"^([a-z-]+):.*## .+", makefile, flags=re.MULTILINE)) - {"help"}
    commands = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert set(TARGETS) <= documented
    assert set(TARGETS) <= set(re.findall(r"^\| `make ([a-z-]+)` \|", README, flags=re.MULTILINE))
    assert documented == set(re.findall(r"^\| `make ([a-z-]+)` \|", commands, flags=re.MULTILINE))


def test_ci_runs_the_checks_that_it_gives() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (checks,) = (block for block in blocks("bash") if block.document.name == "README.md" and "make lint" in block.text)
    for line in checks.text.strip().splitlines():
        command = shlex.join(shlex.split(line, comments=True))
        assert re.search(rf"^\s*{re.escape(command)}\b", script, flags=re.MULTILINE), command


def test_badges_say_what_is_true() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    badges = ROOT / "docs" / "images" / "badges"
    assert 'requires-python = ">=3.11,<3.12"' in project
    assert "Python: 3.11" in (badges / "python.svg").read_text(encoding="utf-8")
    assert 'license = "MIT"' in project
    assert "licence: MIT" in (badges / "licence.svg").read_text(encoding="utf-8")
