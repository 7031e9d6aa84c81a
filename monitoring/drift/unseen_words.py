"""How much of each text is made of words that the reference window does not have.

A new domain brings new words, in every language. The share of unseen words therefore moves in one direction, and its
mean over a window already moves when a tenth of the texts is of another domain.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final

import pandas as pd

from feature_checks.contract import GROUP_ID, TEXT, normalise

UNSEEN_WORDS: Final = "unseen_words"
FOLDS: Final = 5
SEVERAL: Final = -1
WORD_OR_SYMBOL: Final = r"\w+|[^\w\s]"
"""Punctuation and symbols are tokens too, so that every visible text has a token, in any language."""
_WORD: Final = re.compile(WORD_OR_SYMBOL)


def with_unseen_words(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add `unseen_words` to both windows: the share (0…1) of a text's words that are in no reference text.

    The reference is divided into FOLDS parts by review. The words of a reference text are looked up in the other parts,
    and those of a current text in the same vocabularies, averaged, so that both shares mean the same. Windows without
    texts are returned unchanged, and so is a reference without `group_id`: sentences of one review share words, so
    without reviews its own share would be too small.

    Example: `reference, current = with_unseen_words(reference, current)`.
    """
    if not ({TEXT, GROUP_ID} <= set(reference.columns) and TEXT in current.columns):
        return reference, current
    reference_words, current_words = (_words(frame[TEXT].tolist()) for frame in (reference, current))
    folds = _folds(reference)
    part = _parts_of_words(reference_words, folds)
    # A word is unseen in the vocabulary without a part if it is in that part alone, and in all FOLDS if it is in none.
    weight = {word: 1 / FOLDS if number != SEVERAL else 0.0 for word, number in part.items()}
    return (
        reference.assign(**{UNSEEN_WORDS: [
            _mean([float(part[word] == fold) for word in words])
            for words, fold in zip(reference_words, folds, strict=True)
        ]}),
        current.assign(**{UNSEEN_WORDS: [_mean([weight.get(word, 1.0) for word in words]) for words in current_words]}),
    )  # fmt: skip


def _words(texts: Sequence[str]) -> list[list[str]]:
    return [_WORD.findall(normalise(text).casefold()) for text in texts]


def _folds(reference: pd.DataFrame) -> list[int]:
    """Return the part of each row, which depends on its review alone."""
    return [zlib.crc32(str(group).encode()) % FOLDS for group in reference[GROUP_ID]]


def _parts_of_words(texts: Sequence[Sequence[str]], folds: Sequence[int]) -> dict[str, int]:
    """Return for each word the part that it is in, or SEVERAL."""
    part: dict[str, int] = {}
    for words, fold in zip(texts, folds, strict=True):
        for word in words:
            if part.setdefault(word, fold) != fold:
                part[word] = SEVERAL
    return part


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
