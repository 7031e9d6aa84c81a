"""The V2 protocol (Open Inference Protocol over REST) with its binary tensor data extension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from feature_checks.contract import LABELS
from serving.errors import RequestError
from serving.protocol.common import (
    EXTRA_OUTPUTS,
    INPUT,
    OUTPUTS,
    USUAL,
    InferRequest,
    Prediction,
    check_count,
    check_id,
    kind,
    max_values,
    parse_object,
    quoted,
)
from serving.protocol.options import Options
from serving.protocol.tensors import check_shape, decode_texts, element_count, flatten, pack_bytes, unpack_bytes

LABEL_BYTES: Final = tuple(label.encode() for label in LABELS)
ALL_OUTPUTS: Final = OUTPUTS + EXTRA_OUTPUTS
_ALL_BINARY: Final = tuple((name, True) for name in OUTPUTS)
_WHERE: Final = "inputs[0]"


def parse_infer(body: bytes, header_length: bytes | None, max_texts: int) -> InferRequest:
    """Return the parsed infer request.

    `header_length` is the Inference-Header-Content-Length header: the size of the JSON part, where binary
    tensors follow it; None if the whole body is JSON. Raises RequestError or TooLarge.
    """
    head, tail = (body, None) if header_length is None else _split(body, header_length)
    content = parse_object(head, max_values(max_texts))
    parameters = _member(content, "parameters", dict, "") or {}
    tensor = _input(content)
    texts = _texts(tensor, tail, max_texts)
    outputs = requested_outputs(content.get("outputs"), parameters.get("binary_data_output") is True)
    options = Options.of(parameters)
    texts, normalised, cut = options.accept(texts, f"{_WHERE}.data")
    request = InferRequest(texts, normalised, _request_id(content), outputs, priority=options.priority, truncated=cut)
    request.max_error = options.max_error
    return request


def _request_id(content: dict[str, Any]) -> str | None:
    client_id: str | None = _member(content, "id", str, "")
    check_id(client_id)
    return client_id or None


def _split(body: bytes, header_length: bytes) -> tuple[bytes, bytes]:
    name = "header Inference-Header-Content-Length"
    if not header_length.isdigit() or len(header_length) > 12:
        raise RequestError(f"{name}: found {quoted(header_length.decode('latin-1'))}; expected a whole number of bytes")
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
        type_name = kind(inputs) if "inputs" in content else "no such member"
        raise RequestError(f'inputs: found {type_name}; expected a list with the one input "{INPUT}"')
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
        raise RequestError(f'{_WHERE}.name: found {quoted(name)}; the model has the one input "{INPUT}"')
    if datatype != "BYTES":
        raise RequestError(f'{_WHERE}.datatype: found {quoted(datatype)}; expected "BYTES"')


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
    check_shape(shape, expected, len(texts), _WHERE)
    check_count(len(texts), max_texts, _WHERE)
    return texts


def _binary(tensor: dict[str, Any], size: Any, tail: bytes | None) -> bytes:
    where = f"{_WHERE}.parameters.binary_data_size"
    if type(size) is not int or size < 0:
        raise RequestError(f"{where}: found {quoted(size)}; expected a whole number of bytes")
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


def element_texts(shape: Any, elements: Sequence[bytes], max_texts: int) -> list[str]:
    """Return the texts of a `text` tensor given as byte strings. Raises RequestError or TooLarge."""
    expected = element_count(shape, _WHERE)
    check_shape(shape, expected, len(elements), _WHERE)
    check_count(len(elements), max_texts, _WHERE)
    return decode_texts(elements, f"{_WHERE}.data")


def requested_outputs(outputs: Any, binary: bool) -> tuple[tuple[str, bool], ...]:
    """Return the requested outputs, each with whether it is sent as a binary tensor; all of them if none is named.

    Raises RequestError for an unknown or repeated name.
    """
    if not outputs and (outputs is None or outputs == []):
        return _ALL_BINARY if binary else USUAL
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
    """Return the output's name. Raises RequestError if it is unknown or already among the `earlier` ones."""
    if name not in ALL_OUTPUTS:
        raise RequestError(f"{where}.name: found {quoted(name)}; the model's outputs are {', '.join(ALL_OUTPUTS)}")
    if name in earlier:
        raise RequestError(f"{where}.name: {name!r} is requested twice; name each output once")
    return str(name)


def infer_reply(prediction: Prediction, request: InferRequest, request_id: str) -> tuple[bytes, int | None]:
    """Return the reply's body, and the size of its JSON part if binary tensors follow it, otherwise None."""
    parameters: dict[str, Any] = {"request_id": request_id}
    if prediction.truncated:
        parameters["truncated"] = prediction.truncated
    tensors, tail = [], []
    for output, binary in request.outputs:
        tensor, raw = _tensor(output, binary, prediction)
        tensors.append(tensor)
        tail.append(raw)
    head = orjson.dumps(
        {
            "model_name": prediction.model_name,
            "model_version": prediction.model_version,
            "id": request.id or request_id,
            "parameters": parameters,
            "outputs": tensors,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    binary_part = b"".join(tail)
    return (head + binary_part, len(head)) if any(binary for _, binary in request.outputs) else (head, None)


def _tensor(output: str, binary: bool, prediction: Prediction) -> tuple[dict[str, Any], bytes]:
    datatype, shape = tensor_type(output, len(prediction.labels))
    tensor: dict[str, Any] = {"name": output, "datatype": datatype, "shape": shape}
    if binary:
        raw = raw_output(output, prediction)
        return tensor | {"parameters": {"binary_data_size": len(raw)}}, raw
    if output == "label":
        tensor["data"] = [LABELS[label] for label in prediction.labels]
    elif output in EXTRA_OUTPUTS:
        tensor["data"] = [value.decode() for value in extra_values(output, prediction)]
    else:
        tensor["data"] = numbers(output, prediction).reshape(-1)
    return tensor, b""


def tensor_type(output: str, rows: int) -> tuple[str, list[int]]:
    """Return the datatype and shape of an output for `rows` texts; metadata uses -1 for any number of texts."""
    if output == "label" or output in EXTRA_OUTPUTS:
        return "BYTES", [rows]
    return "FP32", [rows] if output == "confidence" else [rows, len(LABELS)]


def raw_output(output: str, prediction: Prediction) -> bytes:
    """Return an output's data as a binary tensor: little-endian floats, or length-prefixed elements."""
    if output == "label":
        return pack_bytes(LABEL_BYTES[label] for label in prediction.labels)
    if output in EXTRA_OUTPUTS:
        return pack_bytes(extra_values(output, prediction))
    return numbers(output, prediction).astype("<f4", copy=False).tobytes()


def extra_values(output: str, prediction: Prediction) -> list[bytes]:
    """Return the elements of an output that is computed on request: JSON, or plain text where the value is text."""
    return [value.encode() if isinstance(value, str) else orjson.dumps(value) for value in prediction.extras[output]]


def numbers(output: str, prediction: Prediction) -> NDArray[np.float32]:
    """Return the data of a numeric output: `confidence` is n, `probabilities` is n x 3."""
    return np.array(prediction.confidence, dtype=np.float32) if output == "confidence" else prediction.probabilities
