"""Turns texts into token ids with the tokenizer of a bundle, word by word where that gives the same ids faster."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from feature_checks.contract import normalise

_WORDS: Final = re.compile(r"[^\W_]+|[^ \w]|_", re.ASCII).findall
"""The words of a printable ASCII text as BERT divides it: runs of letters and digits, and each punctuation mark."""

_MOST_WORDS: Final = 32_768
_LONGEST_WORD: Final = 32
_MOST_IDS: Final = 8
"""How many words are remembered, and the characters and the ids that a remembered word may have: 10 MB of ordinary
words, and at most 20. The 23,700 sentences of the default data have 28,600 words."""


class TextTokenizer:
    """The tokenizer of a bundle. Thread-safe.

    A BERT tokenizer (WordPiece) divides a text into words first, and the ids of a word do not depend on the words
    beside it (Devlin et al. 2019, and the reference implementation's `BasicTokenizer`). For ASCII texts the division
    is one regular expression, so the ids of each word are looked up, and the library is asked once for each new word.
    A sentence of 88 characters takes 6 µs if its words are known, and 4 µs more for each that is not. The library takes
    28 µs, because it keeps track of every character. All other texts, and all texts of other kinds of tokenizers, are
    given to the library.
    """

    def __init__(self, path: Path) -> None:
        """Load the `tokenizer.json` at `path`; its own truncation and padding are not used.

        Raises the library's `Exception` for a file that is missing or is not a tokenizer.
        """
        self._library = Tokenizer.from_file(str(path))
        self._library.no_padding()
        self._library.no_truncation()
        described = json.loads(self._library.to_str())
        self._by_words = _divides_as_bert(described)
        self._lowercase = self._by_words and described["normalizer"]["lowercase"]
        added = [re.escape(token["content"]) for token in described["added_tokens"]]
        self._find_added = re.compile("|".join(added) or r"(?!)").search
        self._start, self._end = self._around() if self._by_words else ([], [])
        self._words: dict[str, list[int]] = {}

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text after `contract.normalise`, special tokens included, however long it is."""
        found = [normalise(text) for text in texts]
        if not self._by_words:
            return self._from_library(found)
        ids = [self._of_words(text) for text in found]
        others = [row for row, known in enumerate(ids) if not known]
        if others:
            for row, computed in zip(others, self._from_library([found[row] for row in others]), strict=True):
                ids[row] = computed
        return ids

    def _from_library(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._library.encode_batch_fast(texts)]

    def _of_words(self, text: str) -> list[int]:
        """Return the ids of a text, or an empty list if the library must be asked."""
        if not (text.isascii() and text.isprintable()) or self._find_added(text):
            return []
        ids = [*self._start]
        known = self._words
        for word in _WORDS(text.lower() if self._lowercase else text):
            ids += known.get(word) or self._learn(word)
        ids += self._end
        return ids

    def _learn(self, word: str) -> list[int]:
        ids: list[int] = self._library.encode(word, add_special_tokens=False).ids
        if len(word) <= _LONGEST_WORD and len(ids) <= _MOST_IDS:
            if len(self._words) >= _MOST_WORDS:
                self._words.clear()
            self._words[word] = ids
        return ids

    def _around(self) -> tuple[list[int], list[int]]:
        """Return the ids before and after those of the words."""
        alone = self._library.encode("a", add_special_tokens=False).ids
        whole = self._library.encode("a").ids
        start = next(place for place in range(len(whole)) if whole[place : place + len(alone)] == alone)
        return whole[:start], whole[start + len(alone) :]


def _divides_as_bert(described: dict[str, Any]) -> bool:
    """Return whether a `tokenizer.json` divides texts into words as BERT does, and no word can be an added token."""
    kinds = [(described[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
    return kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and not any(
        token["normalized"] or token["content"].isalnum() for token in described["added_tokens"]
    )
