"""The OpenAPI document of the wire, with an example of each protocol, and a page that shows it without a CDN."""

from __future__ import annotations

import json
from html import escape
from importlib.metadata import version
from typing import Any, Final

from serving.metadata import LABEL_ORDER, SERVER_NAME

_TEXT: Final = "It broke after two days."
_PROBABILITIES: Final = [0.91, 0.07, 0.02]

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
_V2_REQUEST: Final = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [_TEXT]}]}
_FEEDBACK: Final = {"request_id": "0f4e…", "item": 0, "label": "negative"}

_ERRORS: Final = {
    "400": "malformed; the message says what, where, and what would be right",
    "404": "unknown model or version",
    "413": "body, batch or text too large",
    "415": "unknown Content-Encoding",
    "429": "rate limit spent; see Retry-After",
    "503": "not ready or overloaded; see Retry-After",
    "504": "deadline exceeded",
}


def openapi_document(model: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the server for a model of this name."""
    v1, v2 = f"/v1/models/{model}", f"/v2/models/{model}"
    infer = {"post": _call("Predict, Open Inference Protocol", _V2_REQUEST, _v2_reply(model))}
    ready, about = _get("Readiness of the model"), _get("Metadata of the model")
    version_parameter = {"parameters": [_path_parameter("version", "a loaded version's number")]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": SERVER_NAME,
            "version": version(SERVER_NAME),
            "description": f"Labels in every probability vector: {LABEL_ORDER}. A request counts once towards the "
            "rate limit, however many texts it holds; health and metrics do not count.",
        },
        "paths": {
            f"{v1}:predict": {"post": _call("Predict, V1", _V1_REQUEST, _V1_REPLY)},
            f"{v2}/infer": infer,
            f"{v2}/versions/{{version}}/infer": infer | version_parameter,
            f"{v2}": about,
            f"{v2}/versions/{{version}}": about | version_parameter,
            f"{v2}/ready": ready,
            f"{v2}/versions/{{version}}/ready": ready | version_parameter,
            f"{v1}": ready,
            f"{v1}/feedback": {"post": _call("Store a true label (FEEDBACK=on)", _FEEDBACK, _FEEDBACK, "202")},
            "/v1/models": _get("Names of the models"),
            "/v2": _get("Metadata of the server"),
            "/v2/health/live": _get("The process is alive"),
            "/v2/health/ready": _get("The model would answer"),
            "/v2/repository/index": _get("Loaded versions and their state"),
            "/metrics": _get("Prometheus metrics"),
        },
        "components": {"schemas": {"Error": _ERROR_SCHEMA}},
    }


_ERROR_SCHEMA: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
    "additionalProperties": False,
}


def _v2_reply(model: str) -> dict[str, Any]:
    return {
        "model_name": model,
        "model_version": "3",
        "id": "0f4e…",
        "parameters": {"request_id": "0f4e…"},
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["negative"]},
            {"name": "confidence", "datatype": "FP32", "shape": [1], "data": [0.91]},
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": _PROBABILITIES},
        ],
    }


def _call(summary: str, request: Any, reply: Any, status: str = "200") -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    errors = {code: {"description": text, "content": error} for code, text in _ERRORS.items()}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"example": request}}},
        "responses": {status: {"description": "OK", "content": {"application/json": {"example": reply}}}} | errors,
    }


def _get(summary: str) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": {"description": "OK"}}}}


def _path_parameter(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def docs_page(document: dict[str, Any]) -> str:
    """Return a self-contained HTML page of the document: every route, and a curl line for those with a body."""
    info = document["info"]
    sections = [
        _section(method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in ("get", "post")
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "pre{background:#8881;padding:.6rem;overflow:auto}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}"
        '<p>Machine-readable: <a href="openapi.json">openapi.json</a>' + "".join(sections)
    )


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    head = f"<h3><code>{method} {escape(path)}</code></h3><p>{escape(operation['summary'])}"
    if "requestBody" not in operation:
        return head
    request = json.dumps(operation["requestBody"]["content"]["application/json"]["example"])
    success = next(iter(operation["responses"].values()))
    reply = json.dumps(success["content"]["application/json"]["example"], indent=1, ensure_ascii=False)
    command = f"curl http://localhost:8080{path} -d '{request}'"
    return f"{head}<pre>{escape(command)}</pre><pre>{escape(reply)}</pre>"
