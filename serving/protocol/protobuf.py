"""KServe's protocol buffers for gRPC inference: the same rules as V2 over REST."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import DecodeError
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from serving.errors import RequestError
from serving.protocol.common import EXTRA_OUTPUTS, USUAL, InferRequest, Prediction, check_id, max_values
from serving.protocol.options import Options
from serving.protocol.protobuf_fields import check_field_count
from serving.protocol.tensors import MAX_SHAPE_LENGTH
from serving.protocol.v2 import (
    LABEL_BYTES,
    binary_texts,
    check_input,
    check_output,
    element_texts,
    extra_values,
    numbers,
    raw_output,
    tensor_type,
)

_COUNT_FROM_BYTES: Final = 64 * 1024
"""The values of a message are counted before it is decoded if it is longer than this."""


def decode_message(content: bytes, max_texts: int) -> Any:
    """Return the ModelInferRequest in wire format.

    Raises RequestError if it is none, TooLarge, before anything is decoded, if it holds too many values.
    """
    if len(content) > _COUNT_FROM_BYTES:
        check_field_count(content, max_values(max_texts))
    try:
        return pb.ModelInferRequest.FromString(content)
    except DecodeError as error:
        raise RequestError(f"message: not a ModelInferRequest ({error})") from error


def parse_message(message: Any, header_length: bytes | None, max_texts: int) -> InferRequest:  # noqa: ARG001
    """Return the parsed ModelInferRequest; `header_length` belongs to REST and is ignored.

    Raises RequestError or TooLarge.
    """
    if len(message.inputs) != 1:
        raise RequestError(f'inputs: found {len(message.inputs)} inputs; expected the one input "text"')
    tensor = message.inputs[0]
    check_input(tensor.name, tensor.datatype)
    outputs: dict[str, bool] = {}
    for index, output in enumerate(message.outputs):
        outputs[check_output(output.name, outputs, f"outputs[{index}]")] = False
    check_id(message.id)
    options = Options.of_message(message.parameters)
    texts, normalised, cut = options.accept(_texts(message, tensor, max_texts), "inputs[0].data")
    requested = tuple(outputs.items()) or USUAL
    request = InferRequest(texts, normalised, message.id or None, requested, priority=options.priority, truncated=cut)
    request.raw, request.max_error = bool(message.raw_input_contents), options.max_error
    return request


def _texts(message: Any, tensor: Any, max_texts: int) -> list[str]:
    raw = message.raw_input_contents
    shape = list(tensor.shape[:MAX_SHAPE_LENGTH])
    if not raw:
        return element_texts(shape, tensor.contents.bytes_contents, max_texts)
    if len(raw) != 1:
        raise RequestError(f"raw_input_contents: found {len(raw)} tensors; expected one for each input, 1")
    if tensor.HasField("contents"):
        raise RequestError("inputs[0].contents: the request also has raw_input_contents; send one of the two")
    return binary_texts(shape, raw[0], max_texts)


def message_reply(prediction: Prediction, request: InferRequest, request_id: str) -> Any:
    """Return the ModelInferResponse. Its tensors are raw if those of the request were."""
    response = pb.ModelInferResponse(
        model_name=prediction.model_name, model_version=prediction.model_version, id=request.id or request_id
    )
    response.parameters["request_id"].string_param = request_id
    if prediction.truncated:
        response.parameters["truncated"].int64_param = prediction.truncated
    for output, _ in request.outputs:
        datatype, shape = tensor_type(output, len(request.texts))
        tensor = response.outputs.add(name=output, datatype=datatype, shape=shape)
        if request.raw:
            response.raw_output_contents.append(raw_output(output, prediction))
        elif output == "label":
            tensor.contents.bytes_contents.extend(LABEL_BYTES[label] for label in prediction.labels)
        elif output in EXTRA_OUTPUTS:
            tensor.contents.bytes_contents.extend(extra_values(output, prediction))
        else:
            tensor.contents.fp32_contents.extend(numbers(output, prediction).ravel().tolist())
    return response
