"""The INT8 graph of a BERT classifier, made from its weights: faster than the exported graph with INT8 in it.

- ONNX Runtime's QAttention makes queries, keys and values with one weight, and attends, all in one node.
- Activations after a LayerNormalization, and the attended values, have one scale that calibration has found: their
  range hardly depends on the text. The range of those after GELU does, so each token has its own scale: its largest
  value, but at least 0.17, the size of GELU's smallest value. One node divides by the scale and rounds.
- SmoothQuant's factors of the attended values are folded into the weights that make the values.
- The bias after a residual multiplication is folded into the LayerNormalization before it, and taken out of the biases
  of what reads that. Token types are all zero, so their row is a part of the positions.

In exact arithmetic the result is unchanged; `docs/results.md` has what each step gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from components.modelling.graphs.building import (
    CONTRIB,
    LAST_AXIS,
    OPSET,
    SCALE,
    ZERO,
    Array,
    Feed,
    Int8Graph,
    channel_sizes,
    smoothing_factors,
)

MIGRATION: Final = 0.8
"""SmoothQuant's α, chosen with HEADROOM on training sentences and tweets."""
HEADROOM: Final = 1.15
"""How much larger than in calibration an activation may be before it is cut off."""
_GELU_SIZE_OF_SMALLEST: Final = 0.17
"""GELU's smallest value is -0.16997."""
_ZERO_OF_EACH: Final = "int8_zero_of_each_token"
_HIDDEN_SHAPE: Final = "hidden_shape"
_IR_VERSION: Final = 10
_QKV: Final = ("query", "key", "value")
_ATTENTION_OUT: Final = "attention/output/dense"


@dataclass(frozen=True)
class Bert:
    """A BERT classifier as optimum exports it."""

    model: onnx.ModelProto
    parameters: Mapping[str, list[Array]]
    """The parameters of each part, in the order in which its nodes take them, by the path of the part.

    Their own names will not do: the export makes names up for weights, and equal parameters share one.
    """
    layers: int
    heads: int
    epsilon: float

    @classmethod
    def of(cls, model: onnx.ModelProto, config: Mapping[str, Any]) -> Bert | None:
        """Return the classifier in an exported model; None if it is not one that this module knows.

        `config` is the content of the checkpoint's `config.json`.
        """
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            return None
        if config.get("position_embedding_type", "absolute") != "absolute":
            return None
        weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        parameters: dict[str, list[Array]] = {}
        for node in model.graph.node:
            if node.op_type == "Identity" and node.input[0] in weights:  # equal parameters are stored once
                weights[node.output[0]] = weights[node.input[0]]
                continue
            own = [weights[name] for name in node.input if name in weights]
            parameters.setdefault(_path(node), []).extend(own)
        layers = int(config["num_hidden_layers"])
        bert = cls(model, parameters, layers, int(config["num_attention_heads"]), float(config["layer_norm_eps"]))
        return bert if bert._complete() else None

    def _complete(self) -> bool:
        parts = [("bert/embeddings/LayerNorm", 2), ("bert/pooler/dense", 2), ("classifier", 2)]
        parts += [(f"bert/embeddings/{name}_embeddings", 1) for name in ("word", "position", "token_type")]
        for layer in map(_layer_path, range(self.layers)):
            linear = [*(f"attention/self/{name}" for name in _QKV), _ATTENTION_OUT, "intermediate/dense"]
            norms = ["attention/output/LayerNorm", "output/dense", "output/LayerNorm"]
            parts += [(f"{layer}/{part}", 2) for part in (*linear, *norms)]
        beyond = any(path.startswith(f"{_layer_path(self.layers)}/") for path in self.parameters)
        return not beyond and all(len(self.parameters.get(path, ())) == number for path, number in parts)

    def linear(self, path: str) -> tuple[Array, Array]:
        """Return the weights of a linear layer, inputs by outputs, and its biases."""
        weight, bias = self.parameters[path]
        return weight, bias

    def inputs(self) -> dict[str, str]:
        """Return the name of the activation that each linear layer multiplies, by the path of the layer."""
        multiplications = (node for node in self.model.graph.node if node.op_type == "MatMul")
        return {_path(node): node.input[0] for node in multiplications if self.parameters[_path(node)]}


def _path(node: onnx.NodeProto) -> str:
    return node.name.rpartition("/")[0].strip("/")


