"""Counts the values of a ModelInferRequest before it is decoded: two bytes of a message can become a hundred in memory.

Only the lengths in the wire format are read (Protocol Buffers, "Encoding").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from serving.errors import RequestError, TooLarge

_Layout = Mapping[int, "Mapping[int, object] | bool"]
"""The fields of a message that hold more than one value, by number: the layout of a nested message, or True for
packed numbers."""

_PARAMETER: Final[_Layout] = {2: {}}
_CONTENTS: Final[_Layout] = dict.fromkeys(range(1, 8), True)
_TENSOR: Final[_Layout] = {3: True, 4: _PARAMETER, 5: _CONTENTS}
_REQUEST: Final[_Layout] = {4: _PARAMETER, 5: _TENSOR, 6: {2: _PARAMETER}}

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def check_field_count(content: bytes, most: int) -> None:
    """Raise TooLarge if a ModelInferRequest in wire format holds more than `most` values; RequestError if it is none.

    Packed numbers count one for each byte.
    """
    count = 0
    pending: list[tuple[int, int, _Layout]] = [(0, len(content), _REQUEST)]
    while pending:
        position, end, layout = pending.pop()
        while position < end:
            key, position = _varint(content, position)
            count += 1
            kind = key & 7
            if kind == _LENGTH:
                length, position = _varint(content, position)
                inner = layout.get(key >> 3)
                if inner is True:
                    count += length
                elif isinstance(inner, dict) and position + length <= end:
                    pending.append((position, position + length, inner))
                position += length
            elif kind == _VARINT:
                _, position = _varint(content, position)
            elif kind in (_FIXED64, _FIXED32):
                position += 8 if kind == _FIXED64 else 4
            else:
                raise _malformed()
            if count > most:
                raise TooLarge(f"message: more than {most} values; send fewer texts, or fewer other fields")
        if position > end:
            raise _malformed()


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = shift = 0
    while position < len(content) and shift < 70:
        byte = content[position]
        position += 1
        if byte < 0x80:
            return value | byte << shift, position
        value |= (byte & 0x7F) << shift
        shift += 7
    raise _malformed()


def _malformed() -> RequestError:
    return RequestError("message: not a ModelInferRequest in protobuf's wire format")
