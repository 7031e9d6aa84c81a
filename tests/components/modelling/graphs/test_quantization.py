from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from components.modelling.graphs.building import OPSET
from components.modelling.graphs.quantization import quantize
from feature_checks.bundle import INT8_MODEL, Bundle
from feature_checks.classifier import OnnxClassifier, session_options

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


def test_a_multiplication_with_an_outlier_channel_stays_within_one_percent(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(256, 192)).astype(np.float32)
    inputs = random.normal(size=(1, 12, 256)).astype(np.float32)
    inputs[..., 7] *= 50
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "one multiplication",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, None, 256])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, None, 192])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10), tmp_path / "fp32"
    )
    quantize(tmp_path / "fp32", tmp_path / "int8", [{"x": inputs}])
    (output,) = ort.InferenceSession(str(tmp_path / "int8"), session_options(1)).run(None, {"x": inputs})
    error = np.abs(output - inputs @ weight).mean() / np.abs(inputs @ weight).mean()
    assert error < 0.01


def test_every_large_matrix_is_int8(tiny_bundle: Bundle) -> None:
    model = onnx.load(tiny_bundle.folder / INT8_MODEL)
    large = [item for item in model.graph.initializer if np.prod(item.dims) >= 100_000]
    assert large
    assert {item.data_type for item in large} == {onnx.TensorProto.INT8}
    operators = [node.op_type for node in model.graph.node]
    layers = 2
    assert operators.count("MatMulIntegerToFloat") == 3 * layers
    assert operators.count("QAttention") == layers
