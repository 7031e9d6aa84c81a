"""Prometheus counters and histograms for the request path, which only the event loop may update.

prometheus_client's own metrics take a lock at every step and walk the buckets at every observation; the ten updates
of one request cost a sixth of a cached answer. Here a count is an addition and an observation is an append, and
observations are sorted into buckets later, many at a time. Any thread may read.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

import numpy as np
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_BIN_AT: Final = 4096
"""A series sorts its observations into buckets once this many are waiting, even if nothing scrapes the server."""

S = TypeVar("S")


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Add `amount`."""
        self.value += amount


class Observations:
    """One series of a histogram."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the buckets' upper bounds, in ascending order and without infinity."""
        self._bounds = np.array(bounds)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._pending: list[float] = []
        self._binning = threading.Lock()

    def observe(self, value: float) -> None:
        """Record one value."""
        self._pending.append(value)
        if len(self._pending) >= _BIN_AT:
            self.read()

    def extend(self, values: Iterable[float]) -> None:
        """Record several values."""
        self._pending.extend(values)
        if len(self._pending) >= _BIN_AT:
            self.read()

    def read(self) -> tuple[list[int], float]:
        """Return the cumulative count of each bucket, with the infinite one last, and the sum of all values."""
        with self._binning:
            values = self._pending[:]
            del self._pending[: len(values)]
            # A value equal to a bound is inside it (`le`).
            bins = np.searchsorted(self._bounds, values, side="left")
            self._counts += np.bincount(bins, minlength=len(self._counts))
            self._sum += sum(values)
            return np.cumsum(self._counts).tolist(), self._sum


class _LoopMetric(Collector, Generic[S]):
    """A metric whose series are created on first use."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self.name, self.documentation, self.label_names = name, documentation, tuple(labels)
        self._series: dict[tuple[str, ...], S] = {}
        registry.register(self)

    def series(self, *values: str) -> S:
        """Return the series of one value for each label."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = self._new()
        return series

    def describe(self) -> Iterable[Metric]:
        """Return the family without series, from which the registry takes the name."""
        return [self._family()]

    @abstractmethod
    def _new(self) -> S: ...

    @abstractmethod
    def _family(self) -> Metric: ...


class LoopCounter(_LoopMetric[Count]):
    """A counter."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry = REGISTRY
    ) -> None:
        """Register the counter; `name` is the name of its samples and ends in `_total`."""
        super().__init__(name, documentation, labels, registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the family as a scrape shows it."""
        family = self._family()
        for values, count in tuple(self._series.items()):
            family.add_metric(values, count.value)
        yield family

    def _new(self) -> Count:
        return Count()

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self.name, self.documentation, labels=self.label_names)


class LoopHistogram(_LoopMetric[Observations]):
    """A histogram."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        buckets: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        """Register the histogram; `buckets` are upper bounds in ascending order and without infinity."""
        self._buckets = tuple(buckets)
        super().__init__(name, documentation, labels, registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the family as a scrape shows it."""
        family = self._family()
        bounds = [*map(floatToGoString, self._buckets), "+Inf"]
        for values, series in tuple(self._series.items()):
            counts, total = series.read()
            family.add_metric(values, list(zip(bounds, counts, strict=True)), total)
        yield family

    def _new(self) -> Observations:
        return Observations(self._buckets)

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)
