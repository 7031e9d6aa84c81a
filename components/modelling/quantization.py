"""FP32 ONNX → INT8 ONNX whose answer for a text does not depend on the texts it is batched with.

ONNX Runtime's dynamic quantisation takes one activation scale over a whole padded batch: a large value in one text
coarsens all of them. Here every token has its own scale (vector-wise quantisation, Dettmers et al., LLM.int8(), 2022),
and channels that are large in the activations are made smaller there and larger in the weights (SmoothQuant, Xiao et
al., ICML 2023). The arithmetic stays INT8 × INT8 → INT32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

MIGRATION: Final = 0.6
"""SmoothQuant's α: how much of a channel's size moves from the activation to the weight."""
SMALLEST_WEIGHT: Final = 10_000
"""Matrices with fewer elements stay FP32: they cost nothing and decide the label."""
OPSET: Final = 18
_LEVELS: Final = 127
_TINY: Final = 1e-9

Feed = Mapping[str, NDArray[np.int64] | NDArray[np.float32]]
Array = NDArray[Any]


@dataclass
class _Rewrite:
    """The graph under construction: the new nodes and constants, and the weights they replace."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=f"{output}/{operator}", **attributes))
        return output

    def constant(self, name: str, value: Array) -> str:
        self.constants[name] = value
        return name


def quantize(fp32: Path, int8: Path, calibration: Iterable[Feed]) -> None:
    """Write the INT8 form of the model at `fp32`; `calibration` are inputs of real texts, one feed a run."""
    model = onnx.load(fp32)
    weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    multiplications = [node for node in model.graph.node if _is_large(node, "MatMul", 1, weights)]
    sizes = _channel_sizes(model, [node.input[0] for node in multiplications], calibration)
    smoothing = _smoothing(multiplications, weights, sizes)
    rewrite = _Rewrite()
    rewrite.constant("int8_scale", np.array(1 / _LEVELS, dtype=np.float32))
    rewrite.constant("int8_zero", np.array(_LEVELS + 1, dtype=np.uint8))
    rewrite.constant("int8_axis", np.array([-1], dtype=np.int64))
    rewrite.constant("int8_tiny", np.array(_TINY, dtype=np.float32))
    for node in model.graph.node:
        if _is_large(node, "MatMul", 1, weights):
            _rewrite_multiplication(rewrite, node, weights, smoothing)
        elif _is_large(node, "Gather", 0, weights):
            _rewrite_embedding(rewrite, node, weights)
        else:
            rewrite.nodes.append(node)
    _save(model, rewrite, int8)


def _is_large(node: NodeProto, operator: str, position: int, weights: Mapping[str, Array]) -> bool:
    weight = weights.get(node.input[position]) if node.op_type == operator else None
    return weight is not None and weight.ndim == 2 and weight.size >= SMALLEST_WEIGHT


def _channel_sizes(model: onnx.ModelProto, names: Sequence[str], calibration: Iterable[Feed]) -> dict[str, Array]:
    """Return the largest |value| of each channel of the named activations over all calibration texts."""
    import onnxruntime as ort

    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    unique = list(dict.fromkeys(names))
    observed.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in unique)
    session = ort.InferenceSession(observed.SerializeToString(), providers=["CPUExecutionProvider"])
    sizes: dict[str, Array] = {}
    for feed in calibration:
        for name, value in zip(unique, session.run(unique, dict(feed)), strict=True):
            largest = np.abs(value).reshape(-1, value.shape[-1]).max(axis=0)
            sizes[name] = np.maximum(sizes.get(name, largest), largest)
    return sizes


def _smoothing(
    nodes: Sequence[NodeProto], weights: Mapping[str, Array], sizes: Mapping[str, Array]
) -> dict[str, Array]:
    """Return SmoothQuant's factor of each input channel; multiplications of one activation share it."""
    weight_sizes: dict[str, Array] = {}
    for node in nodes:
        largest = np.abs(weights[node.input[1]]).max(axis=1)
        weight_sizes[node.input[0]] = np.maximum(weight_sizes.get(node.input[0], largest), largest)
    return {
        name: (np.maximum(sizes[name], 1e-5) ** MIGRATION / np.maximum(weight, 1e-5) ** (1 - MIGRATION)).astype(
            np.float32
        )
        for name, weight in weight_sizes.items()
    }


def _rewrite_multiplication(
    rewrite: _Rewrite, node: NodeProto, weights: Mapping[str, Array], smoothing: Mapping[str, Array]
) -> None:
    activation, weight, output = node.input[0], node.input[1], node.output[0]
    largest = f"{activation}/int8_largest"
    quantized = f"{activation}/int8"
    if f"{activation}/int8_factor" not in rewrite.constants:
        factor = rewrite.constant(f"{activation}/int8_factor", 1 / smoothing[activation])
        smooth = rewrite.add("Mul", [activation, factor], f"{activation}/int8_smooth")
        absolute = rewrite.add("Abs", [smooth], f"{activation}/int8_absolute")
        maximum = rewrite.add("ReduceMax", [absolute, "int8_axis"], f"{activation}/int8_maximum", keepdims=1)
        rewrite.add("Max", [maximum, "int8_tiny"], largest)
        unit = rewrite.add("Div", [smooth, largest], f"{activation}/int8_unit")
        rewrite.add("QuantizeLinear", [unit, "int8_scale", "int8_zero"], quantized)
    integers, scales = _to_int8(weights[weight] * smoothing[activation][:, None], axis=0)
    operands = [
        quantized,
        rewrite.constant(f"{weight}/int8", integers),
        "int8_scale",
        rewrite.constant(f"{weight}/int8_scales", scales.reshape(-1)),
        "int8_zero",
        rewrite.constant(f"{weight}/int8_zeros", np.zeros(integers.shape[1], dtype=np.int8)),
    ]
    unit_output = rewrite.add("MatMulIntegerToFloat", operands, f"{output}/int8_unit", domain="com.microsoft")
    rewrite.add("Mul", [unit_output, largest], output)
    rewrite.replaced.add(weight)


def _rewrite_embedding(rewrite: _Rewrite, node: NodeProto, weights: Mapping[str, Array]) -> None:
    table, indices, output = node.input[0], node.input[1], node.output[0]
    integers, scales = _to_int8(weights[table], axis=1)
    rows = rewrite.add("Gather", [rewrite.constant(f"{table}/int8", integers), indices], f"{output}/int8")
    values = rewrite.add("Cast", [rows], f"{output}/int8_values", to=onnx.TensorProto.FLOAT)
    row_scales = rewrite.constant(f"{table}/int8_scales", scales)
    scale = rewrite.add("Gather", [row_scales, indices], f"{output}/int8_scale")
    rewrite.add("Mul", [values, scale], output)
    rewrite.replaced.add(table)


def _to_int8(weight: Array, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return symmetric INT8 values and their FP32 scales, one scale for each slice along `axis`."""
    scales = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), _TINY) / _LEVELS
    return np.round(weight / scales).astype(np.int8), scales.astype(np.float32)


def _save(model: onnx.ModelProto, rewrite: _Rewrite, path: Path) -> None:
    graph = model.graph
    kept = [item for item in graph.initializer if item.name not in rewrite.replaced]
    made = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in rewrite.constants.items()]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *made])
    graph.node.extend(rewrite.nodes)
    if all(opset.domain != "com.microsoft" for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, path)
