"""JSON schemas of the HTTP API: those of the Open Inference Protocol by their own names, and those of KServe's V1.

Source of the V2 shapes: `open_inference_rest.yaml` of the Open Inference Protocol. Its names are in Pascal case here,
as client generators and KServe's own data models write them (`inference_request` is `InferenceRequest`).
"""

from __future__ import annotations

from typing import Any, Final

from feature_checks.contract import LABELS
from serving.documents.decision import UNSURE
from serving.documents.evidence import MAX_EXPLAINED
from serving.protocol.common import EXTRA_OUTPUTS, OUTPUTS
from serving.protocol.priority import PRIORITIES

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
LABEL: Final[Schema] = {"type": "string", "enum": list(LABELS)}


def ref(name: str) -> Schema:
    """Return a reference to a schema of this module."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, **more: Any) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **more}


def _object(description: str, required: dict[str, Schema], **optional: Schema) -> Schema:
    properties = required | optional
    return {"type": "object", "description": description, "required": list(required), "properties": properties}


_TENSOR: Final[dict[str, Schema]] = {
    "name": STRING,
    "shape": array({"type": "integer"}),
    "datatype": {"type": "string", "description": "A tensor data type of the protocol, such as BYTES or FP32."},
}
_OFFSETS: Final[dict[str, Schema]] = {
    name: {"type": "integer", "minimum": 0, "description": f"In {unit}; `end` is not included."}
    for prefix, unit in (("", "code points"), ("utf8_", "bytes of UTF-8"), ("utf16_", "code units of UTF-16"))
    for name in (f"{prefix}start", f"{prefix}end")
}
_MAX_ERROR: Final[Schema] = {
    "type": "number",
    "exclusiveMinimum": 0,
    "exclusiveMaximum": 1,
    "description": "The share of wrong answers that the output `decision` accepts; it is `unsure` for other texts.",
}
_READY: Final[dict[str, Schema]] = {"name": STRING, "ready": BOOLEAN}

_OPEN_INFERENCE: Final[dict[str, Schema]] = {
    "Parameters": {
        "type": "object",
        "description": "Named values beside a reply or a tensor.",
        "additionalProperties": {"anyOf": [STRING, {"type": "number"}, BOOLEAN]},
    },
    "RequestParameters": {
        "type": "object",
        "description": "What a request asks for beside its texts. Other members are ignored.",
        "properties": {
            "truncate": {
                "type": "boolean",
                "default": False,
                "description": "Cut a text of more than 20,000 characters there instead of refusing it.",
            },
            "priority": {
                "type": "string",
                "enum": list(PRIORITIES),
                "description": "`online` is served before `bulk`. Without it, the size of the request decides.",
            },
            "max_error": _MAX_ERROR,
        },
        "additionalProperties": {"anyOf": [STRING, {"type": "number"}, BOOLEAN]},
    },
    "TensorElement": {"anyOf": [{"type": "number"}, STRING, BOOLEAN]},
    # The protocol's schema refers to itself; client generators refuse that, and one level is all that a tensor of this
    # model has.
    "TensorData": array(
        {"anyOf": [ref("TensorElement"), array(ref("TensorElement"))]},
        description="The elements of a tensor in row-major order, flat or nested once.",
    ),
    "RequestInput": _object(
        "One input tensor. The model has one: `text`, datatype BYTES, shape [n].",
        _TENSOR | {"data": ref("TensorData")},
        parameters=ref("Parameters"),
    ),
    "RequestOutput": _object(
        f"An output to return: {', '.join(f'`{name}`' for name in OUTPUTS + EXTRA_OUTPUTS)}.",
        {"name": STRING},
        parameters=ref("Parameters"),
    ),
    "InferenceRequest": _object(
        "An inference request. Without `outputs` the reply holds `label`, `confidence` and `probabilities`.",
        {"inputs": array(ref("RequestInput"))},
        id=STRING,
        parameters=ref("RequestParameters"),
        outputs=array(ref("RequestOutput")),
    ),
    "ResponseOutput": _object(
        "One output tensor: `label` BYTES [n], `confidence` FP32 [n], `probabilities` FP32 [n, 3], or JSON, BYTES [n]: "
        "`sentences` (each element a list of `Sentence`) and `evidence` (each element an `Evidence`). `language`, "
        "`decision` and `reason` are BYTES [n].",
        _TENSOR | {"data": ref("TensorData")},
        parameters=ref("Parameters"),
    ),
    "InferenceResponse": _object(
        "The reply to an inference request. The parameter `request_id` identifies the request in the prediction log.",
        {"model_name": STRING, "outputs": array(ref("ResponseOutput"))},
        model_version=STRING,
        id=STRING,
        parameters=ref("Parameters"),
    ),
    "InferenceErrorResponse": _object(
        "Every error: what was found, where, and what would be right.", {"error": STRING}
    ),
    "MetadataTensor": _object("Name, datatype and shape of a tensor; -1 stands for any size.", _TENSOR),
    "MetadataServerResponse": _object("The server.", {"name": STRING, "version": STRING, "extensions": array(STRING)}),
    "MetadataModelResponse": _object(
        "The model. The parameter `labels` is the order of every probability vector.",
        {"name": STRING, "platform": STRING},
        versions=array(STRING),
        inputs=array(ref("MetadataTensor")),
        outputs=array(ref("MetadataTensor")),
        parameters=ref("Parameters"),
    ),
    "RepositoryIndexResponse": array(
        _object(
            "One version of a model.",
            {"name": STRING},
            version=STRING,
            state={"type": "string", "enum": ["READY", "UNAVAILABLE"]},
            reason=STRING,
        ),
        description="The loaded versions and their state.",
    ),
    "ServerLiveResponse": _object("Whether the process answers.", {"live": BOOLEAN}),
    "ServerReadyResponse": _object("Whether the model would answer.", {"ready": BOOLEAN}),
    "ModelReadyResponse": _object("Whether the model or one version of it would answer.", _READY),
}

_EVENT: Final[dict[str, Schema]] = {
    "specversion": {"type": "string", "enum": ["1.0", "0.3"]},
    "id": STRING,
    "source": STRING,
    "type": STRING,
}
_EVENT_OPTIONAL: Final[dict[str, Schema]] = {"time": STRING, "subject": STRING, "datacontenttype": STRING}

_V1: Final[dict[str, Schema]] = {
    "V1Instance": {"anyOf": [STRING, _object("A text as an object.", {"text": STRING})]},
    "V1PredictRequest": _object(
        "The texts to score. Without `outputs` a prediction holds `label`, `confidence` and `probabilities`.",
        {"instances": array(ref("V1Instance"))},
        outputs=array({"type": "string", "enum": list(OUTPUTS + EXTRA_OUTPUTS)}),
        max_error=_MAX_ERROR,
        parameters=ref("RequestParameters"),
    ),
    "V1ExplainRequest": _object(
        f"The texts to explain, at most {MAX_EXPLAINED}.",
        {"instances": array(ref("V1Instance"))},
        parameters=ref("RequestParameters"),
    ),
    "V1ExplainResponse": _object("One explanation for each text.", {"explanations": array(ref("Evidence"))}),
    "Sentence": _object("One sentence of a text and its own label.", _OFFSETS | {"label": LABEL, "confidence": SHARE}),
    "Word": _object(
        "A word, and how much less probable the label is without it.",
        _OFFSETS | {"text": STRING, "effect": {"type": "number", "minimum": -1, "maximum": 1}},
    ),
    "Evidence": _object(
        "The label of a text and the words that carried it, the strongest first.",
        {"label": LABEL, "confidence": SHARE, "words": array(ref("Word"))},
    ),
    "V1Probabilities": _object("One probability for each label.", dict.fromkeys(LABELS, SHARE)),
    "V1Prediction": _object(
        "The answer for one text, with the members that `outputs` named; `confidence` is the probability of its label.",
        {},
        label=LABEL,
        confidence=SHARE,
        probabilities=ref("V1Probabilities"),
        sentences=array(ref("Sentence")),
        evidence=ref("Evidence"),
        language={"type": "string", "description": "By ISO 639-1; `und` where it cannot be told."},
        decision={"type": "string", "enum": [*LABELS, UNSURE]},
        reason={"type": "string", "description": "Why the decision is `unsure`; otherwise empty."},
    ),
    "V1PredictResponse": _object("One prediction for each text.", {"predictions": array(ref("V1Prediction"))}),
    "V1RequestEvent": _object(
        "A predict request inside a CloudEvent. KServe's replies to events are events.",
        _EVENT | {"data": ref("V1PredictRequest")},
        **_EVENT_OPTIONAL,
    ),
    "V1ReplyEvent": _object(
        "The reply to an event; its `id` is the request id.",
        _EVENT | {"data": ref("V1PredictResponse")},
        **_EVENT_OPTIONAL,
    ),
    "V1ModelList": _object("The names of the models.", {"models": array(STRING)}),
    "V1Status": _object("Whether the process answers.", {"status": {"type": "string", "const": "alive"}}),
    "Feedback": _object(
        "The right label of a text that was scored before.",
        {
            "request_id": {"type": "string", "description": "The X-Request-Id of the reply.", "maxLength": 200},
            "label": LABEL,
        },
        item={"type": "integer", "minimum": 0, "default": 0, "description": "The index of the text in its request."},
    ),
}

SCHEMAS: Final[dict[str, Schema]] = _OPEN_INFERENCE | _V1
