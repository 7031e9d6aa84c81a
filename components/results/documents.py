"""How well whole reviews are labelled, as `verify` writes it and the gate reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from components.results import files
from components.results.interval import Interval


@dataclass(frozen=True)
class Method:
    """One way to label whole reviews."""

    macro_f1: float
    correlation: float
    """Spearman's rank correlation of P(positive) - P(negative) with the mean human rating."""


@dataclass(frozen=True)
class Documents:
    """Whole reviews of the test split: read in full, against two simpler ways."""

    reviews: int
    long: int
    """How many of them are longer than the model reads at once. The ways differ only on these."""
    read: Method
    """Every window counts, by the coefficients of the bundle."""
    cut: Method
    """The model reads the beginning only."""
    averaged: Method
    """The mean of the windows."""
    over_cut: Interval
    """The 95 % interval of the change of macro-F1 from `cut` to `read`, by a paired bootstrap over reviews."""
    over_averaged: Interval


def save(documents: Documents | None, folder: Path) -> None:
    """Write the figures to `folder`, which must exist; None stands for data without whole reviews."""
    content = None if documents is None else asdict(documents)
    (folder / files.DOCUMENTS).write_text(json.dumps(content, indent=2), encoding="utf-8")


def load(folder: Path) -> Documents | None:
    """Read what `save` wrote; None if nothing was written."""
    path = folder / files.DOCUMENTS
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if content is None:
        return None
    methods = {name: Method(**content[name]) for name in ("read", "cut", "averaged")}
    intervals = {name: Interval(**content[name]) for name in ("over_cut", "over_averaged")}
    return Documents(**(content | methods | intervals))
