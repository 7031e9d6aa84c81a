"""The V2 wire (Open Inference Protocol, REST) with its binary tensor data extension."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from feature_checks.contract import LABELS
from serving.errors import RequestError
from serving.protocol import (
    INPUT,
    OUTPUTS,
    InferRequest,
    Verdicts,
    check_count,
    check_texts,
    kind,
    parse_object,
)
from serving.tensors import check_shape, decode_texts, element_count, flatten, pack_bytes, unpack_bytes

LABEL_BYTES: Final = tuple(label.encode() for label in LABELS)
_ALL_JSON: Final = tuple((name, False) for name in OUTPUTS)
_ALL_BINARY: Final = tuple((name, True) for name in OUTPUTS)
_WHERE: Final = "inputs[0]"


def parse_infer(body: bytes, header_length: bytes | None, max_texts: int) -> InferRequest:
    """Return the parsed infer request.

    `header_length` is the Inference-Header-Content-Length header: the size of the JSON part, where binary
    tensors follow it. Raises RequestError or TooLarge.
    """
    head, tail = (body, None) if header_length is None else _split(body, header_length)
    content = parse_object(head)
    parameters = _member(content, "parameters", dict, "") or {}
    tensor = _input(content)
    texts = _texts(tensor, tail, max_texts)
    outputs = requested_outputs(content.get("outputs"), parameters.get("binary_data_output") is True)
    return InferRequest(texts, _member(content, "id", str, "") or None, outputs)


def _split(body: bytes, header_length: bytes) -> tuple[bytes, bytes]:
    name = "header Inference-Header-Content-Length"
    if not header_length.isdigit() or len(header_length) > 12:
        raise RequestError(f"{name}: found {header_length.decode('latin-1')!r}; expected a whole number of bytes")
    length = int(header_length)
    if length > len(body):
        raise RequestError(f"{name}: found {length}; the body has only {len(body)} bytes")
    return body[:length], body[length:]


def _member(content: dict[str, Any], name: str, expected: type, where: str) -> Any:
    value = content.get(name)
    if value is not None and not isinstance(value, expected):
        raise RequestError(f"{where}{name}: found {kind(value)}; expected {kind(expected())}")
    return value


def _input(content: dict[str, Any]) -> dict[str, Any]:
    inputs = content.get("inputs")
    if not isinstance(inputs, list):
        found = kind(inputs) if "inputs" in content else "no such member"
        raise RequestError(f'inputs: found {found}; expected a list with the one input "{INPUT}"')
    if len(inputs) != 1:
        raise RequestError(f'inputs: found {len(inputs)} inputs; expected the one input "{INPUT}"')
    tensor = inputs[0]
    if not isinstance(tensor, dict):
        raise RequestError(f"{_WHERE}: found {kind(tensor)}; expected an object")
    check_input(tensor.get("name"), tensor.get("datatype"))
    if "shape" not in tensor:
        raise RequestError(f"{_WHERE}.shape: found no such member; expected a list such as [n]")
    return tensor


def check_input(name: Any, datatype: Any) -> None:
    """Raise RequestError unless the tensor's name and datatype are those of the model's one input."""
    if name != INPUT:
        raise RequestError(f'{_WHERE}.name: found {name!r}; the model has the one input "{INPUT}"')
    if datatype != "BYTES":
        raise RequestError(f'{_WHERE}.datatype: found {datatype!r}; expected "BYTES"')


def _texts(tensor: dict[str, Any], tail: bytes | None, max_texts: int) -> list[str]:
    shape = tensor["shape"]
    expected = element_count(shape, _WHERE)
    parameters = _member(tensor, "parameters", dict, f"{_WHERE}.") or {}
    if "binary_data_size" in parameters:
        return binary_texts(shape, _binary(tensor, parameters["binary_data_size"], tail), max_texts)
    if tail:
        raise RequestError(f"body: {len(tail)} bytes follow the JSON part, but no input has binary_data_size")
    if "data" not in tensor:
        raise RequestError(f"{_WHERE}.data: found no such member; expected a list of strings")
    texts = flatten(tensor["data"], _WHERE)
    _check(texts, shape, expected, max_texts)
    return texts


def _binary(tensor: dict[str, Any], size: Any, tail: bytes | None) -> bytes:
    where = f"{_WHERE}.parameters.binary_data_size"
    if type(size) is not int or size < 0:
        raise RequestError(f"{where}: found {size!r}; expected a whole number of bytes")
    if "data" in tensor:
        raise RequestError(f"{where}: the input also has data; send one of the two")
    if tail is None:
        raise RequestError(f"{where}: the header Inference-Header-Content-Length is missing; send the JSON's size")
    if size != len(tail):
        raise RequestError(f"{where}: found {size}; {len(tail)} bytes follow the JSON part")
    return tail


def binary_texts(shape: Any, raw: bytes, max_texts: int) -> list[str]:
    """Return the texts of a binary `text` tensor. Raises RequestError or TooLarge."""
    expected = element_count(shape, _WHERE)
    check_count(expected, max_texts, _WHERE)
    return element_texts(shape, unpack_bytes(raw, expected, f"{_WHERE}.data"), max_texts)


def element_texts(shape: Any, elements: list[bytes], max_texts: int) -> list[str]:
    """Return the texts of a `text` tensor given as byte strings. Raises RequestError or TooLarge."""
    expected = element_count(shape, _WHERE)
    texts = decode_texts(elements, f"{_WHERE}.data")
    _check(texts, shape, expected, max_texts)
    return texts


def _check(texts: list[Any], shape: list[int], expected: int, max_texts: int) -> None:
    check_shape(shape, expected, len(texts), _WHERE)
    check_count(len(texts), max_texts, _WHERE)
    check_texts(texts, f"{_WHERE}.data")


def requested_outputs(outputs: Any, binary: bool) -> tuple[tuple[str, bool], ...]:
    """Return the outputs to send, each with whether as a binary tensor; all of them when none is named.

    Raises RequestError for an unknown or repeated name.
    """
    if not outputs and (outputs is None or outputs == []):
        return _ALL_BINARY if binary else _ALL_JSON
    if not isinstance(outputs, list):
        raise RequestError(f"outputs: found {kind(outputs)}; expected a list of objects with a name")
    requested: dict[str, bool] = {}
    for index, output in enumerate(outputs):
        where = f"outputs[{index}]"
        if not isinstance(output, dict):
            raise RequestError(f"{where}: found {kind(output)}; expected an object with a name")
        name = check_output(output.get("name"), requested, where)
        parameters = _member(output, "parameters", dict, f"{where}.") or {}
        requested[name] = parameters.get("binary_data", binary) is True
    return tuple(requested.items())


def check_output(name: Any, earlier: dict[str, bool], where: str) -> str:
    """Return the output's name. Raises RequestError when it is unknown or was asked for already."""
    if name not in OUTPUTS:
        raise RequestError(f"{where}.name: found {name!r}; the model's outputs are {', '.join(OUTPUTS)}")
    if name in earlier:
        raise RequestError(f"{where}.name: {name!r} is asked for twice; name each output once")
    return str(name)


