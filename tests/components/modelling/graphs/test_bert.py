"""The INT8 graph of a BERT classifier against the FP32 graph that optimum exports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from components.modelling.graphs.bert import _IR_VERSION, _ZERO_OF_EACH, Bert, _quantize_active
from components.modelling.graphs.building import OPSET, Int8Graph
from components.modelling.graphs.quantization import quantize
from feature_checks.bundle import FP32_MODEL, Bundle
from feature_checks.classifier import OnnxClassifier, session_options
from tests.support.tiny_models import easy_reviews, export_tiny

SENTENCES: list[str] = easy_reviews()["text"].sample(120, random_state=0).tolist()
TEXTS = [*SENTENCES, " ".join(SENTENCES[:8]), "!"]


@dataclass(frozen=True)
class Exported:
    """A model with random biases and norms: those of a new model are zeros and ones, which hide errors."""

    bundle: Bundle
    path: Path
    config: dict[str, Any]

    @property
    def fp32(self) -> OnnxClassifier:
        return OnnxClassifier(self.bundle, model=self.path)

    def int8(self, folder: Path, config: dict[str, Any]) -> OnnxClassifier:
        fp32, path = self.fp32, folder / "int8.onnx"
        quantize(self.path, path, (fp32.feed([text]) for text in fp32.encode(TEXTS[:60])), config)
        return OnnxClassifier(self.bundle, model=path)


@pytest.fixture(scope="module")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("biased")
    model = AutoModelForSequenceClassification.from_pretrained(tiny_checkpoint)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.normal_(0, 0.5)
            elif "LayerNorm" in name:
                parameter.uniform_(0.5, 2.0)
            elif "embeddings" not in name:
                parameter.mul_(0.3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_checkpoint).save_pretrained(folder)
    bundle = export_tiny(folder, folder / "export")
    return Exported(bundle, folder / "export" / FP32_MODEL, json.loads((folder / "config.json").read_text()))


@pytest.mark.parametrize("known", [True, False], ids=["own graph", "rewritten graph"])
def test_probabilities_are_those_of_fp32(exported: Exported, tmp_path: Path, known: bool) -> None:
    served = exported.int8(tmp_path, exported.config if known else {})
    expected, found = exported.fp32.probabilities(TEXTS), served.probabilities(TEXTS)
    assert np.ptp(expected, axis=0).max() > 0.1, "the texts must get different answers"
    assert np.abs(found - expected).max() < 0.1
    assert np.abs(found - expected).mean() < 0.02
    alone = np.concatenate([served.probabilities([text]) for text in TEXTS[-9:]])
    np.testing.assert_array_equal(alone, served.run(served.encode(TEXTS[-9:])))


def test_a_layer_is_one_attention_and_three_multiplications(exported: Exported, tmp_path: Path) -> None:
    exported.int8(tmp_path, exported.config)
    nodes = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    layers = exported.config["num_hidden_layers"]
    assert nodes.count("QAttention") == layers
    assert nodes.count("MatMulIntegerToFloat") == 3 * layers
    assert "MatMul" not in nodes


@pytest.mark.parametrize("largest", [3.0, 0.1, -0.05], ids=["large", "smaller than the smallest", "only negative"])
def test_a_token_after_gelu_keeps_its_precision_whatever_its_largest_value_is(largest: float) -> None:
    """The values are at most half a step of their token away; values below GELU's smallest one do not occur."""
    values = np.linspace(-0.16997, largest, 12, dtype=np.float32).reshape(1, 2, 6)
    graph = Int8Graph()
    graph.constant(_ZERO_OF_EACH, np.full(2, 128, dtype=np.uint8))
    integers, sizes = _quantize_active(graph, "active", 6, "integers")
    outputs = [
        helper.make_tensor_value_info(integers, onnx.TensorProto.UINT8, None),
        helper.make_tensor_value_info(sizes, onnx.TensorProto.FLOAT, None),
    ]
    active = helper.make_tensor_value_info("active", onnx.TensorProto.FLOAT, ["batch", "sequence", 6])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "gelu", [active], outputs, graph.initializers()),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    found, scales = ort.InferenceSession(model.SerializeToString(), session_options(1)).run(None, {"active": values})
    restored, tokens = (found.astype(float) - 128) / 127 * scales, values.reshape(2, 6)
    half_steps = np.maximum(tokens.max(axis=1, keepdims=True), 0.17) / 127 / 2
    assert (np.abs(restored - tokens) <= half_steps + 1e-6).all()


@pytest.mark.parametrize(
    "other", [{"model_type": "roberta"}, {"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}, {}]
)
def test_the_graph_of_another_architecture_is_rewritten(exported: Exported, other: dict[str, str]) -> None:
    model = onnx.load(exported.path)
    assert Bert.of(model, exported.config | other if other else {}) is None
    assert Bert.of(model, exported.config) is not None


def test_a_model_with_an_unknown_layer_is_rewritten(exported: Exported) -> None:
    model = onnx.load(exported.path)
    assert Bert.of(model, exported.config | {"num_hidden_layers": 3}) is None
