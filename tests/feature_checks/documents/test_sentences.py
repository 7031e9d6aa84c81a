"""Sentences are found whatever the text holds, and their offsets are exact in every unit."""

from __future__ import annotations

import random
import time

import pytest

from feature_checks.contract import MAX_TEXT_CHARS, normalise
from feature_checks.documents.sentences import Span, offsets_of, sentence_spans

PIECES = [
    *"ab .!?\"'()", "It works. ", "Mr. Lee", "...", "3.5 stars", "e.g. ",
    "\n", "\r\n", "\r\n\r\n", "\t", "\x85", "\u2028",
    "😀", "👨\u200d👩\u200d👧", "🇩🇪", "👍🏽. ", "é", "e\u0301", "a\u0301\u0323\u0327",
    "\u0301", "שלום. ", "مرحبا؟ ", "\u202eabc\u202c",
    "你好。", "すごい！", "ไทย", "हिन्दी। ",
    "\u200b", "\ufeff", "\x00", "\ud7ff", "\U0010ffff", "\u00a0", "-", "http://a.b/c.d ",
]  # fmt: skip


def fuzzed(seed: int) -> str:
    choose = random.Random(seed)
    return "".join(choose.choice(PIECES) for _ in range(choose.randint(0, 80)))


def test_offsets_of_10_000_fuzzed_texts_are_exact_in_every_unit() -> None:
    for seed in range(10_000):
        text = fuzzed(seed)
        spans = sentence_spans(text)
        utf8, utf16 = text.encode("utf-8"), text.encode("utf-16-le")
        position = 0
        for span, offsets in zip(spans, offsets_of(text, spans), strict=True):
            sentence = text[span.start : span.end]
            assert normalise(sentence), seed
            assert sentence == sentence.strip(), seed
            assert not normalise(text[position : span.start]), f"seed {seed}: visible characters are in no sentence"
            assert (offsets.start, offsets.end) == span
            assert utf8[offsets.utf8_start : offsets.utf8_end].decode("utf-8") == sentence, seed
            assert utf16[2 * offsets.utf16_start : 2 * offsets.utf16_end].decode("utf-16-le") == sentence, seed
            position = span.end
        assert not normalise(text[position:]), seed


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It works. I like it.", ["It works.", "I like it."]),
        ("  it broke.   mr. smith laughed!\n", ["it broke.", "mr. smith laughed!"]),
        ("Good camera\n\nBad battery", ["Good camera", "Bad battery"]),
        ("No end mark", ["No end mark"]),
        ('an 8x10 " print. it broke. a 5x7 " one.', ['an 8x10 " print.', "it broke.", 'a 5x7 " one.']),
        ("It works. ... I like it. ! ok", ["It works.", "...", "I like it.", "!", "ok"]),
        ("It is small ... but it works.", ["It is small ... but it works."]),
        ('It broke. " great " they said. " Bad', ["It broke.", '" great " they said.', '" Bad']),
        ("big minus!! buy another. hmmm.... no?! yes", ["big minus!!", "buy another.", "hmmm....", "no?!", "yes"]),
        ("good for me. i like it. no. it is no. 5", ["good for me.", "i like it.", "no.", "it is no. 5"]),
        (" \u200b\n ", []),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


def test_a_lone_surrogate_has_offsets() -> None:
    (offsets,) = offsets_of("\ud800 x", [Span(2, 3)])
    assert offsets == (2, 3, 4, 5, 2, 3)


def test_a_sentence_longer_than_a_chunk_is_cut_between_words() -> None:
    text = ("word " * 3_000).strip()
    spans = sentence_spans(text)
    assert len(spans) > 1
    assert " ".join(text[start:end] for start, end in spans) == text
    assert {text[start:end].strip("word ") for start, end in spans} == {""}


@pytest.mark.parametrize(
    "unit", ["a. ", "。", "你好。", "\n", "!", '"a. ', "(a. ", "x", "\u0301. ", "😀. ", ". ", "Mr. "]
)
def test_no_text_of_the_longest_size_takes_long(unit: str) -> None:
    text = (unit * MAX_TEXT_CHARS)[:MAX_TEXT_CHARS]
    started = time.thread_time()
    sentence_spans(text)
    assert time.thread_time() - started < 0.25