def _layer_path(number: int) -> str:
    return f"bert/encoder/layer.{number}"


def bert_graph(bert: Bert, calibration: Iterable[Feed]) -> onnx.ModelProto:
    """Return the INT8 model; `calibration` are inputs of real texts, one feed a run of the FP32 model."""
    inputs = bert.inputs()
    by_name = channel_sizes(bert.model, list(inputs.values()), calibration)
    sizes = {path: by_name[name] for path, name in inputs.items()}
    graph = Int8Graph()
    hidden = _embeddings(bert, graph)
    for number in range(bert.layers):
        attended = _attention(bert, number, graph, hidden, sizes)
        total = graph.add("Add", [hidden, attended], f"{_layer_path(number)}/attended")
        hidden = _feed_forward(bert, number, graph, total, sizes)
    _head(bert, graph, hidden)
    return _model(graph)


def _embeddings(bert: Bert, graph: Int8Graph) -> str:
    (words,), (types,), (positions,) = (
        bert.parameters[f"bert/embeddings/{name}_embeddings"] for name in ("word", "token_type", "position")
    )
    found = graph.look_up(words, "input_ids", "words", "word_table")
    table = graph.constant("positions", positions + types[0])
    shape = graph.add("Shape", ["input_ids"], "shape")
    zero, one, two = (graph.constant(f"index_{index}", np.array([index], dtype=np.int64)) for index in range(3))
    length = graph.add("Slice", [shape, one, two], "length")
    used = graph.add("Slice", [table, zero, length], "used_positions")
    graph.add("Cast", ["attention_mask"], "mask", to=onnx.TensorProto.INT32)
    graph.add("Expand", [ZERO, graph.add("ReduceProd", [shape], "tokens", keepdims=1)], _ZERO_OF_EACH)
    graph.add(
        "Concat", [shape, graph.constant("width", np.array(words.shape[1:], dtype=np.int64))], _HIDDEN_SHAPE, axis=0
    )
    total = graph.add("Add", [found, used], "embeddings")
    return _normalise(bert, graph, total, "bert/embeddings/LayerNorm", _residual_bias(bert, 0))


def _residual_bias(bert: Bert, number: int) -> Array:
    """Return the bias after the attention of a layer, which the output of the layer before already contains."""
    if number == bert.layers:
        return np.zeros(1, dtype=np.float32)
    return bert.linear(f"{_layer_path(number)}/{_ATTENTION_OUT}")[1]


def _normalise(bert: Bert, graph: Int8Graph, total: str, path: str, folded: Array) -> str:
    weight, bias = bert.parameters[path]
    constants = [graph.constant(f"{path}/weight", weight), graph.constant(f"{path}/bias", bias + folded)]
    return graph.add("LayerNormalization", [total, *constants], path, epsilon=bert.epsilon, axis=-1)


def _attention(bert: Bert, number: int, graph: Int8Graph, hidden: str, sizes: Mapping[str, Array]) -> str:
    """Add the attention of a layer; return the name of what it adds to `hidden`, which contains its last bias."""
    path = f"{_layer_path(number)}/attention"
    parts = [f"{path}/self/{part}" for part in _QKV]
    weights, biases = (list(both) for both in zip(*map(bert.linear, parts), strict=True))
    last = f"{_layer_path(number)}/{_ATTENTION_OUT}"
    closing, last_bias = bert.linear(last)
    factors = _factors(sizes[last], closing)
    # Attention weighs values, channel by channel: what divides a channel of the values divides what is attended.
    weights[2], biases[2] = weights[2] / factors, biases[2] / factors
    weight = np.concatenate(weights, axis=1)
    bias = graph.constant(f"{path}/qkv/bias", np.concatenate(biases) - last_bias @ weight)
    smoothing = _factors(sizes[parts[0]], weight)
    integers = _quantize(graph, hidden, smoothing, f"{path}/qkv")
    matrix, scales, zeros = graph.integers(weight * smoothing[:, None], f"{path}/qkv")
    operands = [integers, matrix, bias, SCALE, scales, "mask", ZERO, zeros]
    values = graph.add("QAttention", operands, f"{path}/values", domain=CONTRIB, num_heads=bert.heads)
    attended = graph.add("QuantizeLinear", [values, SCALE, ZERO], f"{last}/int8_in")
    return graph.multiply(attended, closing * factors[:, None], f"{last}/out", last)


