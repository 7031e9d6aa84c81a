"""Request ids: 128 random bits each, so that nobody can guess another's and give feedback on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

_AT_A_TIME = 256
"""One system call for so many ids."""


def request_ids() -> Iterator[str]:
    """Yield request ids in hex without end. Belongs to one thread."""
    while True:
        digits = os.urandom(16 * _AT_A_TIME).hex()
        for start in range(0, len(digits), 32):
            yield digits[start : start + 32]
