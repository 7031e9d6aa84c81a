"""The OpenAPI document of the HTTP API: every route with its schemas, an example, and its errors.

Example: `openapi_document("sentiment")["paths"]["/v2/models/sentiment/infer"]["post"]`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from serving.api.openapi.responses import ERROR_RESPONSES, HEADERS
from serving.api.openapi.schemas import SCHEMAS, STRING, ref
from serving.protocol import metadata
from serving.protocol.cloud_events import MEDIA_TYPE
from serving.protocol.metadata import LABEL_ORDER, SERVER_NAME

_TEXT: Final = "It broke after two days."
_PROBABILITIES: Final = [0.91, 0.07, 0.02]
_REQUEST_ID: Final = "0f4e9c1b2a7d4c5e8f60718293a4b5c6"

_V2, _V1, _SERVER = "Open Inference Protocol", "KServe V1", "Server"
_TAGS: Final = {
    _V2: "Version 2 of the inference protocol. Requests in other clients' binary format are served as well.",
    _V1: "KServe's version 1 protocol, and feedback for its and all other predictions.",
    _SERVER: "The process itself.",
}

_V1_REQUEST: Final = {"instances": [_TEXT]}
_V1_REPLY: Final = {
    "predictions": [
        {
            "label": "negative",
            "confidence": 0.91,
            "probabilities": dict(zip(LABEL_ORDER.split(","), _PROBABILITIES, strict=True)),
        }
    ]
}
_EVENTS: Final = MEDIA_TYPE.decode()
_V1_EVENT: Final = {"specversion": "1.0", "id": "1", "source": "shop", "type": "review", "data": _V1_REQUEST}
_V1_EVENT_REPLY: Final = {
    "specversion": "1.0",
    "id": _REQUEST_ID,
    "source": "io.kserve.inference.sentiment",
    "type": "io.kserve.inference.response",
    "time": "2026-11-30T09:00:00+00:00",
    "data": _V1_REPLY,
}
_PLACE: Final = {"start": 3, "end": 8, "utf8_start": 3, "utf8_end": 8, "utf16_start": 3, "utf16_end": 8}
_V1_REASONS: Final = {
    "explanations": [
        {"label": "negative", "confidence": 0.91, "words": [_PLACE | {"text": "broke", "effect": 0.52}]},
    ]
}
_V2_REQUEST: Final = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [_TEXT]}]}
_FEEDBACK: Final = {"request_id": _REQUEST_ID, "item": 0, "label": "negative"}

_LIMITED: Final = ("401", "429")
_MODEL: Final = ("404", "503")
_BODY: Final = ("400", "413", "415", "503", "504")

_SECURITY: Final = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}
_ALLOWANCE: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def openapi_document(model: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the server for a model of this name."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": SERVER_NAME,
            "version": version(SERVER_NAME),
            "description": f"Labels in every probability vector: {LABEL_ORDER}. A request counts once towards the "
            "rate limit, however many texts it holds; health, metrics and the page for people do not count.",
        },
        "servers": [{"url": "/"}],
        # The empty entry: a server without API_KEYS_FILE asks for no key.
        "security": [{}, *({name: []} for name in _SECURITY)],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": _v2_paths(model) | _v1_paths(model) | _server_paths(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": _SECURITY,
            "responses": ERROR_RESPONSES,
            "headers": HEADERS,
        },
    }


def _v2_paths(model: str) -> dict[str, Any]:
    own = f"/v2/models/{model}"
    names = {"models": [model]}
    ready = {"name": model, "ready": True}
    index = metadata.repository_index(model, ["3"], True, "")
    about = metadata.model_metadata(model, ["3"])
    paths: dict[str, Any] = {
        "/v2": _get("server_metadata", _V2, "Metadata of the server", "MetadataServerResponse", _server()),
        "/v2/health/live": _get("server_live", _V2, "The process answers", "ServerLiveResponse", {"live": True}, ()),
        "/v2/health/ready": _get(
            "server_ready", _V2, "The model would answer", "ServerReadyResponse", {"ready": True}, ("503",)
        ),
        "/v2/models": _get("list_models", _V2, "Names of the models", "V1ModelList", names),
    }
    for suffix, path in (("", own), ("_of_version", f"{own}/versions/{{version}}")):
        parameters = {"parameters": [_version_parameter()]} if suffix else {}
        infer = _post(f"infer{suffix}", _V2, "Score texts", ("InferenceRequest", _V2_REQUEST))
        reply = _ok("InferenceResponse", _v2_reply(model), "X-Model-Version", *_ALLOWANCE)
        infer["post"]["responses"] = {"200": reply} | infer["post"]["responses"]
        described = _get(f"model_metadata{suffix}", _V2, "Metadata of the model", "MetadataModelResponse", about)
        readiness = _get(f"model_ready{suffix}", _V2, "Readiness of the model", "ModelReadyResponse", ready, _MODEL)
        paths |= {path: described | parameters, f"{path}/ready": readiness | parameters}
        paths[f"{path}/infer"] = infer | parameters
    listed = _get("repository_index", _V2, "Loaded versions and their state", "RepositoryIndexResponse", index)
    again = listed["get"] | {"operationId": "repository_index_by_post"}
    return paths | {"/v2/repository/index": listed | {"post": again}}


def _v1_paths(model: str) -> dict[str, Any]:
    own = f"/v1/models/{model}"
    predict = _post("predict", _V1, "Score texts", ("V1PredictRequest", _V1_REQUEST))
    reply = _ok("V1PredictResponse", _V1_REPLY, "X-Model-Version", *_ALLOWANCE)
    predict["post"]["responses"] = {"200": reply} | predict["post"]["responses"]
    predict["post"]["requestBody"]["content"][_EVENTS] = {"schema": ref("V1RequestEvent"), "example": _V1_EVENT}
    reply["content"][_EVENTS] = {"schema": ref("V1ReplyEvent"), "example": _V1_EVENT_REPLY}
    explain = _post("explain", _V1, "Name the words that carried the label", ("V1ExplainRequest", _V1_REQUEST))
    reasons = _ok("V1ExplainResponse", _V1_REASONS, "X-Model-Version", *_ALLOWANCE)
    explain["post"]["responses"] = {"200": reasons} | explain["post"]["responses"]
    feedback = _post("feedback", _V1, "Store the right label of a text (FEEDBACK=on)", ("Feedback", _FEEDBACK))
    stored = _ok("Feedback", _FEEDBACK, *_ALLOWANCE, description="The label is stored.")
    feedback["post"]["responses"] = {"202": stored} | feedback["post"]["responses"]
    ready = {"name": model, "ready": True}
    return {
        "/v1/models": _get("list_models_v1", _V1, "Names of the models", "V1ModelList", {"models": [model]}),
        own: _get("model_ready_v1", _V1, "Readiness of the model", "ModelReadyResponse", ready, _MODEL),
        f"{own}:predict": predict,
        f"{own}:explain": explain,
        f"{own}/feedback": feedback,
    }


def _server_paths() -> dict[str, Any]:
    alive = _get("root", _SERVER, "The process answers; a browser gets the page for people", "V1Status", _ALIVE, ())
    alive["get"]["responses"]["200"]["content"]["text/html"] = {"schema": STRING}
    return {
        "/": alive,
        "/metrics": _text("metrics", "Prometheus metrics", "text/plain", ()),
        "/openapi.json": _text("openapi", "This document", "application/json", _LIMITED, {"type": "object"}),
        "/docs": _text("docs", "This document as a page", "text/html", _LIMITED),
    }


_ALIVE: Final = {"status": "alive"}


def _server() -> dict[str, Any]:
    return metadata.server_metadata()


def _v2_reply(model: str) -> dict[str, Any]:
    return {
        "model_name": model,
        "model_version": "3",
        "id": _REQUEST_ID,
        "parameters": {"request_id": _REQUEST_ID},
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["negative"]},
            {"name": "confidence", "datatype": "FP32", "shape": [1], "data": [0.91]},
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": _PROBABILITIES},
        ],
    }


def _post(name: str, tag: str, summary: str, request: tuple[str, Any]) -> dict[str, Any]:
    """Return a POST operation; its successful reply is added by the caller."""
    schema, example = request
    body = {"required": True, "content": {"application/json": {"schema": ref(schema), "example": example}}}
    errors = _errors((*_BODY, "404", "405", *_LIMITED))
    operation = {"operationId": name, "tags": [tag], "summary": summary, "requestBody": body, "responses": errors}
    return {"post": operation}


def _get(
    name: str, tag: str, summary: str, schema: str, example: Any, errors: tuple[str, ...] = _LIMITED
) -> dict[str, Any]:
    headers = _ALLOWANCE if "429" in errors else ()
    responses = {"200": _ok(schema, example, *headers)} | _errors((*errors, "405"))
    return {"get": {"operationId": name, "tags": [tag], "summary": summary, "responses": responses}}


def _text(
    name: str, summary: str, media_type: str, errors: tuple[str, ...], schema: dict[str, Any] = STRING
) -> dict[str, Any]:
    responses = {"200": {"description": "OK", "content": {media_type: {"schema": schema}}}} | _errors((*errors, "405"))
    return {"get": {"operationId": name, "tags": [_SERVER], "summary": summary, "responses": responses}}


def _ok(schema: str, example: Any, *headers: str, description: str = "OK") -> dict[str, Any]:
    names = ("X-Request-Id", *headers)
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {"application/json": {"schema": ref(schema), "example": example}},
    }


def _errors(codes: tuple[str, ...]) -> dict[str, Any]:
    return {code: {"$ref": f"#/components/responses/{code}"} for code in sorted(codes)}


def _version_parameter() -> dict[str, Any]:
    text = "The number of a loaded version."
    return {"name": "version", "in": "path", "required": True, "description": text, "schema": STRING, "example": "3"}
