"""How much of each text is made of words that the reference window does not have.

A new domain brings new words, in every language. The share of unseen words therefore moves in one direction, and its
mean over a window already moves when a tenth of the texts is of another domain.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_checks.contract import GROUP_ID, TEXT, normalise

UNSEEN_WORDS: Final = "unseen_words"
FOLDS: Final = 5
WORD_OR_SYMBOL: Final = r"\w+|[^\w\s]"
"""Punctuation and symbols are tokens too, so that every visible text has a token, in any language."""
_WORD: Final = re.compile(WORD_OR_SYMBOL)

Shares = NDArray[np.float64]


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
    fold = _folds(reference)
    reference_shares = np.zeros(len(reference))
    current_shares = np.zeros(len(current))
    for number in range(FOLDS):
        held_out = np.flatnonzero(fold == number)
        seen = {word for row in np.flatnonzero(fold != number) for word in reference_words[row]}
        reference_shares[held_out] = _shares([reference_words[row] for row in held_out], seen)
        current_shares += _shares(current_words, seen) / FOLDS
    return (
        reference.assign(**{UNSEEN_WORDS: reference_shares}),
        current.assign(**{UNSEEN_WORDS: current_shares}),
    )


def _words(texts: Sequence[str]) -> list[list[str]]:
    return [_WORD.findall(normalise(text).casefold()) for text in texts]


def _folds(reference: pd.DataFrame) -> NDArray[np.int64]:
    """Return the part of each row, which depends on its review alone."""
    return np.array([zlib.crc32(str(group).encode()) % FOLDS for group in reference[GROUP_ID]])


def _shares(texts: Sequence[Sequence[str]], seen: set[str]) -> Shares:
    return np.array([sum(word not in seen for word in words) / len(words) if words else 0.0 for words in texts])
