"""The server on the engine without weights, with one of its own pieces replaced by a library.

python -m tests.benchmarks.library_server ours|prometheus-client|limits
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from prometheus_client import Counter, Histogram


def _prometheus_client() -> None:
    """Count with prometheus_client's own counters and histograms."""
    from serving.telemetry import loop_metrics

    class Series:
        def __init__(self, metric: Any) -> None:
            self.inc, self.observe = getattr(metric, "inc", None), getattr(metric, "observe", None)

        def extend(self, values: Iterable[float]) -> None:
            for value in values:
                self.observe(value)  # type: ignore[misc]

    def metric(kind: Callable[..., Any]) -> Any:
        class Replaced:
            def __init__(self, name: str, documentation: str, labels: Sequence[str], *buckets: Any) -> None:
                options = {"buckets": buckets[0]} if buckets else {}
                self._metric = kind(name, documentation, labels, **options)
                self._labels = labels
                self._made: dict[tuple[str, ...], Series] = {}

            def series(self, *values: str) -> Series:
                # One dictionary in front of the library's own look-up, as ours has it.
                if values not in self._made:
                    self._made[values] = Series(self._metric.labels(*values) if self._labels else self._metric)
                return self._made[values]

        return Replaced

    loop_metrics.LoopCounter = metric(Counter)  # type: ignore[misc]
    loop_metrics.LoopHistogram = metric(Histogram)  # type: ignore[misc]


def _limits() -> None:
    """Decide with the moving window of `limits` in memory."""
    from serving.state import rate_limiter

    class Library:
        def __init__(self, windows: Sequence[rate_limiter.Window]) -> None:
            self._items = [RateLimitItemPerSecond(window.limit, int(window.seconds)) for window in windows]
            self._limiter = MovingWindowRateLimiter(MemoryStorage())

        def hit(self, user: str, now: float) -> rate_limiter.Decision:
            del now
            hits = [self._limiter.hit(item, user) for item in self._items]
            allowed = all(hits)
            reset, remaining = self._limiter.get_window_stats(self._items[0], user)
            return rate_limiter.Decision(allowed, self._items[0].amount, remaining, reset)

    rate_limiter.MovingWindows = Library  # type: ignore[misc,assignment]


PIECES = {"ours": lambda: None, "prometheus-client": _prometheus_client, "limits": _limits}


if __name__ == "__main__":
    PIECES[sys.argv.pop(1)]()
    from tests.support.fake_engine_server import main

    main()
