"""Texts → probabilities, synchronous: ONNX Runtime, and a weightless engine that answers the same way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from feature_checks.bundle import Bundle
from feature_checks.classifier import EncodedText, OnnxClassifier, Probabilities, softmax
from feature_checks.contract import normalise

_WARM_UP: Final = (
    "Fine.",
    "It arrived on time and does what it says.",
    "The first one broke after a week. " * 6,
    "I would not buy it again, whatever the price. " * 40,
)
"""From one word to longer than any model here reads, so that every buffer has been made once."""


class Engine(Protocol):
    """What the batcher runs. Both methods are called from several threads at once."""

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Return each text's token ids, cut to what the model reads."""

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        """Return the probabilities of one batch, n x 3 in contract order, in the order given."""


class OnnxEngine(OnnxClassifier):
    """ONNX Runtime with one intra-op thread: each calling thread is one core's worth of inference.

    One session serves every thread. The weights are held once, and with a single intra-op thread `run`
    stays on its caller, so two callers are as fast as two sessions.
    """

    def __init__(self, bundle: Bundle, *, model: Path | None = None) -> None:
        """Load `model` (default: the bundle's INT8 model; else the FP32 one of the same bundle)."""
        super().__init__(bundle, model=model, threads=1)


class FakeEngine:
    """An engine without weights: the same text always gets the same probabilities, whatever its batch.

    It lets the whole serving path run where no bundle is at hand, as slowly as `seconds_per_token` says.
    """

    max_length: Final = 256

    def __init__(self, seconds_per_token: float = 0.0) -> None:
        """`seconds_per_token`: how long `run` sleeps for each padded token of its batch."""
        self._seconds_per_token = seconds_per_token

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Return one token a word, framed by two special ones, at most `max_length` in all."""
        limit = self.max_length - 2
        words = [normalise(text).split(" ") for text in texts]
        return [EncodedText([1, *map(_token, row[:limit]), 2], len(row) > limit) for row in words]

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        """Return softmaxed logits drawn from each text's own tokens."""
        if self._seconds_per_token:
            width = max(len(text.ids) for text in batch)
            time.sleep(self._seconds_per_token * width * len(batch))
        sums = np.array([sum(text.ids) for text in batch], dtype=np.int64)
        return softmax(np.stack([sums % modulus for modulus in (3, 5, 7)], axis=1) / np.float32(2))


def _token(word: str) -> int:
    return 3 + int.from_bytes(word.encode("utf-8", "replace")[:6], "big") % 30_000


def warm_up(engine: Engine) -> None:
    """Run each length alone and all in one batch, so that the first request pays for nothing."""
    encoded = engine.encode(_WARM_UP)
    for text in encoded:
        engine.run([text])
    engine.run(encoded)


def self_test_gap(engine: Engine, bundle: Bundle) -> float:
    """Return the largest |served - FP32| probability over the bundle's reference texts.

    INT8 arithmetic differs between processors; above the manifest's `self_test_max_gap` the FP32 model is to
    be served instead. Each text runs alone, as its reference was not made in this batch.
    """
    texts, expected = bundle.reference()
    found = np.concatenate([engine.run([text]) for text in engine.encode(texts)])
    return float(np.abs(found - np.asarray(expected, dtype=np.float32)).max())
