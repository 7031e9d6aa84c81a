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


MARKS = "".join(chr(code) for code in (0x300, 0x301, 0x308, 0x316, 0x323, 0x344, 0xF71, 0xF72, 0xF73, 0x5B0, 0x1D165))


@pytest.mark.parametrize("run", ["\u0301\u0316" * 9999, "\u0f73" * 19_999, "\u0344" * 19_999, "\u0323" * 19_999])
def test_no_run_of_combining_marks_is_longer_than_nfc_handles_quickly(run: str) -> None:
    decomposed = unicodedata.normalize("NFD", normalise(f"a{run}"))
    runs = "".join("m" if unicodedata.combining(character) else " " for character in decomposed).split()
    assert max(map(len, runs)) <= 30
    assert len(decomposed) >= len(run)


@given(st.text(alphabet=MARKS + "aä ", max_size=120))
def test_normalising_runs_of_marks_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(alphabet=MARKS + "aäé漢", max_size=29))
def test_runs_that_languages_use_are_plain_nfc(text: str) -> None:
    if len(unicodedata.normalize("NFD", text)) <= 30:
        assert normalise(text) == unicodedata.normalize("NFC", text).strip()
