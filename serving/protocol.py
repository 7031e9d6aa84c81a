"""What V1 and V2 share on the wire: body decoding, text checks, the parsed request, the numbers of a reply.

Pure functions: bytes and headers in, values or a typed error out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from feature_checks.classifier import Probabilities
from feature_checks.contract import MAX_TEXT_CHARS, normalise
from serving.errors import RequestError, TooLarge, UnsupportedEncoding

INPUT: Final = "text"
OUTPUTS: Final = ("label", "confidence", "probabilities")

_WINDOW_BITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""zlib's window argument for each content coding of RFC 9110, 8.4.1 (deflate is the zlib format)."""
_MEMBERS: Final = 16
"""Most parts that one compressed body may be made of: each copies all that follow it."""
_COMPRESS_FROM: Final = 1024
"""Bytes below which compressing a reply costs more than it saves."""


@dataclass(slots=True)
class InferRequest:
    """One parsed request of either protocol."""

    texts: list[str]
    id: str | None = None
    """The client's own id, echoed; None when it sent none."""
    outputs: tuple[tuple[str, bool], ...] = tuple((name, False) for name in OUTPUTS)
    """Requested outputs in the order asked for, each with whether it is to be a binary tensor."""


@dataclass(slots=True)
class Verdicts:
    """What the outputs are made of. Rows are texts."""

    labels: list[int]
    """Index of the likeliest label, n."""
    confidence: list[float]
    """Its probability, n; each exactly an FP32 number."""
    probabilities: Probabilities

    @classmethod
    def of(cls, probabilities: Probabilities) -> Verdicts:
        """Return labels and confidences of n x 3 probabilities."""
        # Lists, because nearly every request has one text: for that NumPy's reductions take ten times longer.
        rows = probabilities.tolist()
        confidence = [max(row) for row in rows]
        return cls([row.index(top) for row, top in zip(rows, confidence, strict=True)], confidence, probabilities)


def decode_body(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """Return the body with its Content-Encoding undone, at most `limit` bytes.

    Raises UnsupportedEncoding, RequestError for damaged data, TooLarge past the limit.
    """
    name = encoding.strip().lower() if encoding else b"identity"
    if name == b"identity":
        return body
    bits = _WINDOW_BITS.get(name)
    if bits is None:
        raise UnsupportedEncoding(
            f"header Content-Encoding: found {name.decode('latin-1')!r}; known are gzip, deflate and identity"
        )
    return _inflate(body, bits, limit)


def _inflate(body: bytes, bits: int, limit: int) -> bytes:
    decoded, rest = b"", body
    for _ in range(_MEMBERS):
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
    raise RequestError(f"body: more than {_MEMBERS} compressed parts; send it as one")


def compress(body: bytes, accepted: bytes | None) -> tuple[bytes, bytes | None]:
    """Return the reply's body and its Content-Encoding: gzip where the client takes it and it pays."""
    if accepted is None or len(body) < _COMPRESS_FROM or not _takes_gzip(accepted):
        return body, None
    stream = zlib.compressobj(1, zlib.DEFLATED, 31)
    return stream.compress(body) + stream.flush(), b"gzip"


def _takes_gzip(accepted: bytes) -> bool:
    for item in accepted.lower().split(b","):
        coding, _, weight = item.partition(b";")
        if coding.strip() in (b"gzip", b"x-gzip"):
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises RequestError for anything else."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"body: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise RequestError(f"body: found {kind(content)}; expected a JSON object")
    return content


def check_count(found: int, limit: int, where: str) -> None:
    """Raise unless there is at least one text and no more than `limit`."""
    if found < 1:
        raise RequestError(f"{where}: found no text; expected at least one")
    if found > limit:
        raise TooLarge(f"{where}: found {found} texts; a request takes at most {limit}")


def check_texts(texts: Sequence[Any], where: str) -> None:
    """Raise unless every item is a text that the model can judge: a string, not blank, not over-long."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise RequestError(f"{where}[{index}]: found {kind(text)}; expected a string")
        if len(text) > MAX_TEXT_CHARS:
            raise TooLarge(f"{where}[{index}]: found {len(text)} characters; a text takes at most {MAX_TEXT_CHARS}")
        if _is_blank(text):
            raise RequestError(f"{where}[{index}]: the text is blank; expected a visible character")


def _is_blank(text: str) -> bool:
    if text.isprintable():
        return not text or text.isspace()
    return not normalise(text)


def kind(value: Any) -> str:
    """Return how JSON calls the type of a decoded value, for error messages."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
