"""The request path's histogram shows exactly what prometheus_client's own would."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from serving.batch_histogram import BatchHistogram

BUCKETS = (0.001, 0.5, 2.5)
# The bounds themselves, values beside them, and powers of two, whose sums are exact in any order.
VALUES = [0.001, 0.5, 2.5, 2**-10, 2**-9, 0.25, 0.75, 4.0, 0.0]


def own(values: list[float]) -> str:
    registry = CollectorRegistry()
    series = BatchHistogram("seconds", "How long", ["protocol"], BUCKETS, registry).series("v2")
    for value in values:
        series.observe(value)
    return generate_latest(registry).decode()


def reference(values: list[float]) -> str:
    registry = CollectorRegistry()
    series = Histogram("seconds", "How long", ["protocol"], buckets=BUCKETS, registry=registry).labels("v2")
    for value in values:
        series.observe(value)
    text = generate_latest(registry).decode().splitlines(keepends=True)
    return "".join(line for line in text if "_created" not in line)


@pytest.mark.parametrize("times", [0, 1])
def test_a_scrape_shows_what_prometheus_clients_own_would(times: int) -> None:
    assert own(VALUES * times) == reference(VALUES * times)


def test_reading_again_counts_nothing_twice() -> None:
    registry = CollectorRegistry()
    series = BatchHistogram("seconds", "How long", [], BUCKETS, registry).series()
    series.extend(VALUES)
    assert generate_latest(registry) == generate_latest(registry)
    series.observe(1.0)
    assert registry.get_sample_value("seconds_count") == len(VALUES) + 1
    assert registry.get_sample_value("seconds_bucket", {"le": "2.5"}) == len(VALUES)
    assert registry.get_sample_value("seconds_bucket", {"le": "+Inf"}) == len(VALUES) + 1


def test_scrapes_while_values_arrive_lose_none() -> None:
    registry = CollectorRegistry()
    series = BatchHistogram("seconds", "How long", [], BUCKETS, registry).series()
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
    series = BatchHistogram("seconds", "How long", [], BUCKETS, CollectorRegistry()).series()
    for _ in range(10_000):
        series.observe(1.0)
    assert len(series._pending) < 5_000
