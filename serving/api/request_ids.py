"""Request ids of 128 random bits, so that nobody can guess the id of another user's request and label it."""

from __future__ import annotations

import os
from collections.abc import Iterator

_IDS_PER_CALL = 256
"""How many ids one call of the operating system provides."""


def request_ids() -> Iterator[str]:
    """Yield request ids, 32 hexadecimal digits each, without end. Only one thread may use the iterator."""
    while True:
        digits = os.urandom(16 * _IDS_PER_CALL).hex()
        for start in range(0, len(digits), 32):
            yield digits[start : start + 32]
