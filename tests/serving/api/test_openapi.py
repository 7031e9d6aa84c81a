"""The OpenAPI document: valid, complete, and true of the running routes, examples and errors included."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from serving.api.openapi.document import openapi_document
from tests.support.wire import VERSION, Wire

DOCUMENT = openapi_document("sentiment")
METHODS = ("get", "post")
OPEN_INFERENCE = {
    "InferenceErrorResponse": {"error"},
    "InferenceRequest": {"id", "parameters", "inputs", "outputs"},
    "InferenceResponse": {"model_name", "model_version", "id", "parameters", "outputs"},
    "MetadataModelResponse": {"name", "versions", "platform", "inputs", "outputs"},
    "MetadataServerResponse": {"name", "version", "extensions"},
    "MetadataTensor": {"name", "datatype", "shape"},
    "RequestInput": {"name", "shape", "datatype", "parameters", "data"},
    "RequestOutput": {"name", "parameters"},
    "ResponseOutput": {"name", "shape", "datatype", "parameters", "data"},
}
"""Members of the protocol's own schemas (open_inference_rest.yaml)."""


def operations(document: dict[str, Any] = DOCUMENT) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def resolved(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response of the document, its reference followed."""
    reference = response.get("$ref")
    found: dict[str, Any] = DOCUMENT["components"]["responses"][reference.rsplit("/", 1)[1]] if reference else response
    return found


def check(reply: httpx.Response, operation: dict[str, Any]) -> None:
    """Assert that a reply is one that the operation documents: status, media type, headers and schema."""
    documented = resolved(operation["responses"][str(reply.status_code)])
    assert {name.lower() for name in documented.get("headers", {})} <= set(reply.headers) | RATE_LIMIT
    media_type = reply.headers["content-type"].split(";")[0]
    schema = documented["content"][media_type]["schema"]
    value = reply.json() if media_type == "application/json" else reply.text
    conform(value, schema)


RATE_LIMIT = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}
"""Headers that are absent where the limit is off, as it is in these tests."""


def conform(value: Any, schema: dict[str, Any]) -> None:
    """Raise ValidationError unless the value fits the schema, which may refer to the document's components."""
    jsonschema.Draft202012Validator(schema | {"components": DOCUMENT["components"]}).validate(value)


def url(path: str) -> str:
    return path.replace("{version}", VERSION)


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_validator_of_these_tests_sees_a_fault() -> None:
    with pytest.raises(jsonschema.ValidationError):
        conform({"model_name": "sentiment"}, {"$ref": "#/components/schemas/InferenceResponse"})
    with pytest.raises(jsonschema.ValidationError):
        conform([["nested", {}]], {"$ref": "#/components/schemas/TensorData"})


def test_the_protocol_s_schemas_are_published_by_their_names() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name, members in OPEN_INFERENCE.items():
        assert members <= set(schemas[name]["properties"]), name
    assert schemas["RequestInput"]["required"] == ["name", "shape", "datatype", "data"]
    assert schemas["InferenceResponse"]["required"] == ["model_name", "outputs"]
    assert schemas["TensorData"]["type"] == "array"


def test_every_operation_has_its_own_name_for_generated_clients() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


def references(value: Any) -> Iterator[str]:
    """Yield the name of every schema that a part of the document refers to."""
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.rsplit("/", 1)[1]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_no_schema_contains_itself_because_client_generators_refuse_that() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    inside = {name: set(references(schema)) for name, schema in schemas.items()}
    for name in schemas:
        reached, waiting = set(), list(inside[name])
        while waiting:
            reached.add(other := waiting.pop())
            waiting += inside[other] - reached
        assert name not in reached, name


async def test_every_route_is_documented(wire: Wire) -> None:
    served = {path for path in wire.routes.paths if not path.startswith("/static/")}
    documented = {path for path in DOCUMENT["paths"] if "{version}" not in path}
    assert documented == served
    versioned = {path.replace("/versions/{version}", "") for path in DOCUMENT["paths"] if "{version}" in path}
    assert versioned == {path for path in served if re.match(r"/v2/models/[^/]+", path)}


def test_every_example_fits_its_schema() -> None:
    checked = 0
    for _, _, operation in operations():
        contents = [operation.get("requestBody", {"content": {}})["content"]]
        contents += [resolved(response)["content"] for response in operation["responses"].values()]
        for media in (media for content in contents for media in content.values() if "example" in media):
            conform(media["example"], media["schema"])
            checked += 1
    assert checked > 60


@pytest.mark.parametrize(("path", "method"), [(path, method) for path, method, _ in operations() if path != "/metrics"])
async def test_every_operation_answers_as_documented(
    make_wire: Callable[..., Any], tmp_path: Any, path: str, method: str
) -> None:
    wire = await make_wire(feedback="on", prediction_log=str(tmp_path / "log"))
    operation = DOCUMENT["paths"][path][method]
    body = operation.get("requestBody")
    sent = body["content"]["application/json"]["example"] if body else None
    reply = await wire.client.request(method, url(path), json=sent)
    assert reply.status_code == (202 if path.endswith("/feedback") else 200)
    check(reply, operation)
    if body:
        malformed = await wire.client.post(url(path), content=b"{")
        assert malformed.status_code == 400
        check(malformed, operation)
        encoded = await wire.client.post(url(path), json=sent, headers={"content-encoding": "br"})
        assert encoded.status_code == 415
        check(encoded, operation)
    wrong = await wire.client.request("DELETE", url(path))
    assert wrong.status_code == 405
    check(wrong, operation)


async def test_refusals_are_as_documented(make_wire: Callable[..., Any], tmp_path: Path) -> None:
    path = "/v2/models/sentiment/infer"
    operation = DOCUMENT["paths"][path]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    empty = await make_wire(loaded=False)
    limited = await make_wire(rate_limit="1/minute")
    small = await make_wire(max_body_bytes=10)
    (tmp_path / "keys.jsonl").touch()
    guarded = await make_wire(api_keys_file=tmp_path / "keys.jsonl")
    await limited.client.get("/v2")
    for wire, status in ((empty, 503), (limited, 429), (small, 413), (guarded, 401)):
        reply = await wire.client.post(path, json=example)
        assert reply.status_code == status
        check(reply, operation)
    unknown = await small.client.get("/v2/models/sentiment/versions/99/ready")
    assert unknown.status_code == 404
    check(unknown, DOCUMENT["paths"]["/v2/models/sentiment/versions/{version}/ready"]["get"])


async def test_the_page_of_the_document_shows_every_route(wire: Wire) -> None:
    page = await wire.client.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for path, method, _ in operations():
        assert f"<code>{method.upper()} {path}</code>" in page.text
    assert "http" not in page.text.replace("http://localhost:8080", "")
