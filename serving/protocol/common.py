"""What V1, V2 and gRPC share: body decoding, checks of the texts, the parsed request and the prediction.

Every function is pure: it takes bytes and headers, and returns values or raises a typed error.
"""

from __future__ import annotations

import reprlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from feature_checks.classifier import Probabilities
from feature_checks.contract import MAX_TEXT_CHARS, normalise
from serving.errors import RequestError, TooLarge, UnsupportedEncoding

INPUT: Final = "text"
OUTPUTS: Final = ("label", "confidence", "probabilities")
"""What a reply holds if the request names no outputs."""
USUAL: Final = tuple((name, False) for name in OUTPUTS)
"""The same, none of them as a binary tensor."""
EXTRA_OUTPUTS: Final = ("sentences", "evidence", "language", "decision", "reason")
"""What a reply holds only if the request names it: one JSON value for each text."""

_WINDOW_BITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""zlib's window argument for each content coding of RFC 9110, 8.4.1 (deflate is the zlib format)."""
MAX_COMPRESSION: Final = 1032
"""The most that deflate can compress: one byte may stand for so many (RFC 1951)."""
_MAX_COMPRESSED_PARTS: Final = 16
"""One compressed body may consist of at most this many parts, because decoding each part copies all that follow."""
MAX_QUOTED_CHARS: Final = 200
"""Error messages repeat at most this much of what a client sent."""
_MAX_ID_CHARS: Final = 1024
_REPR: Final = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = MAX_QUOTED_CHARS
_COUNT_FROM_BYTES: Final = 64 * 1024
"""The values of a JSON body are counted before it is decoded if it is longer than this."""
_MIN_COMPRESSED_BYTES: Final = 1024
"""Compressing a reply shorter than this costs more than it saves."""


@dataclass(slots=True)
class InferRequest:
    """One parsed inference request, whichever protocol it arrived by."""

    texts: list[str]
    """The texts as the client sent them."""
    normalised: list[str]
    """The texts as the model reads them."""
    id: str | None = None
    """The client's own request id, which the reply repeats; None if the client sent none."""
    outputs: tuple[tuple[str, bool], ...] = USUAL
    """The requested outputs in the requested order, each with whether it is sent as a binary tensor."""
    raw: bool = False
    """Whether a gRPC request has raw tensors, so that its reply has them too."""
    priority: Literal["online", "bulk"] | None = None
    """The priority that the request states; None for that of its size."""
    event: dict[str, Any] | None = None
    """The attributes of the structured CloudEvent that the request came in, if it came in one."""
    truncated: int = 0
    """How many of the texts were cut at the limit of characters, as the client asked."""
    max_error: float | None = None
    """The share of wrong answers that the request accepts; None if it names none."""

    @property
    def extras(self) -> list[str]:
        """The requested outputs that are computed only on request."""
        if self.outputs is USUAL:
            return []
        return [name for name, _ in self.outputs if name in EXTRA_OUTPUTS]


@dataclass(slots=True)
class Prediction:
    """What the model says about the texts of one request. Every sequence has one entry for each text."""

    model_name: str
    model_version: str
    labels: list[int]
    """The index of each text's most probable label, in contract order."""
    confidence: list[float]
    """The probability of that label; each value is exactly representable in FP32."""
    probabilities: Probabilities
    """The n x 3 probabilities in contract order."""
    cached: Sequence[bool]
    """Whether the scores were computed for an earlier request."""
    truncated: int
    """How many of the texts were not read to their end."""
    extras: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The outputs that are computed only on request, by name: one JSON value for each text."""

    @classmethod
    def of(
        cls, model_name: str, model_version: str, probabilities: Probabilities, cached: Sequence[bool], truncated: int
    ) -> Prediction:
        """Return the prediction that follows from n x 3 probabilities."""
        # Lists, because nearly every request has one text: for that NumPy's reductions take ten times longer.
        rows = probabilities.tolist()
        confidence = [max(row) for row in rows]
        labels = [row.index(top) for row, top in zip(rows, confidence, strict=True)]
        return cls(model_name, model_version, labels, confidence, probabilities, cached, truncated)


def decode_body(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """Return the decompressed body, which has at most `limit` bytes.

    Raises UnsupportedEncoding for an unknown `encoding`, RequestError for damaged data and TooLarge for a longer body.

    Example: `decode_body(gzip.compress(b"{}"), b"gzip", 1024)` returns `b"{}"`.
    """
    name = encoding.strip().lower() if encoding else b"identity"
    if name == b"identity":
        return body
    bits = _WINDOW_BITS.get(name)
    if bits is None:
        raise UnsupportedEncoding(
            f"header Content-Encoding: found {quoted(name.decode('latin-1'))}; known are gzip, deflate and identity"
        )
    return _inflate(body, bits, limit)


def _inflate(body: bytes, bits: int, limit: int) -> bytes:
    decoded, rest = b"", body
    for _ in range(_MAX_COMPRESSED_PARTS):
        stream = zlib.decompressobj(bits)
        try:
            decoded += stream.decompress(rest, limit + 1 - len(decoded))
        except zlib.error as error:
            raise RequestError(f"body: the compressed data is damaged ({error})") from error
        if len(decoded) > limit:
            raise TooLarge(f"body: more than {limit} bytes after decompression; send at most {limit}")
        if not stream.eof:
            raise RequestError("body: the compressed data ends early; send the whole stream")
        rest = stream.unused_data
        if not rest:
            return decoded
    raise RequestError(f"body: more than {_MAX_COMPRESSED_PARTS} compressed parts; send it as one")


def compress(body: bytes, accepted: bytes | None) -> tuple[bytes, bytes | None]:
    """Return the reply's body and its Content-Encoding: gzip if the client accepts it and the body is long enough."""
    if accepted is None or len(body) < _MIN_COMPRESSED_BYTES or not _accepts_gzip(accepted):
        return body, None
    stream = zlib.compressobj(1, zlib.DEFLATED, 31)
    return stream.compress(body) + stream.flush(), b"gzip"


