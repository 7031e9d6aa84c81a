"""The table of non-starters agrees with Unicode, and runs of them are divided without touching other texts."""

from __future__ import annotations

import re
import sys
import unicodedata

from feature_checks.combining_marks import BMP_NON_STARTERS, OTHER_NON_STARTERS, divide_runs


def test_the_table_holds_every_character_that_decomposes_to_a_leading_non_starter() -> None:
    table = re.compile(f"[{BMP_NON_STARTERS}{OTHER_NON_STARTERS}]")
    for character in map(chr, range(sys.maxunicode + 1)):
        leading = unicodedata.normalize("NFD", character)[0]
        assert bool(table.match(character)) == bool(unicodedata.combining(leading)), hex(ord(character))


def test_texts_without_long_runs_are_unchanged() -> None:
    for text in ("漢字" * 100, "😀" * 100, "เมื่อ" * 100, "é" * 100, "a" + "\u0301" * 30):
        assert divide_runs(text) is text or divide_runs(text) == unicodedata.normalize("NFD", text)


def test_a_long_run_is_divided_after_each_30() -> None:
    assert divide_runs("a" + "\u0301" * 61) == "a" + ("\u0301" * 30 + "\u034f") * 2 + "\u0301"
