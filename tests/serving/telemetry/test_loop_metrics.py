"""The request path's metrics show exactly what prometheus_client's own would."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from serving.telemetry.loop_metrics import LoopCounter, LoopHistogram

BUCKETS = (0.001, 0.5, 2.5)
# The bounds themselves, values beside them, and powers of two, whose sums are exact in any order.
VALUES = [0.001, 0.5, 2.5, 2**-10, 2**-9, 0.25, 0.75, 4.0, 0.0]


def own(values: list[float]) -> str:
    registry = CollectorRegistry()
    series = LoopHistogram("seconds", "How long", ["protocol"], BUCKETS, registry).series("v2")
    for value in values:
        series.observe(value)
    return generate_latest(registry).decode()


def shown(registry: CollectorRegistry) -> str:
    """A scrape without prometheus_client's times of creation."""
    text = generate_latest(registry).decode()
    return "".join(line for line in text.splitlines(keepends=True) if "_created" not in line)


def reference(values: list[float]) -> str:
    registry = CollectorRegistry()
    series = Histogram("seconds", "How long", ["protocol"], buckets=BUCKETS, registry=registry).labels("v2")
    for value in values:
        series.observe(value)
    return shown(registry)


def test_counters_are_those_of_prometheus_client() -> None:
    own_registry, registry = CollectorRegistry(), CollectorRegistry()
    ours = LoopCounter("requests_total", "Requests", ["protocol", "status"], own_registry)
    theirs = Counter("requests_total", "Requests", ["protocol", "status"], registry=registry)
    for protocol, status, times in (("v1", "200", 3), ("v2", "429", 1), ("v1", "200", 2)):
        ours.series(protocol, status).inc(times)
        theirs.labels(protocol, status).inc(times)
    assert generate_latest(own_registry).decode() == shown(registry)


@pytest.mark.parametrize("times", [0, 1])
def test_a_scrape_shows_what_prometheus_clients_own_would(times: int) -> None:
    assert own(VALUES * times) == reference(VALUES * times)


def test_reading_again_counts_nothing_twice() -> None:
    registry = CollectorRegistry()
    series = LoopHistogram("seconds", "How long", [], BUCKETS, registry).series()
    series.extend(VALUES)
    assert generate_latest(registry) == generate_latest(registry)
    series.observe(1.0)
    assert registry.get_sample_value("seconds_count") == len(VALUES) + 1
    assert registry.get_sample_value("seconds_bucket", {"le": "2.5"}) == len(VALUES)
    assert registry.get_sample_value("seconds_bucket", {"le": "+Inf"}) == len(VALUES) + 1


def test_scrapes_while_values_arrive_lose_none() -> None:
    registry = CollectorRegistry()
    series = LoopHistogram("seconds", "How long", [], BUCKETS, registry).series()
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            generate_latest(registry)

    scrapers = [threading.Thread(target=scrape) for _ in range(2)]
    for scraper in scrapers:
        scraper.start()
    for _ in range(50_000):
        series.observe(0.25)
    done.set()
    for scraper in scrapers:
        scraper.join()
    assert registry.get_sample_value("seconds_bucket", {"le": "0.5"}) == 50_000
    assert registry.get_sample_value("seconds_sum") == 12_500


def test_what_waits_to_be_binned_is_bounded() -> None:
    series = LoopHistogram("seconds", "How long", [], BUCKETS, CollectorRegistry()).series()
    for _ in range(10_000):
        series.observe(1.0)
    assert len(series._pending) < 5_000
