"""Parts of a test split that are judged on their own: by length, by source and, where it is known, by product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_checks.contract import PRODUCT, SOURCE, TEXT

LENGTH_SLICES: Final = {"up to 8 words": (0, 8), "9 to 20 words": (9, 20), "over 20 words": (21, 10**9)}
MAX_PRODUCTS: Final = 10
"""The products with the most rows, which are judged."""

Chosen = NDArray[np.bool_]


def slices(rows: pd.DataFrame) -> Iterator[tuple[str, Chosen]]:
    """Yield the name of each slice that has rows, and which of the n rows belong to it."""
    words = rows[TEXT].map(lambda text: len(text.split())).to_numpy()
    for name, (low, high) in LENGTH_SLICES.items():
        yield from _named(name, (words >= low) & (words <= high))
    for source in sorted(rows[SOURCE].unique()):
        yield from _named(f"source {source}", (rows[SOURCE] == source).to_numpy())
    if PRODUCT in rows.columns:
        for product in rows[PRODUCT].dropna().value_counts().index[:MAX_PRODUCTS]:
            yield from _named(f"product {product}", (rows[PRODUCT] == product).to_numpy())


def _named(name: str, chosen: Any) -> Iterator[tuple[str, Chosen]]:
    if chosen.any():
        yield name, chosen
