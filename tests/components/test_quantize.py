from __future__ import annotations

import numpy as np
import onnx
import pytest

from feature_checks.bundle import INT8_MODEL, Bundle
from feature_checks.classifier import OnnxClassifier

TEXTS = [
    "Great camera.",
    "It broke after two days and nobody answered my letters, calls or visits to the store.",
    "It has two buttons.",
    "!!!!!!! WORST. THING. EVER. ¿¿¿???",
]


@pytest.fixture(scope="module")
def int8(tiny_bundle: Bundle) -> OnnxClassifier:
    return OnnxClassifier(tiny_bundle)


def test_a_text_gets_the_same_answer_alone_and_in_any_batch(int8: OnnxClassifier) -> None:
    alone = np.concatenate([int8.probabilities([text]) for text in TEXTS])
    padded = int8.run(int8.encode(TEXTS))
    reordered = int8.run(int8.encode(TEXTS[::-1]))[::-1]
    np.testing.assert_allclose(padded, alone, atol=1e-6)
    np.testing.assert_allclose(reordered, alone, atol=1e-6)


def test_int8_stays_near_fp32(int8: OnnxClassifier, tiny_bundle: Bundle) -> None:
    fp32 = OnnxClassifier(tiny_bundle, model=tiny_bundle.fp32_path)
    np.testing.assert_allclose(int8.probabilities(TEXTS), fp32.probabilities(TEXTS), atol=0.1)


def test_every_large_matrix_is_int8(tiny_bundle: Bundle) -> None:
    model = onnx.load(tiny_bundle.folder / INT8_MODEL)
    large = [item for item in model.graph.initializer if np.prod(item.dims) >= 100_000]
    assert large
    assert {item.data_type for item in large} == {onnx.TensorProto.INT8}
    assert sum(node.op_type == "MatMulIntegerToFloat" for node in model.graph.node) >= 12
