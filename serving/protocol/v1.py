"""The V1 protocol: `{"instances": ["…"] | [{"text": "…"}]}` in, `{"predictions": […]}` out; explanations likewise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

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
    check_texts,
    kind,
    max_values,
    parse_object,
    quoted,
)
from serving.protocol.options import MAX_ERROR, Options, parse_max_error

_EVIDENCE: Final = (("evidence", False),)


def parse_predict(body: bytes, header_length: bytes | None, max_texts: int) -> InferRequest:  # noqa: ARG001
    """Return the parsed predict request. V1 has no binary tensors: `header_length` is ignored.

    Raises RequestError or TooLarge.
    """
    content = parse_object(body, max_values(max_texts))
    if "specversion" in content and isinstance(content.get("data"), dict):
        # KServe takes an event for what it is even if its Content-Type is only JSON, and answers with plain JSON.
        content = content["data"]
    return request_of(content, max_texts)


def parse_explain(body: bytes, header_length: bytes | None, max_texts: int) -> InferRequest:
    """Return the parsed explain request, which looks like a predict request. Raises RequestError or TooLarge."""
    request = parse_predict(body, header_length, max_texts)
    request.outputs = _EVIDENCE
    return request


def request_of(content: dict[str, Any], max_texts: int) -> InferRequest:
    """Return the request in decoded JSON. Raises RequestError or TooLarge."""
    instances = content.get("instances")
    if not isinstance(instances, list):
        type_name = kind(instances) if "instances" in content else "no such member"
        raise RequestError(f'instances: found {type_name}; expected a list such as ["…"] or [{{"text": "…"}}]')
    check_count(len(instances), max_texts, "instances")
    texts = [_text_of(instance, index) for index, instance in enumerate(instances)]
    if len(content) == 1:  # as nearly every request: looking for options would take as long as all the above
        return InferRequest(texts, check_texts(texts, "instances"))
    outputs = _outputs(content.get("outputs"))
    options = Options.of(content.get("parameters"))
    texts, normalised, cut = options.accept(texts, "instances")
    request = InferRequest(texts, normalised, outputs=outputs, priority=options.priority, truncated=cut)
    request.max_error = _max_error(content, options)
    return request


def _max_error(content: dict[str, Any], options: Options) -> float | None:
    """Return the accepted error, which may also stand beside `outputs`. Raises RequestError."""
    if content.get(MAX_ERROR) is None:
        return options.max_error
    if options.max_error is not None:
        raise RequestError(f"{MAX_ERROR}: found here and in parameters; send one of the two")
    return parse_max_error(content[MAX_ERROR], MAX_ERROR)


def _outputs(names: Any) -> tuple[tuple[str, bool], ...]:
    """Return the requested outputs; the usual ones if none is named. Raises RequestError."""
    if names is None or names == []:
        return USUAL
    known = OUTPUTS + EXTRA_OUTPUTS
    if not isinstance(names, list):
        raise RequestError(f'outputs: found {kind(names)}; expected a list such as ["label", "sentences"]')
    for index, name in enumerate(names):
        if name not in known:
            raise RequestError(f"outputs[{index}]: found {quoted(name)}; the model's outputs are {', '.join(known)}")
        if name in names[:index]:
            raise RequestError(f"outputs[{index}]: {name!r} is requested twice; name each output once")
    return tuple((name, False) for name in names)


def _text_of(instance: Any, index: int) -> Any:
    if not isinstance(instance, dict):
        return instance
    if INPUT not in instance:
        raise RequestError(f'instances[{index}]: found no member "{INPUT}"; expected {{"{INPUT}": "…"}}')
    return instance[INPUT]


def predictions(prediction: Prediction) -> dict[str, Any]:
    """Return the content of a reply with the usual outputs; its numbers are NumPy scalars."""
    negative, neutral, positive = LABELS
    return {
        "predictions": [
            {
                "label": LABELS[label],
                "confidence": row[label],
                "probabilities": {negative: row[0], neutral: row[1], positive: row[2]},
            }
            for label, row in zip(prediction.labels, prediction.probabilities, strict=True)
        ]
    }


def predict_reply(prediction: Prediction, request: InferRequest, request_id: str) -> bytes:  # noqa: ARG001
    """Return the body of a predict reply. V1 bodies repeat neither the request nor its id."""
    content = predictions(prediction)
    if request.outputs != USUAL:
        content = {"predictions": list(_chosen(content["predictions"], prediction, request))}
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _chosen(usual: list[dict[str, Any]], prediction: Prediction, request: InferRequest) -> Iterator[dict[str, Any]]:
    """Yield the objects with the requested members, in the requested order."""
    for index, whole in enumerate(usual):
        yield {
            name: prediction.extras[name][index] if name in prediction.extras else whole[name]
            for name, _ in request.outputs
        }


def explain_reply(prediction: Prediction, request: InferRequest, request_id: str) -> bytes:  # noqa: ARG001
    """Return the body of an explain reply, in KServe's form."""
    return orjson.dumps({"explanations": prediction.extras["evidence"]})
