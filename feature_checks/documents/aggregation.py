"""How the probabilities of a long text follow from those of its windows: a small model of few coefficients.

The answer is the softmax of `intercept + coefficients · features`. The features are the mean probabilities of the
windows, weighted by their tokens, and the largest probability of the two polar labels in any window. Training fits
the coefficients on whole reviews (`components/modelling/documents.py`) and stores them in the bundle. A bundle without
them answers with the weighted mean.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_checks.bundle import DOCUMENTS, BundleError

WINDOW_TOKENS: Final = 64
"""The tokens of a window, special tokens included, where the bundle does not say."""

FEATURES: Final = ("mean_negative", "mean_neutral", "mean_positive", "max_negative", "max_positive")
"""What the coefficients are multiplied with, in this order."""


@dataclass(frozen=True)
class Aggregation:
    """The fitted coefficients, or none: then the answer is the mean of the windows.

    Example: `Aggregation().combine(np.array([[0.1, 0.2, 0.7]]), [20])` is `[0.1, 0.2, 0.7]`.
    """

    window_tokens: int = WINDOW_TOKENS
    """The tokens that windows of whole sentences are filled up to."""
    coefficients: Sequence[Sequence[float]] = ()
    """3 x 5: one row for each label, one column for each feature; empty if nothing was fitted."""
    intercept: Sequence[float] = ()
    """One number for each label."""

    def combine(self, windows: NDArray[np.floating], tokens: Sequence[int]) -> NDArray[np.float32]:
        """Return the three probabilities of a text from those of its windows (n x 3) and their numbers of tokens."""
        found = features(windows, tokens)
        if not self.coefficients:
            return np.asarray(found[:3] / found[:3].sum(), dtype=np.float32)
        logits = np.asarray(self.intercept) + np.asarray(self.coefficients) @ found
        exponentials = np.exp(logits - logits.max())
        return np.asarray(exponentials / exponentials.sum(), dtype=np.float32)


def features(windows: NDArray[np.floating], tokens: Sequence[int]) -> NDArray[np.float64]:
    """Return the five features of a text from the probabilities of its windows (n x 3) and their tokens."""
    probabilities, weights = np.asarray(windows, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    mean = weights @ probabilities / weights.sum()
    return np.concatenate([mean, probabilities[:, [0, 2]].max(axis=0)])


def save(aggregation: Aggregation, folder: Path) -> None:
    """Write the coefficients into a bundle folder that is not sealed yet."""
    content = asdict(aggregation) | {"features": FEATURES}
    (folder / DOCUMENTS).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Aggregation:
    """Return the aggregation of a bundle folder; without the file, the mean of the windows.

    Raises BundleError, naming the file and the difference, if the file holds anything else than `save` writes.
    """
    path = folder / DOCUMENTS
    if not path.is_file():
        return Aggregation()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found, aggregation = tuple(content.pop("features")), Aggregation(**content)
        shapes = np.shape(aggregation.coefficients), np.shape(aggregation.intercept)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: not the coefficients of long texts ({error})") from error
    if found != FEATURES:
        raise BundleError(f"{path}: features is {list(found)}; this release knows {list(FEATURES)}")
    if shapes not in (((3, len(FEATURES)), (3,)), ((0,), (0,))):
        raise BundleError(f"{path}: coefficients and intercept have the shapes {shapes}; expected (3, 5) and (3,)")
    if aggregation.window_tokens < 8:
        raise BundleError(f"{path}: window_tokens is {aggregation.window_tokens}; expected 8 or more")
    return aggregation
