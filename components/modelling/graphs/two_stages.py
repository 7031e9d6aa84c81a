"""Both stages of a cascade in one ONNX graph, so that whatever runs a model runs a cascade.

The graph takes the rows of which the first stage is not confident out of the batch, and runs the second stage on these
alone. `components.modelling.cascade` says what is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto, compose, helper

from components.modelling.cascade import Cascade
from components.modelling.graphs.building import Graph

_FIRST: Final = "first/"
_SECOND: Final = "second/"
_LOGITS: Final = "logits"
_FIRST_LOGITS: Final = f"{_FIRST}{_LOGITS}"
_SECOND_LOGITS: Final = f"{_SECOND}{_LOGITS}"
_CONFIDENCE: Final = "first_stage_confidence"
_UNSURE: Final = "unsure"
_SHARED_BYTES: Final = 4096
"""Smaller constants are not worth sharing."""


def joined(first: ModelProto, second: ModelProto, cascade: Cascade) -> ModelProto:
    """Return both stages as one model with the inputs of the first one, which the second one must have too.

    Constants that both have, such as the table of word vectors, are stored once.
    """
    first = compose.add_prefix(first, _FIRST, rename_inputs=False)
    second = compose.add_prefix(second, _SECOND)
    _share_constants(first.graph, second.graph)
    graph = Graph(list(first.graph.node))
    unsure = _select(graph, cascade)
    graph.add(
        "If", [unsure], _LOGITS, then_branch=_second_stage(second.graph, cascade), else_branch=_first_stage_only()
    )
    constants = [*first.graph.initializer, *graph.initializers()]
    made = helper.make_graph(graph.nodes, "cascade", first.graph.input, [_logits_named(_LOGITS)], constants)
    opsets = {opset.domain: opset for opset in (*first.opset_import, *second.opset_import)}
    version = max(first.ir_version, second.ir_version)
    return helper.make_model(made, opset_imports=list(opsets.values()), ir_version=version)


def _select(graph: Graph, cascade: Cascade) -> str:
    """Add which rows the second stage reads; return the name of whether there are any."""
    probabilities = graph.add("Softmax", [_FIRST_LOGITS], "first_stage_probabilities", axis=-1)
    labels = graph.constant("label_axis", np.array([1], dtype=np.int64))
    graph.add("ReduceMax", [probabilities, labels], _CONFIDENCE, keepdims=0)
    limit = graph.constant("confidence_limit", np.array(cascade.confidence, dtype=np.float32))
    graph.add("Less", [_CONFIDENCE, limit], _UNSURE)
    ones = graph.add("Cast", [_UNSURE], "unsure_ones", to=TensorProto.INT32)
    count = graph.add("ReduceMax", [ones], "unsure_any", keepdims=0)
    return graph.add("Cast", [count], "second_stage_needed", to=TensorProto.BOOL)


def _second_stage(second: GraphProto, cascade: Cascade) -> GraphProto:
    graph = Graph()
    places = graph.add("Transpose", [graph.add("NonZero", [_UNSURE], "unsure_columns")], "unsure_places")
    rows = graph.add("Reshape", [places, graph.constant("flat", np.array([-1], dtype=np.int64))], "unsure_rows")
    for value in second.input:
        graph.add("Gather", [value.name.removeprefix(_SECOND), rows], value.name, axis=0)
    graph.nodes.extend(second.node)
    own = graph.add("Gather", [_FIRST_LOGITS, rows], "unsure_logits", axis=0)
    difference = graph.add("Sub", [own, _SECOND_LOGITS], "stages_difference")
    kept = graph.add("Mul", [difference, _share(graph, rows, cascade)], "kept_difference")
    mixed = graph.add("Add", [kept, _SECOND_LOGITS], "mixed_logits")
    output = graph.add("ScatterND", [_FIRST_LOGITS, places, mixed], "cascade_logits")
    return helper.make_graph(
        graph.nodes, "second_stage", [], [_logits_named(output)], [*second.initializer, *graph.initializers()]
    )


def _share(graph: Graph, rows: str, cascade: Cascade) -> str:
    """Add the weight of the first stage in each of the rows, which are k; return the name, k × 1."""
    numbers = {"mix_start": cascade.confidence - cascade.margin, "mix_width": cascade.margin, "mix_least": 0.0}
    start, width, least = (graph.constant(name, np.array(value, dtype=np.float32)) for name, value in numbers.items())
    above = graph.add("Sub", [graph.add("Gather", [_CONFIDENCE, rows], "unsure_confidence"), start], "above_start")
    share = graph.add("Max", [graph.add("Div", [above, width], "mix"), least], "mix_share")
    column = graph.constant("column", np.array([-1, 1], dtype=np.int64))
    return graph.add("Reshape", [share, column], "mix_shares")


def _first_stage_only() -> GraphProto:
    graph = Graph()
    output = graph.add("Identity", [_FIRST_LOGITS], "first_stage_logits")
    return helper.make_graph(graph.nodes, "first_stage_only", [], [_logits_named(output)])


def _logits_named(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "labels"])


def _share_constants(first: GraphProto, second: GraphProto) -> None:
    """Remove the large constants of the second stage that the first one has too; its nodes read the first one's."""
    known = {_content(item): item.name for item in first.initializer if len(item.raw_data) >= _SHARED_BYTES}
    names = {item.name: known[_content(item)] for item in second.initializer if _content(item) in known}
    own = [item for item in second.initializer if item.name not in names]
    del second.initializer[:]
    second.initializer.extend(own)
    for node in second.node:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)


def _content(tensor: TensorProto) -> tuple[int, Sequence[int], bytes]:
    return tensor.data_type, tuple(tensor.dims), tensor.raw_data
