"""One handler answers every protocol, bounds the work that a request may cause, and never echoes much of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from serving.errors import Overloaded, RequestError, TooLarge
from serving.handlers import V1, V2, Call, Handlers, WireFormat
from serving.inference.engine import FakeEngine
from serving.predictor import Predictor
from serving.protocol.protobuf import decode_message, parse_message
from serving.settings import Settings
from tests.support.wire import Wire

MILLION = 1_000_000
V2_HEAD = b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": '


def test_what_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, prediction_log=str(tmp_path / "log"), log_queue_lines=1, feedback="on")
    handlers = Handlers(Predictor(settings), settings)  # the log's thread is not started, so the queue stays full
    body = b'{"request_id": "a", "label": "neutral"}'
    assert asyncio.run(handlers.feedback(body)).request_id == "a"
    with pytest.raises(Overloaded, match="send it again"):
        asyncio.run(handlers.feedback(body))


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (V1, b'{"instances": [' + b"[]," * MILLION + b"[]]}"),
        (V1, b'{"instances": [' + b'"a",' * MILLION + b'"a"]}'),
        (V1, b'{"instances": ["a"], "more": {"x":' + b'{"x":' * MILLION + b"1" + b"}" * MILLION + b"}}"),
        (V2, V2_HEAD + b"[" + b"1," * MILLION + b'1], "data": ["a"]}]}'),
        (V2, V2_HEAD + b'[1], "data": [' + b"[]," * MILLION + b"[]]}]}"),
        (V2, V2_HEAD + b'[1], "data": ["a"], "x": "\\\\", "y": [' + b"1," * MILLION + b"1]}]}"),
    ],
)
def test_json_with_too_many_values_is_refused_before_it_is_decoded(
    wire: WireFormat[bytes, Any], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    monkeypatch.setattr(orjson, "loads", lambda content: decoded.append(len(content)))
    with pytest.raises(TooLarge, match="JSON values"):
        wire.parse(body, None, 10_000)
    assert decoded == []


def test_texts_may_hold_any_number_of_separators_and_quotes() -> None:
    texts = ['a "quoted" \\ word, [and], more: ' + ',":[' * 1000 for _ in range(200)]
    assert V1.parse(orjson.dumps({"instances": texts}), None, 200).texts == texts


def test_a_full_batch_of_objects_with_other_members_is_accepted() -> None:
    instances = [{"text": "It is good.", "id": number, "tags": ["a", "b"]} for number in range(10_000)]
    assert len(V1.parse(orjson.dumps({"instances": instances}), None, 10_000).texts) == 10_000


@pytest.mark.parametrize("shape", [[1], [2 * MILLION]])
def test_protobuf_elements_are_counted_before_they_are_decoded(shape: list[int]) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=shape)
    tensor.contents.bytes_contents.extend([b"\xff"] * (2 * MILLION))  # decoding one would be another error
    message = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
    with pytest.raises(RequestError, match="2000000"):
        parse_message(message, None, 10_000)


def test_a_protobuf_shape_of_any_length_is_refused_at_once() -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1] * MILLION)
    with pytest.raises(RequestError, match="too many dimensions"):
        parse_message(pb.ModelInferRequest(model_name="sentiment", inputs=[tensor]), None, 10_000)


def nested(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format."""
    length, size = len(content), b""
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


@pytest.mark.parametrize(
    "fields",
    [
        nested(5, b"") * MILLION,
        nested(7, b"") * MILLION,
        nested(5, nested(3, b"\x01" * MILLION)),
        nested(5, nested(5, nested(8, b"") * MILLION)),
        nested(5, nested(5, nested(1, b"\x01" * MILLION))),
        nested(5, nested(4, nested(2, b"\x08\x01")) * MILLION),
        nested(4, nested(2, b"\x08\x01")) * MILLION,
        nested(6, nested(2, b"") * MILLION),
        b"\x08\x01" * MILLION,
    ],
    ids=["inputs", "raw", "shape", "elements", "booleans", "tensor parameters", "parameters", "outputs", "unknown"],
)
def test_protobuf_values_are_counted_before_the_message_is_decoded(fields: bytes) -> None:
    with pytest.raises(TooLarge, match="more than 170000 values"):
        decode_message(nested(1, b"sentiment") + fields, 10_000)


