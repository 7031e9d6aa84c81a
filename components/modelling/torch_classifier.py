"""The trained model in torch, which the exported models are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.modelling.cascade import FIRST_STAGE, Cascade
from feature_checks.contract import normalise


class TorchClassifier:
    """A Hugging Face sequence classifier in evaluation mode on the CPU."""

    def __init__(self, folder: Path, *, max_length: int) -> None:
        """Load a Hugging Face model folder; texts are cut to `max_length` tokens."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self._max_length = max_length

    def logits(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
        """Return n × 3 logits in contract order, batched among neighbours in length, with a progress bar."""
        import torch
        from tqdm import tqdm

        prepared = [normalise(text) for text in texts]
        order = sorted(range(len(prepared)), key=lambda index: len(prepared[index]))
        result = np.empty((len(texts), 3), dtype=np.float32)
        with torch.inference_mode():
            for start in tqdm(range(0, len(order), batch_size), desc="scoring with torch", mininterval=2):
                rows = order[start : start + batch_size]
                tokens = self._tokenizer(
                    [prepared[row] for row in rows],
                    padding=True, truncation=True, max_length=self._max_length, return_tensors="pt",
                )  # fmt: skip
                result[rows] = self._model(**tokens).logits.numpy()
        return result


class TorchCascade:
    """Both stages of a fast model."""

    def __init__(self, folder: Path, cascade: Cascade, *, max_length: int) -> None:
        """Load the stages of a Hugging Face model folder; texts are cut to `max_length` tokens."""
        self.cascade = cascade
        self.first = TorchClassifier(folder / FIRST_STAGE, max_length=max_length)
        self.second = TorchClassifier(folder, max_length=max_length)

    def logits(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
        """Return n × 3 logits in contract order."""
        first = self.first.logits(texts, batch_size)
        return self.cascade.logits(first, lambda rows: self.second.logits([texts[row] for row in rows], batch_size))


def load(folder: Path, *, max_length: int) -> TorchClassifier | TorchCascade:
    """Return the model in a Hugging Face model folder, of one stage or of two."""
    cascade = Cascade.of(folder)
    if cascade is None:
        return TorchClassifier(folder, max_length=max_length)
    return TorchCascade(folder, cascade, max_length=max_length)
