"""Finds the sentences of a text, with their offsets in code points, UTF-8 bytes and UTF-16 code units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import sentencex

from feature_checks.contract import normalise

_LANGUAGE: Final = "en"
"""The language whose abbreviations are known; marks that end a sentence are known in every script."""

_CHUNK_CHARS: Final = 2_000
"""The number of characters that are searched at a time. The library's time grows with the square of the length where
a text has thousands of sentences outside ASCII: 20,000 such characters at once took 290 ms, in chunks 35 ms."""


_QUOTES: Final = str.maketrans(dict.fromkeys('"“”„«»', " "))
"""The library finds no sentence end between two quotation marks, so that one inch mark (8x10") would hide every end up
to the next one. Replacing one character by another keeps all offsets."""

_END_MARKS: Final = ".!?…"

_OPENING_QUOTE: Final = re.compile(r'(?<=\s)["“„«]+\s*\Z')
"""A quotation mark after the white space behind a sentence belongs to the next one: `It broke. " Great.`"""

_MORE_ENDS: Final = re.compile(
    r"(?P<alone>(?<!\S)[.!?…]+(?!\S))"  # marks between white space, as in `It works. ... I like it.`
    r"|[!?]{2,}(?=\s)|\.{4,}(?=\s)"
    r"|\b(?:me|no|ok)\.(?=\s+[^\W\d])"  # words, not Maine, number and Oklahoma
)
"""Ends that the library overlooks where people write in lower case."""


class Span(NamedTuple):
    """A part of a text: code points `start` to `end`, the second not included."""

    start: int
    end: int


class Offsets(NamedTuple):
    """The same part of a text in the three units that programming languages count strings in."""

    start: int
    """In code points, as in Python."""
    end: int
    utf8_start: int
    """In bytes of UTF-8, as in Go and Rust."""
    utf8_end: int
    utf16_start: int
    """In code units of UTF-16, as in Java and JavaScript."""
    utf16_end: int


def sentence_spans(text: str) -> list[Span]:
    """Return the sentences of a text in their order, without the white space around them.

    The spans do not overlap, and every character outside them is white space or invisible. A text without any visible
    character has no sentence.

    Example: `sentence_spans("It works. I like it.")` is `[Span(0, 9), Span(10, 20)]`.
    """
    return [span for found in _sentences(text) if normalise(text[(span := _trimmed(text, found)).start : span.end])]


def offsets_of(text: str, spans: Sequence[Span]) -> list[Offsets]:
    """Return the offsets of spans that are in ascending order and do not overlap, in one pass over the text.

    A lone surrogate counts as three bytes of UTF-8, the length of its usual replacement.

    Example: `offsets_of("😀 Good.", [Span(2, 7)])` is `[Offsets(2, 7, 5, 10, 3, 8)]`.
    """
    if text.isascii():
        return [Offsets(*span, *span, *span) for span in spans]
    found, position, utf8, utf16 = [], 0, 0, 0
    for start, end in spans:
        before, inside = text[position:start], text[start:end]
        utf8, utf16 = utf8 + _utf8(before), utf16 + _utf16(before)
        utf8_end, utf16_end = utf8 + _utf8(inside), utf16 + _utf16(inside)
        found.append(Offsets(start, end, utf8, utf8_end, utf16, utf16_end))
        position, utf8, utf16 = end, utf8_end, utf16_end
    return found


def _sentences(text: str) -> Iterator[Span]:
    """Yield the sentences, with the white space behind them; corrects what the library finds."""
    quote: int | None = None
    for start, end in _chunked(text):
        first = start if quote is None else quote
        opening = _OPENING_QUOTE.search(text, first, end) if text[end:].strip() else None
        quote = opening.start() if opening else None
        yield from _divided(text, Span(first, end if quote is None else quote))


def _divided(text: str, span: Span) -> Iterator[Span]:
    """Yield the sentences in a span, which the library takes for one."""
    position = span.start
    for mark in _MORE_ENDS.finditer(text, span.start, span.end):
        if mark["alone"]:
            before = text[position : mark.start()].rstrip()
            if before and before[-1] not in _END_MARKS:
                continue  # a pause within a sentence
            yield Span(position, mark.start())
            yield Span(mark.start(), mark.end())
        else:
            yield Span(position, mark.end())
        position = mark.end()
    yield Span(position, span.end)


def _chunked(text: str) -> Iterator[Span]:
    """Yield the sentences as the library finds them; the last sentence of a chunk begins the next chunk."""
    position = 0
    while position < len(text):
        chunk = text[position : position + _CHUNK_CHARS].translate(_QUOTES)
        found = [
            Span(position + boundary["start_index"], position + boundary["end_index"])
            for boundary in sentencex.get_sentence_boundaries(_LANGUAGE, chunk)
        ]
        if position + len(chunk) < len(text) and found:
            whole = found[:-1] or [Span(found[0].start, position + (chunk.rstrip().rfind(" ") + 1 or len(chunk)))]
        else:
            whole = found
        yield from whole
        position = whole[-1].end if whole else position + len(chunk)


def _trimmed(text: str, span: Span) -> Span:
    part = text[span.start : span.end]
    start = span.start + len(part) - len(part.lstrip())
    return Span(start, max(start, span.start + len(part.rstrip())))


def _utf8(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
