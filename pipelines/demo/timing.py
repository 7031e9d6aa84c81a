"""How long the parts of the demo take, for the summary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class PartTimes(dict[str, float]):
    """Seconds by the name of the part.

    Example: `with times.part("train"): …` sets `times["train"]`.
    """

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time one part. A part that fails is not recorded."""
        start = time.perf_counter()
        yield
        self[name] = round(time.perf_counter() - start, 1)
