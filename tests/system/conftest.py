"""A browser for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Page, browser


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A fresh browser, 1300 pixels wide."""
    with browser(tmp_path / "profile") as opened:
        yield opened
