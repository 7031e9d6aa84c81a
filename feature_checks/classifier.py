"""Scores texts with ONNX Runtime: the same code verifies a model before it is registered and serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from feature_checks.bundle import INT8_MODEL, TOKENIZER, Bundle
from feature_checks.documents.aggregation import load as load_aggregation
from feature_checks.documents.tokens import TextTokenizer
from feature_checks.processor import VNNI, processor_flags

Probabilities = NDArray[np.float32]
"""n × 3, rows sum to one, columns in contract order."""

BATCH_SIZE: Final = 16
PRECISION_MODE: Final = "session.x64quantprecision"


@dataclass(frozen=True, slots=True)
class EncodedText:
    """One text as tokens."""

    ids: list[int]
    """The token ids, special tokens included."""
    truncated: bool
    """Whether the text was longer than the model reads at once."""


def session_options(threads: int) -> ort.SessionOptions:
    """Return the options of a session that gives the same INT8 results on every x86-64 processor.

    Processors without VNNI add pairs of 8-bit products in 16 bits, where large ones saturate. ONNX Runtime's precision
    mode selects exact kernels there (`onnxruntime_session_options_config_keys.h`). With VNNI every kernel is exact, and
    the mode would only cost a third of the speed.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not VNNI & processor_flags():
        options.add_session_config_entry(PRECISION_MODE, "1")
    return options


class OnnxClassifier:
    """One ONNX Runtime session with its tokenizer. Thread-safe: ONNX Runtime allows concurrent `run` calls."""

    def __init__(self, bundle: Bundle, *, model: Path | None = None, threads: int = 1) -> None:
        """Load `model` (default: the bundle's INT8 model) for `threads` intra-op threads."""
        path = model or bundle.folder / INT8_MODEL
        self._session = ort.InferenceSession(str(path), session_options(threads), providers=["CPUExecutionProvider"])
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._tokenizer = TextTokenizer(bundle.folder / TOKENIZER)
        self._max_length = bundle.manifest.max_length
        self._temperature = np.float32(bundle.manifest.temperature)
        stored = load_aggregation(bundle.folder)
        self.aggregation = replace(stored, window_tokens=min(stored.window_tokens, self._max_length))
        """How the windows of a long text become one answer."""

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Return each text's token ids, at most the bundle's `max_length`, the closing special token kept."""
        limit = self._max_length
        encoded = []
        for ids in self._tokenizer.ids(texts):
            truncated = len(ids) > limit
            encoded.append(EncodedText([*ids[: limit - 1], ids[-1]] if truncated else ids, truncated))
        return encoded

    def feed(self, batch: Sequence[EncodedText]) -> dict[str, NDArray[np.int64]]:
        """Return the model's inputs for one batch of n texts, which must not be empty.

        All of `input_ids`, `attention_mask` and, if the model has it, `token_type_ids` are n × the longest length,
        padded with 0.
        """
        width = max(len(text.ids) for text in batch)
        # np.zeros would give up the interpreter lock, and a worker would wait until the event loop releases it.
        ids = np.array([text.ids + [0] * (width - len(text.ids)) for text in batch], dtype=np.int64)
        mask = np.array([[1] * len(text.ids) + [0] * (width - len(text.ids)) for text in batch], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.array([[0] * width] * len(batch), dtype=np.int64)
        return feed

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        """Return the probabilities of one batch, in the order given."""
        (logits,) = self._session.run(None, self.feed(batch))
        return softmax(logits / self._temperature)

    def probabilities(self, texts: Sequence[str], batch_size: int = BATCH_SIZE) -> Probabilities:
        """Return the probabilities of any number of texts, batched among neighbours in length; longer texts are cut.

        `feature_checks.documents.reading.document_probabilities` reads them in full.
        """
        return self.batched(self.encode(texts), batch_size)

    def batched(self, encoded: Sequence[EncodedText], batch_size: int = BATCH_SIZE) -> Probabilities:
        """Return the probabilities of any number of encoded texts, batched among neighbours in length."""
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index].ids))
        result = np.empty((len(encoded), 3), dtype=np.float32)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            result[rows] = self.run([encoded[row] for row in rows])
        return result


def softmax(logits: NDArray[np.floating]) -> Probabilities:
    """Return the row-wise softmax of n × 3 logits."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Probabilities = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
