"""Each part of each overlay, rendered once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .render import DEPLOYMENTS, PARTS, Document, render

Rendered = Callable[[str], list[Document]]


@pytest.fixture(scope="session")
def rendered() -> Rendered:
    """Return the documents of a part (prod/platform) or of all parts of a deployment (prod-knative).

    They are shared: copy before changing them.
    """
    known: dict[str, list[Document]] = {}

    def get(name: str) -> list[Document]:
        if name in DEPLOYMENTS:
            return [document for part in DEPLOYMENTS[name] for document in get(part)]
        if name not in known:
            known[name] = render(PARTS[name])
        return known[name]

    return get