def _accepts_gzip(accepted: bytes) -> bool:
    for item in accepted.lower().split(b","):
        coding, _, weight = item.partition(b";")
        if coding.strip() in (b"gzip", b"x-gzip"):
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


def parse_object(body: bytes, max_values: int = _COUNT_FROM_BYTES) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises RequestError for anything else.

    Raises TooLarge, before any value is decoded, if the body holds more than about `max_values` JSON values: a list
    of four million empty lists would hold the interpreter for a second.
    """
    if len(body) > _COUNT_FROM_BYTES:
        _check_value_count(body, max_values)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"body: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise RequestError(f"body: found {kind(content)}; expected a JSON object")
    return content


def _check_value_count(body: bytes, max_values: int) -> None:
    """Raise TooLarge if the JSON in `body` has more than `max_values` values or strings.

    Every value follows a `[`, `,` or `:`, so these characters outside strings are at least as many as the values.
    """
    if _separators(body) <= max_values:
        return
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    strings = unescaped.count(b'"') // 2
    if strings <= 2 * max_values and _separators(b"".join(unescaped.split(b'"')[::2])) <= max_values:
        return
    raise TooLarge(f"body: more than {max_values} JSON values; send fewer texts, or fewer other members")


def _separators(body: bytes) -> int:
    return body.count(b"[") + body.count(b",") + body.count(b":")


def quoted(value: Any) -> str:
    """Return what a client sent as an error message repeats it: at most 200 characters.

    Example: `quoted("x" * 1000)` has 200 characters.
    """
    return _REPR.repr(value)[:MAX_QUOTED_CHARS]


def check_id(client_id: str | None) -> None:
    """Raise RequestError if the client's request id, which the reply repeats, is too long."""
    if client_id and len(client_id) > _MAX_ID_CHARS:
        raise RequestError(f"id: found {len(client_id)} characters; expected at most {_MAX_ID_CHARS}")


def check_count(count: int, limit: int, where: str) -> None:
    """Raise RequestError if there is no text, TooLarge if there are more than `limit`."""
    if count < 1:
        raise RequestError(f"{where}: found no text; expected at least one")
    if count > limit:
        raise TooLarge(f"{where}: found {count} texts; a request may hold at most {limit}")


def check_texts(texts: Sequence[Any], where: str) -> list[str]:
    """Return the normalised texts.

    Raises RequestError or TooLarge unless every item is a string that is neither blank nor too long.
    """
    return [check_text(text, where, index) for index, text in enumerate(texts)]


def check_text(text: Any, where: str, index: int | None = None) -> str:
    """Return a text, normalised; errors name it `where`, with the index if it is one of several.

    Raises RequestError or TooLarge unless it is a string that is neither blank nor too long.
    """
    if isinstance(text, str) and len(text) <= MAX_TEXT_CHARS and (clean := normalise(text)):
        return clean
    name = where if index is None else f"{where}[{index}]"
    if not isinstance(text, str):
        raise RequestError(f"{name}: found {kind(text)}; expected a string")
    if len(text) > MAX_TEXT_CHARS:
        raise TooLarge(
            f"{name}: found {len(text)} characters; a text may have at most {MAX_TEXT_CHARS}. Send less, "
            "or the parameter truncate=true to leave out the rest"
        )
    raise RequestError(f"{name}: the text is blank; expected a visible character")


def max_values(max_texts: int) -> int:
    """Return how many values a request for `max_texts` texts may hold: 16 for each text, and some members."""
    return 16 * max_texts + 10_000


def kind(value: Any) -> str:
    """Return the JSON name of a decoded value's type, for error messages."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
