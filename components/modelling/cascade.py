"""A cascade: a small model answers where it is confident, and the full model reads the other texts.

Viola and Jones, *Rapid object detection using a boosted cascade of simple features* (2001).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_checks.classifier import softmax

FIRST_STAGE: Final = "first_stage"
"""Folder of the small model, in the folder of the full one."""
_FILE: Final = "cascade.json"


def stage_folders(model_folder: Path) -> list[Path]:
    """Return the Hugging Face folder of each stage of a model, the one that reads every text first."""
    return [model_folder] if Cascade.of(model_folder) is None else [model_folder / FIRST_STAGE, model_folder]


@dataclass(frozen=True)
class Cascade:
    """Which texts the second stage reads, and how much its answer counts.

    The answer must not jump where the confidence passes a limit, because processors round differently. So the logits of
    both stages are mixed: the first stage has a weight of 1 from `confidence` on, of 0 from `margin` below it, and in
    proportion between them.
    """

    confidence: float
    """From this confidence of the first stage on, the second one does not read the text."""
    margin: float

    def save(self, model_folder: Path) -> None:
        """Write the numbers to the first stage's folder, which must exist."""
        content = json.dumps(asdict(self), indent=1)
        (model_folder / FIRST_STAGE / _FILE).write_text(content, encoding="utf-8")

    @classmethod
    def of(cls, model_folder: Path) -> Cascade | None:
        """Return the numbers of a Hugging Face model folder; None for a model of one stage."""
        path = model_folder / FIRST_STAGE / _FILE
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def unsure(self, first: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the numbers of the rows that the second stage reads, from the n × 3 logits of the first stage."""
        return np.flatnonzero(softmax(first).max(axis=1) < self.confidence)

    def logits(
        self, first: NDArray[np.float32], second: Callable[[NDArray[np.intp]], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return the n × 3 logits of the cascade.

        `first`: the n × 3 logits of the first stage. `second` returns the second stage's logits of numbered rows.
        """
        rows, result = self.unsure(first), first.copy()
        if rows.size:
            confidence = softmax(first[rows]).max(axis=1, keepdims=True)
            share = np.maximum((confidence - self.confidence) / self.margin + 1, 0)
            result[rows] = share * first[rows] + (1 - share) * second(rows)
        return result
