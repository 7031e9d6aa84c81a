"""The engines that turn texts into probabilities, synchronously: ONNX Runtime, and a fake engine without weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from feature_checks.bundle import Bundle
from feature_checks.classifier import EncodedText, OnnxClassifier, Probabilities, softmax
from feature_checks.contract import normalise
from feature_checks.documents.aggregation import Aggregation

_WARM_UP: Final = (
    "Fine.",
    "It arrived on time and does what it says.",
    "The first one broke after a week. " * 6,
    "I would not buy it again, whatever the price. " * 40,
)
"""Texts from one word to more than any model here reads, so that every buffer has been allocated once."""


class Engine(Protocol):
    """What the batcher runs. Several threads call both methods at the same time.

    Example: `engine.run(engine.encode(["It works."]))` has the shape 1 x 3.
    """

    aggregation: Aggregation
    """How the windows of a text that is longer than the model reads become one answer."""

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Return each text's token ids, cut to what the model reads at once."""

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        """Return the probabilities of one batch, n x 3 in contract order, in the order given."""


class OnnxEngine(OnnxClassifier):
    """ONNX Runtime with one intra-op thread: each calling thread uses one core.

    One session serves every thread, so the weights are in memory once. With a single intra-op thread, `run` computes
    on the calling thread, and two threads are as fast as two sessions.
    """

    def __init__(self, bundle: Bundle, *, model: Path | None = None) -> None:
        """Load `model`, by default the bundle's INT8 model; the other choice is the FP32 model of the same bundle."""
        super().__init__(bundle, model=model, threads=1)


class FakeEngine:
    """An engine without weights: the same text always gets the same probabilities, whatever its batch.

    The whole serving path can run with it where there is no bundle, at the speed that `seconds_per_token` sets.
    """

    max_length: Final = 256

    def __init__(self, seconds_per_token: float = 0.0) -> None:
        """`run` sleeps `seconds_per_token` for each token of its batch, padding included."""
        self.aggregation = Aggregation()
        self._seconds_per_token = seconds_per_token

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Return one token for each word, between two special tokens, and at most `max_length` tokens in all."""
        limit = self.max_length - 2
        words = [normalise(text).split(" ") for text in texts]
        return [EncodedText([1, *map(_token, row[:limit]), 2], len(row) > limit) for row in words]

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        """Return the softmax of logits that are computed from the tokens of each text."""
        if self._seconds_per_token:
            width = max(len(text.ids) for text in batch)
            time.sleep(self._seconds_per_token * width * len(batch))
        sums = np.array([sum(text.ids) for text in batch], dtype=np.int64)
        return softmax(np.stack([sums % modulus for modulus in (3, 5, 7)], axis=1) / np.float32(2))


def _token(word: str) -> int:
    return 3 + int.from_bytes(word.encode("utf-8", "replace")[:6], "big") % 30_000


def warm_up(engine: Engine) -> None:
    """Run each length alone and all lengths in one batch, so that the first request is as fast as later ones."""
    encoded = engine.encode(_WARM_UP)
    for text in encoded:
        engine.run([text])
    engine.run(encoded)


def self_test_gap(engine: Engine, bundle: Bundle) -> float:
    """Return the largest |served - FP32| probability over the bundle's reference texts.

    INT8 arithmetic differs between processors; if the gap exceeds the manifest's `self_test_max_gap`, the FP32 model
    must be served instead. Each text runs alone, because its reference was not computed in this batch.
    """
    texts, expected = bundle.reference()
    found = np.concatenate([engine.run([text]) for text in engine.encode(texts)])
    return float(np.abs(found - np.asarray(expected, dtype=np.float32)).max())
