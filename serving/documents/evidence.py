"""The output `evidence`: the words without which the label of a text would be less probable.

Occlusion (Zeiler & Fergus, ECCV 2014; Li et al., 2016): each word is left out once, and the fall of the label's
probability is its effect. A text of up to 64 words is scored without each of them. Of a longer one, the sentences are
scored first, and the words of those that say the label most clearly are left out of their sentence. Everything of one
step, for all texts of the request, goes to the engine at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from feature_checks.contract import LABELS, normalise
from feature_checks.documents.sentences import Span, offsets_of
from serving.documents.sentences import Score, find_sentences, place
from serving.errors import TooLarge
from serving.protocol.common import Prediction

MAX_EXPLAINED: Final = 32
"""The most texts of a request with `evidence`: each costs up to 64 texts."""

MAX_WORDS: Final = 64
"""The most words of a text that are left out."""

_NAMED_WORDS: Final = 10
"""The most words that are named."""

_WORD: Final = re.compile(r"\S+")


@dataclass
class _Passage:
    """A part of a text that is scored again without each of its words."""

    text: int
    """The index of its text."""
    span: Span
    words: list[Span]
    """The words in it, by their place in the text."""
    probability: float
    """The probability of the text's label for the passage as it stands."""
    effects: list[float] = field(default_factory=list)


async def evidence(texts: Sequence[str], prediction: Prediction, score: Score) -> list[dict[str, Any]]:
    """Return, for each text, its label and the words that carried it, the strongest first.

    Raises TooLarge for more than MAX_EXPLAINED texts.
    """
    if len(texts) > MAX_EXPLAINED:
        raise TooLarge(f"evidence: found {len(texts)} texts; a request for evidence may hold at most {MAX_EXPLAINED}")
    passages = await _passages(texts, prediction, score)
    variants = [(passage, _without(texts[passage.text], passage.span, word))
                for passage in passages for word in passage.words]  # fmt: skip
    scored = [variant for _, variant in variants if variant]
    rest = await score(scored) if scored else None
    rows = iter(rest.probabilities if rest else ())
    for passage, variant in variants:
        left = float(next(rows)[prediction.labels[passage.text]]) if variant else 1 / len(LABELS)
        passage.effects.append(passage.probability - left)
    return [_described(index, text, prediction, passages) for index, text in enumerate(texts)]


async def _passages(texts: Sequence[str], prediction: Prediction, score: Score) -> list[_Passage]:
    words = [list(words_of(text)) for text in texts]
    long = [index for index, found in enumerate(words) if len(found) > MAX_WORDS]
    passages = [
        _Passage(index, Span(0, len(text)), found, prediction.confidence[index])
        for index, (text, found) in enumerate(zip(texts, words, strict=True))
        if len(found) <= MAX_WORDS
    ]
    if long:
        passages += await _clearest_sentences(long, texts, words, prediction, score)
    return passages


async def _clearest_sentences(
    long: Sequence[int], texts: Sequence[str], words: Sequence[Sequence[Span]], prediction: Prediction, score: Score
) -> list[_Passage]:
    """Return the sentences of long texts that say the label most clearly, with at most MAX_WORDS words a text."""
    spans = await find_sentences([texts[index] for index in long])
    flat = [(texts[index], span) for index, found in zip(long, spans, strict=True) for span in found]
    rows = iter((await score([normalise(text[span.start : span.end]) for text, span in flat])).probabilities)
    passages = []
    for index, found in zip(long, spans, strict=True):
        label, room = prediction.labels[index], MAX_WORDS
        ranked = sorted(((float(next(rows)[label]), span) for span in found), reverse=True)
        for probability, span in ranked:
            inside = [word for word in words[index] if span.start <= word.start and word.end <= span.end][:room]
            passages.append(_Passage(index, span, inside, probability))
            room -= len(inside)
            if not room:
                break
    return passages


def words_of(text: str) -> Iterator[Span]:
    """Yield the words of a text without the punctuation around them; a word of nothing else is kept whole.

    Example: `list(words_of("It's bad!"))` is `[Span(0, 4), Span(5, 8)]`.
    """
    for match in _WORD.finditer(text):
        start, end = match.span()
        if not normalise(match.group()):
            continue
        while start < end and unicodedata.category(text[start])[0] == "P":
            start += 1
        while start < end and unicodedata.category(text[end - 1])[0] == "P":
            end -= 1
        yield Span(start, end) if start < end else Span(*match.span())


def _without(text: str, span: Span, word: Span) -> str:
    """Return the passage without one word, normalised; empty if nothing visible is left."""
    return normalise(text[span.start : word.start] + text[word.end : span.end])


def _described(index: int, text: str, prediction: Prediction, passages: Sequence[_Passage]) -> dict[str, Any]:
    effects = {
        word: effect
        for passage in passages if passage.text == index
        for word, effect in zip(passage.words, passage.effects, strict=True)
    }  # fmt: skip
    strongest = sorted(effects, key=lambda word: -effects[word])[:_NAMED_WORDS]
    named = sorted(word for word in strongest if effects[word] > 0)
    words = [
        place(offsets) | {"text": text[word.start : word.end], "effect": effects[word]}
        for word, offsets in zip(named, offsets_of(text, named), strict=True)
    ]
    return {
        "label": LABELS[prediction.labels[index]],
        "confidence": prediction.confidence[index],
        "words": sorted(words, key=lambda word: -word["effect"]),
    }
