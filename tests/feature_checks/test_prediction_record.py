"""The prediction-log record: descriptors, hashes and layout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_checks.contract import normalise
from feature_checks.prediction_record import (
    HASH_PREFIX,
    PREDICTIONS,
    describe,
    keyed_hash,
    segment_path,
    stored_text,
)

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("text", "length", "words", "non_letters"),
    [
        ("good phone", 10, 2, 0.0),
        ("  good \u200b phone ", 10, 2, 0.0),
        ("5 * ok!", 7, 3, 3 / 5),
        ("très bien", 9, 2, 0.0),
        ("とても良い。", 6, 1, 1 / 6),
        ("!!!", 3, 1, 1.0),
        ("   ", 0, 0, 0.0),
    ],
)
def test_descriptors_do_not_depend_on_the_language(text: str, length: int, words: int, non_letters: float) -> None:
    assert describe(text)[:2] == (length, words)
    assert describe(text).non_letters == pytest.approx(non_letters)


@given(
    st.text(
        st.one_of(
            st.sampled_from("ab \t\n\x1c\x1f\x85\xa0\u2003\u200b\u3000\ufeff!7"),
            st.characters(exclude_categories=["Cs"]),
        )
    )
)
def test_descriptors_are_those_of_a_plain_count(text: str) -> None:
    words = normalise(text).split()
    visible = sum(map(len, words))
    letters = sum(character.isalpha() for word in words for character in word)
    shares = (visible - letters) / visible if visible else 0.0
    assert describe(text) == (len(normalise(text)), len(words), shares)


def test_a_keyed_hash_depends_on_the_key_and_hides_the_value() -> None:
    hashed = keyed_hash("anna@example.org", KEY)
    assert hashed == keyed_hash("anna@example.org", KEY)
    assert hashed != keyed_hash("anna@example.org", b"x" * 32)
    assert len(hashed) == 32
    assert "anna" not in hashed


def test_stored_text_follows_the_policy() -> None:
    assert stored_text("a review", "keep", KEY) == "a review"
    assert stored_text("a review", "drop", KEY) is None
    hashed = stored_text("a review", "hash", KEY)
    assert hashed is not None
    assert hashed.startswith(HASH_PREFIX)
    assert "review" not in hashed
    assert hashed == stored_text(" a  review ", "hash", KEY)


def test_segments_lie_under_their_date() -> None:
    assert segment_path(PREDICTIONS, "2026-11-22", "pod-1") == "date=2026-11-22/predictions-pod-1.jsonl"
    assert segment_path(PREDICTIONS, "2026-11-22T07", "pod-1") == "date=2026-11-22/predictions-hour=07-pod-1.jsonl"
