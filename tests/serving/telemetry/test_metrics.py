"""Metrics: few labels, none of them a user or a text, and the numbers of what was done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from feature_checks.classifier import EncodedText, Probabilities
from feature_checks.contract import LABELS
from serving.inference.batcher import Batcher
from serving.inference.engine import FakeEngine
from serving.settings import Settings
from serving.state.cache import ScoreCache
from serving.state.rate_limiter import RateLimiter
from serving.telemetry import metrics
from serving.telemetry.loop_metrics import LoopCounter, LoopHistogram
from tests.support.waiting import eventually
from tests.support.wire import prepared

KNOWN_LABELS = {
    *("protocol", "status", "model_version", "digest", "arithmetic", "reason", "tier", "use", "decision"),
    *("source", "label", "kind", "outcome", "language"),
}


def ours() -> Iterator[tuple[str, str, Sequence[str]]]:
    """Name, help text and label names of each metric."""
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            yield value._name, value._documentation, value._labelnames
        elif isinstance(value, LoopCounter | LoopHistogram):
            yield value.name, value.documentation, value.label_names


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Ending(FakeEngine):
    """An engine whose worker ends with its next batch while `ended` is set."""

    ended = False

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        if self.ended:
            raise SystemExit("the worker ends")
        return super().run(batch)


async def test_readiness_follows_the_engine(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(loaded=False)
    assert value("sentiment_ready") == 0
    engine = Ending()
    await wire.predictor.swap(prepared("3", engine=engine))
    assert value("sentiment_ready") == 1
    engine.ended = True
    assert (await wire.infer()).status_code == 500
    await eventually(lambda: value("sentiment_ready") == 0)
    engine.ended = False
    await eventually(lambda: value("sentiment_ready") == 1)
    wire.predictor.begin_drain()
    assert value("sentiment_ready") == 0


def test_labels_are_few_and_known() -> None:
    assert {label for _, _, labels in ours() for label in labels} <= KNOWN_LABELS


def test_names_and_help_follow_one_scheme() -> None:
    for name, documentation, _ in ours():
        assert name.startswith("sentiment_")
        assert documentation[0].isupper() or documentation[0] == "1"


def test_predictions_by_label_are_in_contract_order() -> None:
    before = [value("sentiment_predictions_total", label=label) for label in LABELS]
    for count, counter in enumerate(metrics.PREDICTIONS_BY_LABEL, 1):
        counter.inc(count)
    after = [value("sentiment_predictions_total", label=label) for label in LABELS]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("sentiment_batch_texts_sum", {}, 4),
        ("sentiment_tokens_total", {}, 3 * 3 + 4),
        ("sentiment_padding_tokens_total", {}, 3 * 1),
        ("sentiment_inference_seconds_count", {}, 1),
        ("sentiment_queue_seconds_count", {}, 1),
        ("sentiment_tokenise_seconds_count", {}, 1),
        ("sentiment_cache_lookups_total", {"tier": "miss"}, 4),
        ("sentiment_cache_lookups_total", {"tier": "memory"}, 2),
        ("sentiment_rate_limit_decisions_total", {"decision": "allowed", "source": "local"}, 1),
        ("sentiment_rate_limit_decisions_total", {"decision": "refused", "source": "local"}, 1),
    ],
)
async def test_what_was_done_is_counted(name: str, labels: dict[str, str], expected: float) -> None:
    settings = Settings(engine_threads=1, rate_limit="1/minute")
    batcher, cache, limiter = Batcher(FakeEngine(), settings), ScoreCache(settings), RateLimiter(settings)
    await batcher.start()
    before = value(name, **labels)
    await cache.score(batcher, "m", ["a", "b", "c", "two words"])
    await cache.score(batcher, "m", ["a", "b"])
    await asyncio.gather(limiter.hit("ann"), limiter.hit("ann"))
    await batcher.stop()
    assert value(name, **labels) - before == expected
