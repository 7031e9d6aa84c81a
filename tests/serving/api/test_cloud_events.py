"""CloudEvents over V1: read by the CloudEvents library, and the same as stock KServe's replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http
from kserve import Model
from kserve.model_repository import ModelRepository
from kserve.protocol.dataplane import DataPlane

from tests.support.wire import Wire

PATH = "/v1/models/sentiment:predict"
V1 = {"instances": ["The zoom is superb."]}
EVENT = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "shop/reviews",
    "type": "shop.review.written",
    "time": "2026-11-30T09:00:00Z",
}
OWN = ("id", "time")
"""Attributes that differ between any two replies."""


class Stock(Model):  # type: ignore[misc]  # kserve ships no types
    """A model of stock KServe that answers every request with the same predictions."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("sentiment")
        self.answer = answer
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        del headers, response_headers
        assert payload == V1
        return self.answer


def stock(body: bytes, headers: dict[str, str], answer: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """Return the body and the headers of stock KServe's reply, as its V1 endpoint makes them."""
    repository = ModelRepository()
    repository.update(Stock(answer))
    plane = DataPlane(repository)
    content, attributes = plane.decode(body=body, headers=headers)
    response, more = asyncio.run(plane.infer("sentiment", content, headers=headers))
    response, encoded = plane.encode("sentiment", response, headers, attributes)
    return response, more | encoded


def attributes_of(headers: Any) -> dict[str, str]:
    """Return the `ce-*` headers that two replies can have in common."""
    found = {name.lower(): value for name, value in headers.items() if name.lower().startswith("ce-")}
    return {name: value for name, value in found.items() if name.removeprefix("ce-") not in OWN}


async def test_a_binary_event_is_answered_as_stock_kserve_does(wire: Wire) -> None:
    headers, body = to_binary(CloudEvent(EVENT | {"traceid": "7"}, V1))
    reply = await wire.client.post(PATH, content=body, headers=headers)
    plain = (await wire.client.post(PATH, json=V1)).json()
    expected, expected_headers = await asyncio.to_thread(stock, body, headers, plain)
    assert reply.json() == orjson.loads(expected) == plain
    assert reply.headers["content-type"] == expected_headers["content-type"] == "application/json"
    assert attributes_of(reply.headers) == attributes_of(expected_headers)
    assert reply.headers["ce-id"] == reply.headers["x-request-id"]
    assert from_http(dict(reply.headers), reply.content)["type"] == "io.kserve.inference.response"


async def test_a_structured_event_is_answered_as_stock_kserve_does(wire: Wire) -> None:
    headers, body = to_structured(CloudEvent(EVENT, V1))
    reply = await wire.client.post(PATH, content=body, headers=headers)
    plain = (await wire.client.post(PATH, json=V1)).json()
    expected, expected_headers = await asyncio.to_thread(stock, body, headers, plain)
    assert reply.headers["content-type"] == expected_headers["content-type"] == "application/cloudevents+json"
    found, wanted = reply.json(), orjson.loads(expected)
    assert list(found) == list(wanted)
    assert {name: found[name] for name in found if name not in OWN} == {
        name: wanted[name] for name in wanted if name not in OWN
    }
    event = from_http(dict(reply.headers), reply.content)
    assert event.get_data() == plain
    assert event["source"] == "io.kserve.inference.sentiment"


@pytest.mark.parametrize("write", [to_binary, to_structured])
async def test_attributes_are_merged_as_stock_kserve_does(
    make_wire: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, write: Callable[..., Any]
) -> None:
    for name, value in (("CE_MERGE", "true"), ("CE_TYPE", "scored"), ("CE_SOURCE", "here")):
        monkeypatch.setenv(name, value)
    wire: Wire = await make_wire()
    headers, body = write(CloudEvent(EVENT | {"traceid": "7", "datacontenttype": "application/json"}, V1))
    reply = await wire.client.post(PATH, content=body, headers=headers)
    plain = (await wire.client.post(PATH, json=V1)).json()
    expected, expected_headers = await asyncio.to_thread(stock, body, headers, plain)
    assert attributes_of(reply.headers) == attributes_of(expected_headers)
    found = from_http(dict(reply.headers), reply.content)
    wanted = from_http({name: str(value) for name, value in expected_headers.items()}, expected)
    assert found.get_data() == wanted.get_data() == plain
    assert {name: found[name] for name in found if name not in OWN} == {
        name: wanted[name] for name in wanted if name not in OWN
    }
    assert (found["traceid"], found["type"], found["source"]) == ("7", "scored", "here")


async def test_an_event_sent_as_json_gets_plain_json(wire: Wire) -> None:
    reply = await wire.client.post(PATH, json=EVENT | {"data": V1})
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json()) == ["predictions"]


async def test_the_media_type_may_have_parameters(wire: Wire) -> None:
    _, body = to_structured(CloudEvent(EVENT, V1))
    headers = {"content-type": "application/CloudEvents+json; charset=utf-8"}
    assert (await wire.client.post(PATH, content=body, headers=headers)).json()["specversion"] == "1.0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": None}, "id: found null"),
        ({"source": ...}, "source: found no such member"),
        ({"type": 7}, "type: found a number"),
        ({"specversion": "2.0"}, "specversion: found '2.0'"),
        ({"data": ...}, "data: found null"),
        ({"data": "text"}, "data: found a string"),
        ({"data": {}}, "instances: found no such member"),
    ],
)
async def test_a_malformed_structured_event_is_400_in_our_format(
    wire: Wire, changes: dict[str, Any], words: str
) -> None:
    content = {name: value for name, value in (EVENT | {"data": V1} | changes).items() if value is not ...}
    headers = {"content-type": "application/cloudevents+json"}
    reply = await wire.client.post(PATH, content=orjson.dumps(content), headers=headers)
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/json"
    assert words in reply.json()["error"]


async def test_a_malformed_binary_event_is_400_in_our_format(wire: Wire) -> None:
    headers, body = to_binary(CloudEvent(EVENT, V1))
    unknown: httpx.Response = await wire.client.post(PATH, content=body, headers=headers | {"ce-specversion": "9"})
    assert unknown.status_code == 400
    assert "ce-specversion: found '9'" in unknown.json()["error"]
    broken = await wire.client.post(PATH, content=b"{", headers=headers)
    assert (broken.status_code, list(broken.json())) == (400, ["error"])


async def test_headers_of_a_part_of_an_event_do_not_make_one(wire: Wire) -> None:
    reply = await wire.client.post(PATH, json=V1, headers={"ce-id": "1", "ce-type": "x"})
    assert reply.status_code == 200
    assert "ce-id" not in reply.headers
