"""Each overlay, rendered once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .render import OVERLAYS, Document, render

Rendered = Callable[[str], list[Document]]


@pytest.fixture(scope="session")
def rendered() -> Rendered:
    """Return an overlay's documents by name. They are shared: copy before changing them."""
    known: dict[str, list[Document]] = {}

    def get(name: str) -> list[Document]:
        if name not in known:
            known[name] = render(OVERLAYS[name])
        return known[name]

    return get
