"""Divides a text that is longer than the model reads into windows of whole sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from feature_checks.classifier import EncodedText, Probabilities
from feature_checks.documents.aggregation import Aggregation
from feature_checks.documents.sentences import Span, sentence_spans

Encode = Callable[[Sequence[str]], list[EncodedText]]
"""Returns the token ids of each text, cut to what the model reads."""

_SPECIAL_TOKENS: Final = 2
"""The tokens at the beginning and the end of each window."""


def divide(text: str, encode: Encode, window_tokens: int) -> list[EncodedText]:
    """Return the windows of a normalised text: whole sentences, as many as fit into `window_tokens`, in their order.

    A longer sentence is a window of its own. One that is longer than the model reads is cut between two words, or
    inside a word if it has no other place.

    Example: `divide(text, classifier.encode, 64)`.
    """
    pieces = _fitting_pieces(text, sentence_spans(text), encode)
    groups: list[list[tuple[Span, EncodedText]]] = []
    filled = 0
    for piece in pieces:
        tokens = len(piece[1].ids) - _SPECIAL_TOKENS
        if groups and filled + tokens <= window_tokens:
            groups[-1].append(piece)
            filled += tokens
        else:
            groups.append([piece])
            filled = _SPECIAL_TOKENS + tokens
    joined = [group for group in groups if len(group) > 1]
    together = iter(encode([text[group[0][0].start : group[-1][0].end] for group in joined]) if joined else ())
    return [next(together) if len(group) > 1 else group[0][1] for group in groups]


def _fitting_pieces(text: str, spans: Sequence[Span], encode: Encode) -> list[tuple[Span, EncodedText]]:
    """Return the spans with their tokens, each span that is too long for the model replaced by parts that fit."""
    encoded = encode([text[span.start : span.end] for span in spans])
    pieces: list[tuple[Span, EncodedText]] = []
    for span, tokens in zip(spans, encoded, strict=True):
        if tokens.truncated and span.end - span.start > 1:
            pieces += _fitting_pieces(text, _halves(text, span), encode)
        else:
            pieces.append((span, tokens))
    return pieces


def _halves(text: str, span: Span) -> list[Span]:
    """Return two parts of a span, divided at the last space of its first half or, without one, in the middle."""
    middle = (span.start + span.end) // 2
    space = text.rfind(" ", span.start + 1, middle)
    if space < 0:
        return [Span(span.start, middle), Span(middle, span.end)]
    return [Span(span.start, space), Span(space + 1, span.end)]


@dataclass(frozen=True)
class Rows:
    """The rows that the engine computes for some texts: one for a short text, one for each window of a long one."""

    encoded: list[EncodedText]
    """The rows, those of a text side by side, in the order of the texts."""
    counts: Sequence[int]
    """How many rows each text has."""
    aggregation: Aggregation

    @classmethod
    def of(cls, texts: Sequence[str], encoded: Sequence[EncodedText], encode: Encode, aggregation: Aggregation) -> Rows:
        """Return the rows of normalised texts; `encoded` are their tokens, cut to what the model reads."""
        parts = [
            divide(text, encode, aggregation.window_tokens) if whole.truncated else [whole]
            for text, whole in zip(texts, encoded, strict=True)
        ]
        return cls.of_parts(parts, aggregation)

    @classmethod
    def of_parts(cls, parts: Sequence[Sequence[EncodedText]], aggregation: Aggregation) -> Rows:
        """Return the rows of texts whose windows are known."""
        return cls([row for part in parts for row in part], [len(part) for part in parts], aggregation)

    @property
    def truncated(self) -> list[bool]:
        """For each text, whether a part of it could not be read: a character of more tokens than the model reads."""
        return [any(row.truncated for row in part) for part in self._parts(self.encoded)]

    def combine(self, probabilities: Probabilities) -> Probabilities:
        """Return one line for each text from one line for each row; a text with a row of NaN is NaN."""
        result = np.empty((len(self.counts), 3), dtype=np.float32)
        start = 0
        for index, rows in enumerate(self._parts(self.encoded)):
            part = probabilities[start : start + len(rows)]
            tokens = [len(row.ids) for row in rows]
            result[index] = part[0] if len(rows) == 1 else self.aggregation.combine(part, tokens)
            start += len(rows)
        return result

    def _parts(self, rows: Sequence[EncodedText]) -> Iterator[Sequence[EncodedText]]:
        start = 0
        for count in self.counts:
            yield rows[start : start + count]
            start += count
