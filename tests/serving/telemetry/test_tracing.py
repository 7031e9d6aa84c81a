"""Traces: received by a real OTLP collector, a part of the client's trace, and free while they are off."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from feature_checks.bundle import Bundle
from serving.api.grpc_services import add_services
from serving.api.servicer import Servicer
from serving.inference.engine import FakeEngine
from serving.telemetry import tracing
from tests.support.live_server import live
from tests.support.otlp_receiver import Collector, collector
from tests.support.wire import Wire

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
PREDICT = "/v1/models/sentiment:predict"
STEPS = {"parse", "cache", "tokenise", "queue", "inference"}


@pytest.fixture
def received() -> Iterator[Collector]:
    """A collector that gets the traces of this process."""
    with collector() as running:
        tracing.start(running.url)
        yield running
        tracing.stop()


@pytest.fixture
async def stub(make_wire: Callable[..., Any]) -> AsyncIterator[Any]:
    """A gRPC client of a server in this process."""
    wire: Wire = await make_wire()
    server = aio.server()
    add_services(server, Servicer(wire.predictor, wire.limiter, wire.settings))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield GRPCInferenceServiceStub(channel)
    await server.stop(0)


async def test_a_request_is_a_part_of_the_clients_trace_with_a_span_for_each_step(
    make_wire: Callable[..., Any], received: Collector
) -> None:
    wire: Wire = await make_wire(engine=FakeEngine(seconds_per_token=0.01))
    began = time.time()
    headers = {"traceparent": TRACEPARENT, "x-request-id": "the client's own"}
    reply = await wire.client.post(PREDICT, json={"instances": ["a good one"]}, headers=headers)
    await asyncio.to_thread(tracing.stop)
    (request,) = received.named(f"POST {PREDICT}")
    assert (request.trace, request.parent, request.error) == (TRACE, PARENT, "")
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["sentiment.request_id"] == reply.headers["x-request-id"]
    assert request.attributes["sentiment.client_request_id"] == "the client's own"
    assert request.attributes["sentiment.version"] == "3"
    assert request.resource["service.name"] == "review-sentiment"
    steps = {span.name: span for span in received.spans if span is not request}
    assert set(steps) == STEPS
    for span in steps.values():
        assert (span.trace, span.parent) == (TRACE, request.span)
        assert request.start - 0.002 <= span.start
        assert span.start + span.seconds <= request.start + request.seconds + 0.002
    assert steps["inference"].seconds == pytest.approx(0.05, abs=0.03)
    assert steps["cache"].attributes == {"sentiment.cached": 0, "sentiment.missed": 1}
    assert abs(request.start - began) < 5
    assert received.paths == ["/v1/traces"]


async def test_a_cached_answer_has_no_inference(make_wire: Callable[..., Any], received: Collector) -> None:
    wire: Wire = await make_wire()
    for _ in range(2):
        await wire.infer()
    await asyncio.to_thread(tracing.stop)
    first, second = received.named("POST /v2/models/sentiment/infer")
    assert first.trace != second.trace
    assert {span.name for span in received.spans if span.parent == first.span} == STEPS
    assert {span.name for span in received.spans if span.parent == second.span} == {"parse", "cache"}


async def test_failures_are_marked_and_probes_are_not_traced(
    make_wire: Callable[..., Any], received: Collector
) -> None:
    class Broken(FakeEngine):
        def encode(self, texts: Any) -> Any:
            if "break" in texts:
                raise ZeroDivisionError
            return super().encode(texts)

    wire: Wire = await make_wire(engine=Broken())
    await wire.infer_tensor(data=["break"])
    await wire.client.post(PREDICT, content=b"{")
    await wire.client.get("/no/such/route")
    await wire.client.get("/v2/health/ready")
    await asyncio.to_thread(tracing.stop)
    requests = [span for span in received.spans if "http.request.method" in span.attributes]
    assert [(span.name, span.attributes["http.response.status_code"], span.error) for span in requests] == [
        ("POST /v2/models/sentiment/infer", 500, "status 500"),
        (f"POST {PREDICT}", 400, ""),
        ("GET unknown", 404, ""),
    ]


async def test_grpc_requests_are_traced(received: Collector, stub: Any) -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"good")
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
    await stub.ModelInfer(request, metadata=(("traceparent", TRACEPARENT),))
    request.model_name = "other"
    with pytest.raises(aio.AioRpcError):
        await stub.ModelInfer(request)
    await asyncio.to_thread(tracing.stop)
    good, bad = received.named("gRPC ModelInfer")
    assert (good.trace, good.parent, good.error) == (TRACE, PARENT, "")
    assert {span.name for span in received.spans if span.parent == good.span} == STEPS
    assert bad.attributes["error.type"] == "NOT_FOUND"
    assert "'other'" in bad.error


async def test_a_trace_that_the_client_does_not_sample_is_not_sent(
    make_wire: Callable[..., Any], received: Collector
) -> None:
    wire: Wire = await make_wire()
    headers = {"traceparent": TRACEPARENT[:-2] + "00"}
    await wire.client.post(PREDICT, json={"instances": ["good"]}, headers=headers)
    await asyncio.to_thread(tracing.stop)
    assert received.spans == []


def test_the_server_sends_its_traces_before_it_ends(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with collector() as received:
        with live(
            tmp_path,
            MODEL_URI=str(tiny_bundle.folder),
            PREDICTION_LOG="off",
            OTEL_EXPORTER_OTLP_ENDPOINT=received.url,
            OTEL_SERVICE_NAME="reviews",
        ) as server:
            reply = httpx.post(server.http + PREDICT, json={"instances": ["It is good."]}, timeout=20)
            assert reply.status_code == 200
            assert server.stop() == 0
        (request,) = received.named(f"POST {PREDICT}")
        assert request.resource["service.name"] == "reviews"
        assert {span.name for span in received.spans if span.parent == request.span} == STEPS


def test_a_collector_that_is_away_delays_no_request(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with live(
        tmp_path,
        MODEL_URI=str(tiny_bundle.folder),
        PREDICTION_LOG="off",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_BSP_SCHEDULE_DELAY="100",
    ) as server:
        for number in range(20):
            reply = httpx.post(server.http + PREDICT, json={"instances": [f"It is {number}."]}, timeout=20)
            assert reply.status_code == 200
            assert reply.elapsed.total_seconds() < 1
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 20


def test_a_server_that_does_not_trace_imports_no_sdk() -> None:
    code = """
import sys
import serving.server
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
