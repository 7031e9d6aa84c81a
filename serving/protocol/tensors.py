"""V2 tensors: shapes, and BYTES data as length-prefixed elements.

The binary layout is the binary tensor data extension of the Open Inference Protocol: each element is its
length as a little-endian 32-bit integer, followed by that many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

from serving.errors import RequestError
from serving.protocol.common import kind, quoted

MAX_SHAPE_LENGTH: Final = 8
"""A shape with this many dimensions or more is refused without a look at their sizes."""


def element_count(shape: Any, where: str) -> int:
    """Return how many texts a `text` tensor of this shape holds: [n], [n, 1] or [] (one).

    Raises RequestError for any other shape.
    """
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise RequestError(f"{where}.shape: found {kind(shape)}; expected a list such as [n]")
    if len(shape) >= MAX_SHAPE_LENGTH:
        raise RequestError(f"{where}.shape: found too many dimensions; expected [n], [n, 1] or [] for one text")
    if any(type(size) is not int or size < 0 for size in shape):
        raise RequestError(f"{where}.shape: found {quoted(list(shape))}; expected whole numbers, none negative")
    if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise RequestError(f"{where}.shape: found {list(shape)}; expected [n], [n, 1] or [] for one text")
    return shape[0] if shape else 1


def check_shape(shape: Sequence[int], expected: int, found: int, where: str) -> None:
    """Raise RequestError unless the data has as many elements as its shape states."""
    if found != expected:
        raise RequestError(
            f"{where}: shape {quoted(list(shape))} means {expected} texts, but data holds {found}; expected [{found}]"
        )


def flatten(data: Any, where: str) -> list[Any]:
    """Return JSON `data`, which may be nested once, as a flat list. Raises RequestError for any other data."""
    if isinstance(data, str):
        return [data]
    if not isinstance(data, list):
        raise RequestError(f"{where}.data: found {kind(data)}; expected a list of strings")
    if not any(isinstance(item, list) for item in data):
        return data
    return [text for item in data for text in (item if isinstance(item, list) else [item])]


def unpack_bytes(raw: bytes, expected: int, where: str) -> list[bytes]:
    r"""Return at most `expected` elements of a BYTES tensor.

    Raises RequestError if the data ends inside an element or continues after the last expected one.

    Example: `unpack_bytes(b"\x02\0\0\0ok", 1, "inputs[0].data")` returns `[b"ok"]`.
    """
    elements: list[bytes] = []
    position, end = 0, len(raw)
    while position < end:
        if len(elements) == expected:
            raise RequestError(f"{where}: the shape means {expected} texts, but {end - position} bytes follow them")
        start = position + 4
        if start > end:
            raise RequestError(f"{where}: BYTES data ends inside a length at byte {position} of {end}")
        position = start + int.from_bytes(raw[position:start], "little")
        if position > end:
            raise RequestError(
                f"{where}: BYTES element {len(elements)} has a length of {position - start} bytes, "
                f"but only {end - start} follow"
            )
        elements.append(raw[start:position])
    return elements


def pack_bytes(elements: Iterable[bytes]) -> bytes:
    """Return the elements as the data of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def decode_texts(elements: Iterable[bytes], where: str) -> list[str]:
    """Return the elements as strings. Raises RequestError for one that is not UTF-8."""
    texts = []
    for index, element in enumerate(elements):
        try:
            texts.append(element.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RequestError(
                f"{where}[{index}]: not UTF-8 at byte {error.start} ({error.reason}); expected UTF-8 text"
            ) from error
    return texts
