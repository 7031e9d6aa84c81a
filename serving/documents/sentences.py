"""The output `sentences`: label and confidence of each sentence of a text, with its offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from feature_checks.contract import LABELS, normalise
from feature_checks.documents.sentences import Offsets, Span, offsets_of, sentence_spans
from serving.protocol.common import Prediction

Score = Callable[[Sequence[str]], Awaitable[Prediction]]
"""Returns the prediction for normalised texts, of which there is at least one."""

_INLINE_CHARS: Final = 20_000
"""Longer requests are divided into sentences in a thread: 20,000 characters take about 2 ms."""


async def find_sentences(texts: Sequence[str]) -> list[list[Span]]:
    """Return the sentences of each text as the client sent it."""
    if sum(map(len, texts)) <= _INLINE_CHARS:
        return [sentence_spans(text) for text in texts]
    return await asyncio.to_thread(lambda: [sentence_spans(text) for text in texts])


async def sentences(texts: Sequence[str], score: Score) -> list[list[dict[str, Any]]]:
    """Return, for each text, its sentences: offsets in three units, label and confidence.

    Every sentence is scored by itself, and cached like a text that consists of nothing else.
    """
    spans = await find_sentences(texts)
    flat = [normalise(text[span.start : span.end]) for text, found in zip(texts, spans, strict=True) for span in found]
    prediction = await score(flat)
    answers = iter(zip(prediction.labels, prediction.confidence, strict=True))
    result = []
    for text, found in zip(texts, spans, strict=True):
        described = []
        for offsets in offsets_of(text, found):
            label, confidence = next(answers)
            described.append(place(offsets) | {"label": LABELS[label], "confidence": confidence})
        result.append(described)
    return result


def place(offsets: Offsets) -> dict[str, Any]:
    """Return offsets as the members of a JSON object."""
    return offsets._asdict()