def _feed_forward(bert: Bert, number: int, graph: Int8Graph, total: str, sizes: Mapping[str, Array]) -> str:
    """Add the rest of a layer, from the sum after its attention; the output contains the next attention's last bias."""
    path = _layer_path(number)
    first, second = f"{path}/intermediate/dense", f"{path}/output/dense"
    (opening, bias), (closing, last_bias) = bert.linear(first), bert.linear(second)
    middle = _normalise(bert, graph, total, f"{path}/attention/output/LayerNorm", last_bias)
    factors = _factors(sizes[first], opening)
    integers = _quantize(graph, middle, factors, first)
    bias = bias - last_bias @ opening
    opened = graph.multiply(integers, opening * factors[:, None], f"{first}/out", first, bias)
    active = graph.add("Gelu", [opened], f"{path}/active", domain=CONTRIB)
    integers, largest = _quantize_active(graph, active, closing.shape[0], f"{second}/int8_in")
    unit = graph.multiply(integers, closing, f"{second}/unit", second)
    rows = graph.add("Mul", [unit, largest], f"{second}/rows")
    closed = graph.add("Reshape", [rows, _HIDDEN_SHAPE], f"{second}/out")
    total = graph.add("Add", [middle, closed], f"{path}/total")
    return _normalise(bert, graph, total, f"{path}/output/LayerNorm", _residual_bias(bert, number + 1))


def _factors(sizes: Array, weight: Array) -> Array:
    """Return by what each channel is divided, so that all of them together lie between -1 and 1 with HEADROOM."""
    factors = smoothing_factors(sizes, np.abs(weight).max(axis=1), MIGRATION)
    scaled: Array = (factors * (np.max(sizes / factors) * HEADROOM)).astype(np.float32)
    return scaled


def _quantize(graph: Int8Graph, activation: str, factors: Array, name: str) -> str:
    factor = graph.constant(f"{name}/factors", (1 / factors).astype(np.float32))
    smooth = graph.add("Mul", [activation, factor], f"{name}/smooth")
    return graph.add("QuantizeLinear", [smooth, SCALE, ZERO], f"{name}/int8_in")


def _quantize_active(graph: Int8Graph, active: str, width: int, name: str) -> tuple[str, str]:
    """Quantise what GELU returns with one scale for each token.

    Returns the INT8 values, tokens × `width`, and what the value 127 of each token stands for, tokens × 1.
    """
    row_shape = graph.constant("row_shape", np.array([-1, width], dtype=np.int64))
    smallest = graph.constant("gelu_size_of_smallest", np.array(_GELU_SIZE_OF_SMALLEST, dtype=np.float32))
    rows = graph.add("Reshape", [active, row_shape], f"{name}_rows")
    maximum = graph.add("ReduceMax", [rows, LAST_AXIS], f"{name}_maximum", keepdims=1)
    largest = graph.add("Max", [maximum, smallest], f"{name}_largest")
    steps = graph.add("Mul", [largest, SCALE], f"{name}_steps")
    scales = graph.add("Reshape", [steps, LAST_AXIS], f"{name}_scales")
    return graph.add("QuantizeLinear", [rows, scales, _ZERO_OF_EACH], name, axis=0), largest


def _head(bert: Bert, graph: Int8Graph, hidden: str) -> None:
    first = graph.constant("first_token", np.array(0, dtype=np.int64))
    token = graph.add("Gather", [hidden, first], "first", axis=1)
    pooled = graph.add("Tanh", [_gemm(bert, graph, token, "bert/pooler/dense", "pooled")], "pooler")
    _gemm(bert, graph, pooled, "classifier", "logits")


def _gemm(bert: Bert, graph: Int8Graph, operand: str, path: str, output: str) -> str:
    weight, bias = bert.parameters[path]
    constants = [graph.constant(f"{path}/weight", weight), graph.constant(f"{path}/bias", bias)]
    return graph.add("Gemm", [operand, *constants], output, transB=1)


def _model(graph: Int8Graph) -> onnx.ModelProto:
    names = ("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "sequence"]) for name in names]
    outputs = [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", "labels"])]
    made = helper.make_graph(graph.nodes, "sentiment", inputs, outputs, graph.initializers())
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=_IR_VERSION)