def test_a_full_grpc_request_is_decoded() -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[10_000, 1])
    tensor.contents.bytes_contents.extend([b"It is good. " * 100] * 10_000)
    message = pb.ModelInferRequest(model_name="sentiment", id="a", inputs=[tensor], outputs=[{"name": "label"}])
    message.parameters["a"].string_param = "b"
    message.inputs[0].parameters["c"].int64_param = 1
    assert decode_message(message.SerializeToString(), 10_000) == message


@pytest.mark.parametrize("content", [b"\x0a", b"\x0a\x05ab", b"\xff" * 20, b"\x0f", b"\x0d\x00"])
def test_what_is_no_message_is_refused(content: bytes) -> None:
    for body in (content, nested(1, b"a" * 100_000) + content):
        with pytest.raises(RequestError, match="not a ModelInferRequest"):
            decode_message(body, 10_000)


async def test_texts_that_normalise_alike_are_scored_once(make_wire: Callable[..., Any]) -> None:
    computed: list[str] = []

    class Recording(FakeEngine):
        def encode(self, texts: Any) -> Any:
            computed.extend(texts)
            return super().encode(texts)

    wire: Wire = await make_wire(engine=Recording())
    computed.clear()
    await wire.infer_tensor(shape=[3], data=["good  work", "good\twork ", "good\u200b work"])
    assert computed == ["good work"]


LONG = "x" * 60_000


@pytest.mark.parametrize(
    "content",
    [
        {"inputs": [{"name": LONG, "datatype": "BYTES", "shape": [1], "data": ["a"]}]},
        {"inputs": [{"name": "text", "datatype": LONG, "shape": [1], "data": ["a"]}]},
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [LONG], "data": ["a"]}]},
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": LONG}}]},
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}], "outputs": [{"name": LONG}]},
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}], "id": LONG},
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": list(range(5000)), "data": ["a"]}]},
    ],
)
async def test_an_error_repeats_little_of_the_request(wire: Wire, content: Any) -> None:
    reply = await wire.client.post("/v2/models/sentiment/infer", json=content)
    assert reply.status_code == 400
    assert len(reply.content) < 500


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/{LONG[:30_000]}", {}),
        (f"/v2/models/{LONG[:30_000]}/infer", {}),
        (f"/v2/models/sentiment/versions/{LONG[:30_000]}/infer", {}),
        ("/v2/models/sentiment/infer", {"content-encoding": LONG[:30_000]}),
        ("/v2/models/sentiment/infer", {"inference-header-content-length": LONG[:30_000]}),
    ],
)
async def test_an_error_repeats_little_of_path_and_headers(wire: Wire, path: str, headers: dict[str, str]) -> None:
    reply = await wire.client.post(path, json={}, headers=headers)
    assert 400 <= reply.status_code < 500
    assert len(reply.content) < 500


async def test_texts_count_towards_the_budget_as_they_are_in_memory(make_wire: Callable[..., Any]) -> None:
    """One emoji makes every character of its text four bytes long."""
    wire: Wire = await make_wire(max_bodies_bytes=900_000)
    plain, wide = "a" * 10_000, "a" * 9_999 + "\U0001f600"
    assert (await wire.infer_tensor(shape=[20], data=[plain] * 20)).status_code == 200
    reply = await wire.infer_tensor(shape=[20], data=[wide] * 20)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert wire.predictor.bodies.taken == 0


async def test_the_loop_answers_others_while_a_large_request_is_parsed(make_wire: Callable[..., Any]) -> None:
    wire: Wire = await make_wire()
    handlers = Handlers(wire.predictor, wire.settings)
    turns_at_the_end: list[int] = []
    turns = 0

    def parse(body: bytes, header_length: bytes | None, max_texts: int) -> Any:
        time.sleep(0.5)
        turns_at_the_end.append(turns)
        return V1.parse(body, header_length, max_texts)

    slow = replace(V1, parse=parse)
    body = orjson.dumps({"instances": ["It is good." * 50] * 200})
    call = Call("a", asyncio.get_running_loop().time() + 30)
    answering = asyncio.create_task(handlers.infer(slow, call, body))
    while not answering.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert len((await answering)[1].labels) == 200
    assert turns_at_the_end[0] > 5
