from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_checks.contract import LABELS, label_of_rating, normalise


def test_label_order_is_negative_neutral_positive() -> None:
    assert LABELS == ("negative", "neutral", "positive")


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text())
def test_normalised_text_is_nfc_with_single_spaces(text: str) -> None:
    result = normalise(text)
    assert unicodedata.is_normalized("NFC", result)
    assert result == " ".join(result.split())


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_ascii_keeps_its_words(text: str) -> None:
    assert normalise(text).split() == text.split()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  Great\tcamera \n", "Great camera"),
        ("cafe\u0301", "caf\u00e9"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("bell\x07", "bell"),
        ("no\u00a0break", "no break"),
        ("\u200b \x00", ""),
    ],
)
def test_normalise(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@pytest.mark.parametrize(
    ("rating", "label"),
    [(-4, "negative"), (-0.5, "negative"), (-0.49, "neutral"), (0, "neutral"), (0.49, "neutral"), (0.5, "positive")],
)
def test_label_of_rating(rating: float, label: str) -> None:
    assert label_of_rating(rating) == label
