"""FP32 ONNX → INT8 ONNX whose answer for a text does not depend on the texts it is batched with.

ONNX Runtime's dynamic quantisation takes one activation scale over a whole padded batch: a large value in one text
coarsens all of them. Here every token has its own scale, or all tokens have the one that calibration has found; and
channels that are large in the activations are made smaller there and larger in the weights (SmoothQuant). The
arithmetic stays INT8 × INT8 → INT32.

A BERT classifier gets a graph of its own (`components/modelling/graphs/bert.py`). The graph of any other model is
rewritten here, multiplication by multiplication.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from components.modelling.graphs.bert import Bert, bert_graph
from components.modelling.graphs.building import CONTRIB, Array, Feed, Int8Graph, channel_sizes, smoothing_factors

MIGRATION: Final = 0.6
"""SmoothQuant's α for rewritten graphs."""
SMALLEST_WEIGHT: Final = 10_000
"""Matrices with fewer elements stay FP32: they cost nothing and decide the label."""


def quantize(fp32: Path, int8: Path, calibration: Iterable[Feed], config: Mapping[str, Any] | None = None) -> None:
    """Write the INT8 form of the model at `fp32`; `calibration` are inputs of real texts, one feed a run.

    `config` is the content of the model's `config.json`. Without it every graph is rewritten.
    """
    model = onnx.load(fp32)
    bert = Bert.of(model, config or {})
    quantized = _rewritten(model, calibration) if bert is None else bert_graph(bert, calibration)
    onnx.save(quantized, int8)


def _rewritten(model: onnx.ModelProto, calibration: Iterable[Feed]) -> onnx.ModelProto:
    """Return the model with INT8 in place of its large matrices, one scale for each token and smoothed channels."""
    weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    multiplications = [node for node in model.graph.node if _is_large(node, "MatMul", 1, weights)]
    sizes = channel_sizes(model, [node.input[0] for node in multiplications], calibration)
    smoothing = _smoothing(multiplications, weights, sizes)
    graph = Int8Graph()
    replaced = set()
    for node in model.graph.node:
        if _is_large(node, "MatMul", 1, weights):
            _rewrite_multiplication(graph, node, weights, smoothing)
            replaced.add(node.input[1])
        elif _is_large(node, "Gather", 0, weights):
            graph.look_up(weights[node.input[0]], node.input[1], node.output[0], node.input[0])
            replaced.add(node.input[0])
        else:
            graph.nodes.append(node)
    return _replace_graph(model, graph, replaced)


def _is_large(node: NodeProto, operator: str, position: int, weights: Mapping[str, Array]) -> bool:
    weight = weights.get(node.input[position]) if node.op_type == operator else None
    return weight is not None and weight.ndim == 2 and weight.size >= SMALLEST_WEIGHT


def _smoothing(
    nodes: Sequence[NodeProto], weights: Mapping[str, Array], sizes: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the factor of each input channel; multiplications of one activation share it."""
    weight_sizes: dict[str, Array] = {}
    for node in nodes:
        largest = np.abs(weights[node.input[1]]).max(axis=1)
        weight_sizes[node.input[0]] = np.maximum(weight_sizes.get(node.input[0], largest), largest)
    return {name: smoothing_factors(sizes[name], weight, MIGRATION) for name, weight in weight_sizes.items()}


def _rewrite_multiplication(
    graph: Int8Graph, node: NodeProto, weights: Mapping[str, Array], smoothing: Mapping[str, Array]
) -> None:
    activation, weight, output = node.input[0], node.input[1], node.output[0]
    quantized = f"{activation}/int8"
    if f"{activation}/int8_factor" not in graph.constants:
        factor = graph.constant(f"{activation}/int8_factor", 1 / smoothing[activation])
        smooth = graph.add("Mul", [activation, factor], f"{activation}/int8_smooth")
        graph.quantize_tokens(smooth, quantized)
    smoothed = weights[weight] * smoothing[activation][:, None]
    unit_output = graph.multiply(quantized, smoothed, f"{output}/int8_unit", weight)
    graph.add("Mul", [unit_output, f"{quantized}_largest"], output)


def _replace_graph(model: onnx.ModelProto, made: Int8Graph, replaced: set[str]) -> onnx.ModelProto:
    graph = model.graph
    kept = [item for item in graph.initializer if item.name not in replaced]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *made.initializers()])
    graph.node.extend(made.nodes)
    if all(opset.domain != CONTRIB for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    return model
