"""Finds the sentences of a text, with their offsets in code points, UTF-8 bytes and UTF-16 code units."""

from __future__ import annotations

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
    return [span for found in _chunked(text) if normalise(text[(span := _trimmed(text, found)).start : span.end])]


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
