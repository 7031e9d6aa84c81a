"""The page of faults names tests that exist, and says something in every cell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "faults.md").read_text(encoding="utf-8")
HEADER = "| Fault | What callers see | What is lost | Seconds to recover | Test |"


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the tables of faults."""
    tables = [part.split("\n\n")[0] for part in text.split(HEADER)[1:]]
    return [line.strip("| ").split(" | ") for table in tables for line in table.splitlines()[2:]]


def missing(test: str) -> bool:
    """Whether a test that a cell names does not exist."""
    match = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`(?: \(live\))?", test)
    if match is None or not (ROOT / match[1]).is_file():
        return True
    return f"def {match[2]}(" not in (ROOT / match[1]).read_text(encoding="utf-8")


def test_every_fault_has_every_cell_and_a_test_that_exists() -> None:
    found = rows(PAGE)
    assert len(found) > 35
    for row in found:
        assert len(row) == 5, row
        assert all(cell.strip() for cell in row), row
        assert not missing(row[4]), row[4]


@pytest.mark.parametrize(
    "cell", ["", "by hand", "`tests/absent.py::test_a`", "`tests/faults/test_fault_page.py::test_absent`"]
)
def test_a_test_that_does_not_exist_is_noticed(cell: str) -> None:
    assert missing(cell)
