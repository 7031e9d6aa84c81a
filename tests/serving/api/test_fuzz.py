"""Requests nobody would write on purpose: never a 5xx, never a hang, and the next good request is answered right."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.live_server import LiveServer
from tests.support.wire import Wire

INFER = "/v2/models/sentiment/infer"
PREDICT = "/v1/models/sentiment:predict"
STABLE = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
texts = st.text(max_size=40)


def mostly(good: Any) -> st.SearchStrategy[Any]:
    """The right value three times of four."""
    return st.sampled_from([True, True, True, False]).flatmap(lambda right: good if right else values)


tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": mostly(st.just("text")),
        "shape": mostly(st.lists(st.integers(-2, 6), max_size=3)),
        "datatype": mostly(st.just("BYTES")),
        "data": mostly(st.lists(texts | st.lists(texts, max_size=3), max_size=6)),
        "parameters": mostly(st.dictionaries(st.just("binary_data_size"), mostly(st.integers(-5, 60)))),
    },
)
infer_objects = st.fixed_dictionaries(
    {"inputs": mostly(st.lists(tensors, min_size=1, max_size=2))},
    optional={
        "id": mostly(st.text()),
        "parameters": mostly(st.dictionaries(st.sampled_from(["binary_data_output", "x"]), values)),
        "outputs": mostly(
            st.lists(
                st.fixed_dictionaries(
                    {"name": mostly(st.sampled_from(["label", "confidence", "probabilities"]))},
                    optional={"parameters": mostly(st.dictionaries(st.just("binary_data"), values))},
                ),
                max_size=3,
            )
        ),
    },
)
predict_objects = st.fixed_dictionaries(
    {}, optional={"instances": mostly(st.lists(texts | st.dictionaries(st.just("text"), mostly(texts)), max_size=6))}
)
elements = st.lists(st.binary(max_size=12), max_size=5).map(
    lambda items: b"".join(struct.pack("<I", len(item)) + item for item in items)
)


def encoded(objects: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Bodies: the object, any other JSON, or no JSON at all."""
    as_json = (objects | values).map(lambda content: json.dumps(content).encode())
    return (
        as_json
        | st.binary(max_size=60)
        | as_json.flatmap(lambda body: st.integers(0, len(body)).map(lambda n: body[:n]))
    )


headers = st.fixed_dictionaries(
    {},
    optional={
        "inference-header-content-length": mostly(st.integers(0, 200)).map(str),
        "content-encoding": st.sampled_from(["gzip", "deflate", "identity", "br", ""]),
        "accept-encoding": st.sampled_from(["gzip", "gzip;q=0", "*", ",;,"]),
        "content-type": st.sampled_from(["application/json", "text/plain", "x"]),
        # A client library refuses to send a value with blanks at its ends.
        "x-user-id": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip),
        "x-forwarded-for": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip),
    },
).map(lambda chosen: [(name.encode(), value.encode("latin-1", "replace")) for name, value in chosen.items()])
paths = (
    st.sampled_from([INFER, PREDICT, "/v2/models/sentiment", "/v2/repository/index", "/v2", "/", "/docs"])
    | st.text(max_size=20).map(lambda text: f"/v2/models/{text}")
    | st.text(max_size=20).map(lambda text: f"/v2/models/sentiment/versions/{text}/infer")
    | st.text(max_size=20).map(lambda text: f"/{text}")
)


async def call(wire: Wire, method: str, path: str, body: bytes, sent: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """Send one request straight to the application."""
    messages: list[Any] = [{"type": "http.request", "body": body}]
    replies: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        replies.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": sent, "client": ("127.0.0.1", 1)}
    async with asyncio.timeout(10):
        await wire.routes(scope, receive, send)
    return replies[0]["status"], b"".join(reply.get("body", b"") for reply in replies[1:])


def check(status: int, body: bytes) -> None:
    """A reply, never a server's error; an error in the one format."""
    assert status < 500, body
    if status >= 400:
        assert list(orjson.loads(body)) == ["error"]


GOOD = orjson.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]})


@pytest.fixture
async def fuzzed(make_wire: Callable[..., Any]) -> AsyncIterator[Wire]:
    """A wire whose good answer is the same before and after."""
    wire: Wire = await make_wire()
    before = orjson.loads((await call(wire, "POST", INFER, GOOD, []))[1])["outputs"]
    yield wire
    assert orjson.loads((await call(wire, "POST", INFER, GOOD, []))[1])["outputs"] == before


@settings(STABLE, max_examples=1500)
@given(body=encoded(infer_objects), sent=headers)
async def test_v2_infer(fuzzed: Wire, body: bytes, sent: list[tuple[bytes, bytes]]) -> None:
    check(*await call(fuzzed, "POST", INFER, body, sent))


@settings(STABLE, max_examples=1500)
@given(body=encoded(predict_objects), sent=headers)
async def test_v1_predict(fuzzed: Wire, body: bytes, sent: list[tuple[bytes, bytes]]) -> None:
    check(*await call(fuzzed, "POST", PREDICT, body, sent))


@settings(STABLE, max_examples=700)
@given(tensor=tensors, tail=elements | st.binary(max_size=60), shift=st.integers(-3, 3))
async def test_v2_binary(fuzzed: Wire, tensor: dict[str, Any], tail: bytes, shift: int) -> None:
    size = {"parameters": {"binary_data_size": len(tail)}}
    head = json.dumps({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2]} | tensor | size]}).encode()
    sent = [(b"inference-header-content-length", str(len(head) + shift * (shift > 1)).encode())]
    check(*await call(fuzzed, "POST", INFER, head + tail, sent))


@settings(STABLE, max_examples=700)
@given(method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "FROB"]), path=paths)
async def test_paths_and_methods(fuzzed: Wire, method: str, path: str) -> None:
    check(*await call(fuzzed, method, path, GOOD, []))


def test_over_the_socket(server: LiveServer) -> None:
    """A few hundred of the same over a real connection to the real server."""
    statuses: set[int] = set()
    with httpx.Client(base_url=server.http, timeout=10) as client:
        before = client.post(INFER, content=GOOD).json()["outputs"]

        @settings(STABLE, max_examples=300)
        @given(
            body=encoded(infer_objects | predict_objects) | st.just(GOOD),
            sent=headers,
            path=st.sampled_from([INFER, PREDICT]),
        )
        def send(body: bytes, sent: list[tuple[bytes, bytes]], path: str) -> None:
            reply = client.post(path, content=body, headers=sent)
            check(reply.status_code, reply.content)
            statuses.add(reply.status_code)

        send()
        assert client.post(INFER, content=GOOD).json()["outputs"] == before
    assert {200, 400} <= statuses
