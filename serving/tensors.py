"""V2 tensors: shapes, and BYTES data as length-prefixed elements.

The binary layout is the binary tensor data extension of the Open Inference Protocol: each element is its
length as a little-endian 32-bit integer, followed by that many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from serving.errors import RequestError
from serving.protocol import kind


def element_count(shape: Any, where: str) -> int:
    """Return how many texts a `text` tensor of this shape holds: [n], [n, 1] or [] (one).

    Raises RequestError for any other shape.
    """
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise RequestError(f"{where}.shape: found {kind(shape)}; expected a list such as [n]")
    if any(type(size) is not int or size < 0 for size in shape):
        raise RequestError(f"{where}.shape: found {list(shape)!r}; expected whole numbers, none negative")
    if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise RequestError(f"{where}.shape: found {list(shape)}; expected [n], [n, 1] or [] for one text")
    return shape[0] if shape else 1


def check_shape(shape: Sequence[int], expected: int, found: int, where: str) -> None:
    """Raise RequestError unless the data has as many elements as its shape says."""
    if found != expected:
        raise RequestError(
            f"{where}: shape {list(shape)} says {expected} texts, data holds {found}; expected [{found}]"
        )


def flatten(data: Any, where: str) -> list[Any]:
    """Return flat or nested JSON `data` as a flat list. Raises RequestError for other data."""
    if isinstance(data, str):
        return [data]
    if not isinstance(data, list):
        raise RequestError(f"{where}.data: found {kind(data)}; expected a list of strings")
    if not any(isinstance(item, list) for item in data):
        return data
    return [text for item in data for text in (item if isinstance(item, list) else [item])]


def unpack_bytes(raw: bytes, expected: int, where: str) -> list[bytes]:
    """Return the elements of a BYTES tensor, `expected` at most.

    Raises RequestError when the data ends inside an element or goes on after the last one expected.
    """
    elements: list[bytes] = []
    position, end = 0, len(raw)
    while position < end:
        if len(elements) == expected:
            raise RequestError(f"{where}: the shape says {expected} texts, and {end - position} bytes follow them")
        start = position + 4
        if start > end:
            raise RequestError(f"{where}: BYTES data ends inside a length at byte {position} of {end}")
        position = start + int.from_bytes(raw[position:start], "little")
        if position > end:
            raise RequestError(
                f"{where}: BYTES element {len(elements)} says {position - start} bytes; {end - start} follow"
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
