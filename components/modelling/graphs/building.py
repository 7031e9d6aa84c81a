"""What both INT8 graphs are made of: nodes, constants, INT8 matrices, and the sizes of activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

OPSET: Final = 18
"""The version of ONNX's operators that FP32 and INT8 models are written in."""
LEVELS: Final = 127
SCALE: Final = "int8_scale"
ZERO: Final = "int8_zero"
LAST_AXIS: Final = "int8_axis"
_TINY: Final = "int8_tiny"
_SMALLEST: Final = 1e-9
_SMALLEST_CHANNEL: Final = 1e-5
CONTRIB: Final = "com.microsoft"
"""The domain of ONNX Runtime's own operators (`ContribOperators.md`)."""

Feed = Mapping[str, NDArray[np.int64] | NDArray[np.float32]]
Array = NDArray[Any]


@dataclass
class Graph:
    """A graph under construction."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and return the name of that output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=f"{output}/{operator}", **attributes))
        return output

    def constant(self, name: str, value: Array) -> str:
        """Add a constant, and return its name."""
        self.constants[name] = value
        return name

    def initializers(self) -> list[onnx.TensorProto]:
        """Return the constants as ONNX has them."""
        return [numpy_helper.from_array(np.asarray(value, order="C"), name) for name, value in self.constants.items()]


@dataclass
class Int8Graph(Graph):
    """A graph with INT8 multiplications."""

    def __post_init__(self) -> None:
        """Add the constants that every quantised activation needs."""
        self.constant(SCALE, np.array(1 / LEVELS, dtype=np.float32))
        self.constant(ZERO, np.array(LEVELS + 1, dtype=np.uint8))
        self.constant(LAST_AXIS, np.array([-1], dtype=np.int64))

    def quantize_tokens(self, activation: str, name: str) -> tuple[str, str]:
        """Quantise an activation with one scale for each token; return the INT8 values and the scales.

        Vector-wise quantisation: Dettmers et al., LLM.int8(), 2022.
        """
        absolute = self.add("Abs", [activation], f"{name}_absolute")
        maximum = self.add("ReduceMax", [absolute, LAST_AXIS], f"{name}_maximum", keepdims=1)
        tiny = self.constant(_TINY, np.array(_SMALLEST, dtype=np.float32))
        largest = self.add("Max", [maximum, tiny], f"{name}_largest")
        unit = self.add("Div", [activation, largest], f"{name}_unit")
        return self.add("QuantizeLinear", [unit, SCALE, ZERO], name), largest

    def multiply(self, integers: str, weight: Array, output: str, name: str, bias: Array | None = None) -> str:
        """Multiply an INT8 activation, whose values stand for -1 to 1, with an FP32 `weight` that becomes INT8."""
        values, scales, zeros = self.integers(weight, name)
        operands = [integers, values, SCALE, scales, ZERO, zeros]
        if bias is not None:
            operands.append(self.constant(f"{name}/bias", bias))
        return self.add("MatMulIntegerToFloat", operands, output, domain=CONTRIB)

    def integers(self, weight: Array, name: str) -> tuple[str, str, str]:
        """Add an FP32 weight, inputs × outputs, as INT8; return its values, and each output's scale and zero point."""
        values, scales = to_int8(weight, axis=0)
        return (
            self.constant(f"{name}/int8", values),
            self.constant(f"{name}/int8_scales", scales.reshape(-1)),
            self.constant(f"{name}/int8_zeros", np.zeros(values.shape[1], dtype=np.int8)),
        )

    def look_up(self, table: Array, indices: str, output: str, name: str) -> str:
        """Look rows of an FP32 table up, which becomes INT8 with one scale for each row."""
        values, scales = to_int8(table, axis=1)
        rows = self.add("Gather", [self.constant(f"{name}/int8", values), indices], f"{output}/int8")
        numbers = self.add("Cast", [rows], f"{output}/int8_values", to=onnx.TensorProto.FLOAT)
        row_scales = self.constant(f"{name}/int8_scales", scales)
        scale = self.add("Gather", [row_scales, indices], f"{output}/int8_scale")
        return self.add("Mul", [numbers, scale], output)


def to_int8(weight: Array, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return symmetric INT8 values and their FP32 scales, one scale for each slice along `axis`."""
    scales = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), _SMALLEST) / LEVELS
    return np.round(weight / scales).astype(np.int8), scales.astype(np.float32)


def channel_sizes(model: onnx.ModelProto, names: Sequence[str], calibration: Iterable[Feed]) -> dict[str, Array]:
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


def smoothing_factors(sizes: Array, weight_sizes: Array, migration: float) -> NDArray[np.float32]:
    """Return by what each channel of an activation is divided, and its row of the weights multiplied.

    SmoothQuant (Xiao et al., ICML 2023), whose α is `migration`: how much of a channel's size moves to the weight.
    """
    activation = np.maximum(sizes, _SMALLEST_CHANNEL) ** migration
    factors: NDArray[np.float32] = (activation / np.maximum(weight_sizes, _SMALLEST_CHANNEL) ** (1 - migration)).astype(
        np.float32
    )
    return factors