def infer_reply(
    name: str, version: str, request_id: str, request: InferRequest, verdicts: Verdicts, truncated: int
) -> tuple[bytes, int | None]:
    """Return the reply's body, and the size of its JSON part when binary tensors follow it."""
    parameters: dict[str, Any] = {"request_id": request_id}
    if truncated:
        parameters["truncated"] = truncated
    tensors, tail = [], []
    for output, binary in request.outputs:
        tensor, raw = _tensor(output, binary, verdicts)
        tensors.append(tensor)
        tail.append(raw)
    head = orjson.dumps(
        {
            "model_name": name,
            "model_version": version,
            "id": request.id or request_id,
            "parameters": parameters,
            "outputs": tensors,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    binary_part = b"".join(tail)
    return (head + binary_part, len(head)) if any(binary for _, binary in request.outputs) else (head, None)


def _tensor(output: str, binary: bool, verdicts: Verdicts) -> tuple[dict[str, Any], bytes]:
    datatype, shape = tensor_type(output, len(verdicts.labels))
    tensor: dict[str, Any] = {"name": output, "datatype": datatype, "shape": shape}
    if binary:
        raw = raw_output(output, verdicts)
        return tensor | {"parameters": {"binary_data_size": len(raw)}}, raw
    if output == "label":
        tensor["data"] = [LABELS[label] for label in verdicts.labels]
    else:
        tensor["data"] = numbers(output, verdicts).reshape(-1)
    return tensor, b""


def tensor_type(output: str, rows: int) -> tuple[str, list[int]]:
    """Return datatype and shape of an output for `rows` texts (-1: any number, as metadata says it)."""
    if output == "label":
        return "BYTES", [rows]
    return "FP32", [rows] if output == "confidence" else [rows, len(LABELS)]


def raw_output(output: str, verdicts: Verdicts) -> bytes:
    """Return an output's data as a binary tensor: little-endian floats, or length-prefixed labels."""
    if output == "label":
        return pack_bytes(LABEL_BYTES[label] for label in verdicts.labels)
    return numbers(output, verdicts).astype("<f4", copy=False).tobytes()


def numbers(output: str, verdicts: Verdicts) -> NDArray[np.float32]:
    """Return a numeric output's data."""
    return np.array(verdicts.confidence, dtype=np.float32) if output == "confidence" else verdicts.probabilities
