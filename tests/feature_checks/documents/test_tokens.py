from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from feature_checks.bundle import TOKENIZER, Bundle
from feature_checks.contract import normalise
from feature_checks.documents import tokens
from feature_checks.documents.tokens import TextTokenizer

WORDS = [
    "good",
    "Camera",
    "don't",
    "wi-fi",
    "[SEP]",
    "[sep]",
    "[",
    "##s",
    "#",
    "_",
    "a_b",
    "x" * 101,
    "4.5",
    "naïve",
    "好",
]
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(string.printable, max_size=8) | st.text(max_size=4)).map(" ".join)


def library_of(path: Path) -> Tokenizer:
    """Return the library's tokenizer without truncation and padding."""
    library = Tokenizer.from_file(str(path))
    library.no_truncation()
    library.no_padding()
    return library


@pytest.fixture(scope="session")
def both(tiny_bundle: Bundle) -> tuple[TextTokenizer, Tokenizer]:
    """The tokenizer under test, and the library's."""
    path = tiny_bundle.folder / TOKENIZER
    return TextTokenizer(path), library_of(path)


@settings(max_examples=500, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4))
def test_ids_are_those_of_the_library(both: tuple[TextTokenizer, Tokenizer], texts: list[str]) -> None:
    tokenizer, library = both
    expected = [library.encode(normalise(text)).ids for text in texts]
    tokenizer._words.clear()
    assert tokenizer.ids(texts) == expected, "unknown words"
    assert tokenizer.ids(texts) == expected, "known words"


def test_the_library_is_asked_once_for_a_word(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TextTokenizer(tiny_bundle.folder / TOKENIZER)
    asked: list[str] = []
    learn = tokenizer._learn

    def ask(word: str) -> list[int]:
        asked.append(word)
        return learn(word)

    monkeypatch.setattr(tokenizer, "_learn", ask)
    first = tokenizer.ids(["Good, good camera."])
    assert tokenizer.ids(["Good, good camera."]) == first
    assert asked == ["good", ",", "camera", "."]


def test_only_so_many_words_are_remembered_and_no_long_ones(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_MOST_WORDS", 3)
    tokenizer = TextTokenizer(tiny_bundle.folder / TOKENIZER)
    text = f"a b c d {'x' * 33} qzqzqzqzqzqz"
    expected = [library_of(tiny_bundle.folder / TOKENIZER).encode(text).ids]
    assert tokenizer.ids([text]) == expected
    assert tokenizer.ids([text]) == expected
    assert set(tokenizer._words) < {"a", "b", "c", "d"}
    assert 0 < len(tokenizer._words) <= 3


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"normalizer": None},
        {"added_tokens": [{"content": "good", "normalized": True}]},
        {"added_tokens": [{"content": "xxbos", "normalized": False}]},
    ],
)
def test_other_kinds_of_tokenizers_are_left_to_the_library(
    tiny_bundle: Bundle, tmp_path: Path, change: dict[str, Any]
) -> None:
    described = json.loads((tiny_bundle.folder / TOKENIZER).read_text(encoding="utf-8"))
    for token in change.get("added_tokens", []):
        token |= {"id": 1, "single_word": False, "lstrip": False, "rstrip": False, "special": False}
    path = tmp_path / TOKENIZER
    path.write_text(json.dumps(described | change), encoding="utf-8")
    library = library_of(path)
    text = "Good goodness: don't [SEP] GOOD XXBOS"
    tokenizer = TextTokenizer(path)
    assert tokenizer.ids([text]) == [library.encode(text).ids]
    assert not tokenizer._words


def test_upper_case_is_kept_where_the_tokenizer_keeps_it(tiny_bundle: Bundle, tmp_path: Path) -> None:
    described = json.loads((tiny_bundle.folder / TOKENIZER).read_text(encoding="utf-8"))
    described["normalizer"]["lowercase"] = False
    path = tmp_path / TOKENIZER
    path.write_text(json.dumps(described), encoding="utf-8")
    library = library_of(path)
    assert TextTokenizer(path).ids(["Good good"]) == [library.encode("Good good").ids]
