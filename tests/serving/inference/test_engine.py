"""The engines: the real one agrees with the bundle's reference, the weightless one is deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from feature_checks.bundle import Bundle
from feature_checks.classifier import EncodedText, Probabilities
from serving.inference.engine import Engine, FakeEngine, OnnxEngine, self_test_gap, warm_up

TEXTS = ["It works.", "The battery was dead on arrival, and so was the second one.", "Fine"]


@pytest.fixture(scope="module")
def onnx_engine(tiny_bundle: Bundle) -> OnnxEngine:
    return OnnxEngine(tiny_bundle)


@pytest.fixture(params=["fake", "onnx"])
def engine(request: pytest.FixtureRequest, onnx_engine: OnnxEngine) -> Engine:
    return FakeEngine() if request.param == "fake" else onnx_engine


def test_probabilities_are_distributions_in_the_order_given(engine: Engine) -> None:
    encoded = engine.encode(TEXTS)
    found = engine.run(encoded)
    assert found.shape == (3, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(engine.run(encoded[::-1])[::-1], found, atol=0.02)


def test_a_long_text_is_cut_and_says_so(engine: Engine) -> None:
    short, long = engine.encode(["good", "good " * 2_000])
    assert (short.truncated, long.truncated) == (False, True)
    assert len(long.ids) <= 256


def test_threads_share_an_engine(engine: Engine) -> None:
    encoded = engine.encode(TEXTS)
    expected = [engine.run([text]) for text in encoded]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: engine.run([encoded[number % 3]]), range(60)))
    for number, probabilities in enumerate(found):
        np.testing.assert_array_equal(probabilities, expected[number % 3])


def test_the_weightless_engine_ignores_the_batch() -> None:
    engine = FakeEngine()
    encoded = engine.encode(TEXTS)
    alone = np.concatenate([engine.run([text]) for text in encoded])
    np.testing.assert_array_equal(engine.run(encoded), alone)


def test_the_self_test_sees_agreement_and_disagreement(onnx_engine: OnnxEngine, tiny_bundle: Bundle) -> None:
    assert self_test_gap(onnx_engine, tiny_bundle) <= tiny_bundle.manifest.self_test_max_gap
    fp32 = OnnxEngine(tiny_bundle, model=tiny_bundle.fp32_path)
    assert self_test_gap(fp32, tiny_bundle) < 1e-5
    assert self_test_gap(FakeEngine(), tiny_bundle) > 0.05


def test_warm_up_runs_short_and_long_batches() -> None:
    seen: list[tuple[int, int]] = []

    class Recording(FakeEngine):
        def run(self, batch: Sequence[EncodedText]) -> Probabilities:
            seen.append((len(batch), max(len(text.ids) for text in batch)))
            return super().run(batch)

    warm_up(Recording())
    assert {1, 4} <= {size for size, _ in seen}
    assert max(width for _, width in seen) == FakeEngine.max_length
