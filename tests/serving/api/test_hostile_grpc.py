"""gRPC messages that arrive slowly, never, or with more values than bytes to spare: others are answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from serving.api.grpc_services import add_services
from serving.api.servicer import Servicer
from serving.server import grpc_options
from tests.support.raw_grpc import RawGrpc
from tests.support.waiting import eventually

INFER = "/inference.GRPCInferenceService/ModelInfer"
METHODS = [INFER, "/inference.GRPCInferenceService/ServerLive", "/grpc.health.v1.Health/Check"]
MEBIBYTE = 1024**2


@pytest.fixture
async def make_server(make_wire: Callable[..., Any]) -> AsyncIterator[Callable[..., Any]]:
    """Start a gRPC server with the real options; return its port and the predictor behind it."""
    ends: list[Any] = []

    async def make(**changes: Any) -> tuple[int, Any]:
        wire = await make_wire(**changes)
        server = aio.server(options=grpc_options(wire.settings))
        add_services(server, Servicer(wire.predictor, wire.limiter, wire.settings))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        ends.append(server.stop(0))
        return port, wire.predictor

    yield make
    for end in ends:
        await end


def request_of(*texts: bytes) -> Any:
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[len(texts)])
    tensor.contents.bytes_contents.extend(texts)
    return pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])


async def answered(port: int) -> bool:
    """Whether one ordinary request is answered."""
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        reply = await GRPCInferenceServiceStub(channel).ModelInfer(request_of(b"good"), timeout=20)
    return bool(reply.model_name == "sentiment")


@pytest.mark.parametrize("method", METHODS)
async def test_few_half_sent_messages_are_held_and_none_for_ever(
    make_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr("serving.api.grpc_services._MESSAGE_SECONDS", 1.5)
    limits = {"max_body_bytes": MEBIBYTE, "max_bodies_bytes": 4 * MEBIBYTE, "request_timeout_seconds": 1.5}
    port, _ = await make_server(**limits)
    clients = [await RawGrpc.open("127.0.0.1", port) for _ in range(6)]
    for client in clients:
        await client.begin(method, MEBIBYTE, b"\x0a" * 20_000)
    async with asyncio.timeout(1.2):
        await eventually(lambda: sum(client.ended.is_set() for client in clients) == 4)  # there is room for two
    assert await answered(port)
    async with asyncio.timeout(20):
        await asyncio.gather(*(client.ended.wait() for client in clients))
    assert await answered(port)
    for client in clients:
        await client.close()


async def test_a_large_message_that_arrives_slowly_is_answered(make_server: Callable[..., Any]) -> None:
    port, predictor = await make_server()
    content = request_of(*[b"It is good. " * 20] * 500).SerializeToString()
    client = await RawGrpc.open("127.0.0.1", port)
    await client.begin(INFER, len(content), content[:1000])
    await asyncio.sleep(0.3)
    await client.send(content[1000:])
    async with asyncio.timeout(20):
        await client.ended.wait()
    assert client.received > 500 * len("neutral")
    assert predictor.bodies.taken == 0
    await client.close()


async def test_a_message_of_many_values_is_refused(make_server: Callable[..., Any]) -> None:
    port, _ = await make_server()
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1] * 1_000_000)
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await GRPCInferenceServiceStub(channel).ModelInfer(
                pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
            )
    assert caught.value.code() == StatusCode.RESOURCE_EXHAUSTED
    assert "more than 170000 values" in str(caught.value.details())


async def test_a_long_message_of_another_method_is_refused(make_server: Callable[..., Any]) -> None:
    port, _ = await make_server()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="x" * 100_000))
    assert caught.value.code() == StatusCode.RESOURCE_EXHAUSTED


async def test_an_error_about_long_foreign_text_fits_into_the_trailers(make_server: Callable[..., Any]) -> None:
    port, _ = await make_server()
    request = request_of(b"good")
    request.model_name = "\U0001f600" * 50_000
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert caught.value.code() == StatusCode.NOT_FOUND


async def test_a_silent_connection_is_closed(make_server: Callable[..., Any]) -> None:
    port, _ = await make_server(header_timeout_seconds=0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        while await reader.read(1000):
            pass
    writer.close()
    await writer.wait_closed()
