"""API keys over REST and gRPC: who gets in, who does not, and what everybody may ask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from serving.access.keys import entry, new_key
from tests.support.wire import Wire, grpc_channel

SHOP, DESK = new_key(), new_key()
PREDICT = "/v1/models/sentiment:predict"
V1 = {"instances": ["good"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The keys of a shop, with an allowance of its own, and of a help desk."""
    path = tmp_path / "keys.jsonl"
    path.write_text(f"{entry('shop', SHOP, '2/minute')}\n{entry('desk', DESK)}\n", encoding="utf-8")
    return path


@pytest.fixture
async def guarded(make_wire: Callable[..., Any], file: Path) -> Wire:
    """A server that asks for a key."""
    made: Wire = await make_wire(api_keys_file=file, rate_limit="5/minute")
    return made


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": DESK},
        {"authorization": f"Bearer {DESK}"},
        {"authorization": f"bearer  {DESK}"},
        {"authorization": "Bearer the-token-of-a-mesh", "x-api-key": DESK},
    ],
)
async def test_a_valid_key_is_answered(guarded: Wire, headers: dict[str, str]) -> None:
    assert (await guarded.client.post(PREDICT, json=V1, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "found none"),
        ({"authorization": "Basic YTpi"}, "found none"),
        ({"authorization": "Bearer"}, "found none"),
        ({"x-api-key": new_key()}, "does not know"),
        ({"authorization": f"Bearer {SHOP}x"}, "does not know"),
        ({"x-user-id": "desk"}, "found none"),
    ],
)
async def test_any_other_request_is_401(guarded: Wire, headers: dict[str, str], words: str) -> None:
    for method, path in (("POST", PREDICT), ("GET", "/v2/models/sentiment"), ("GET", "/openapi.json"), ("GET", "/no")):
        reply = await guarded.client.request(method, path, headers=headers, json=V1 if method == "POST" else None)
        assert reply.status_code == 401, path
        assert words in reply.json()["error"]
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["www-authenticate"].startswith('Bearer realm="review-sentiment"')
        assert ("invalid_token" in reply.headers["www-authenticate"]) == (words == "does not know")
        assert "ratelimit-limit" not in reply.headers


async def test_health_metrics_and_the_page_need_no_key(guarded: Wire) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/sentiment/ready", "/v1/models/sentiment", "/"):
        assert (await guarded.client.get(path)).status_code == 200, path
    assert (await guarded.client.get("/metrics")).status_code == 200
    assert (await guarded.client.head("/metrics")).status_code == 200


async def test_the_name_of_the_key_is_the_user_with_its_own_allowance(guarded: Wire) -> None:
    shop, desk = {"x-api-key": SHOP, "x-user-id": "somebody"}, {"x-api-key": DESK}
    replies = [await guarded.client.post(PREDICT, json=V1, headers=shop) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[0].headers["ratelimit-limit"] == "2"
    reply = await guarded.client.post(PREDICT, json=V1, headers=desk)
    assert (reply.status_code, reply.headers["ratelimit-limit"]) == (200, "5")


async def test_a_key_with_its_own_allowance_is_limited_where_others_are_not(
    make_wire: Callable[..., Any], file: Path
) -> None:
    wire: Wire = await make_wire(api_keys_file=file, rate_limit="off")
    shop = [(await wire.client.post(PREDICT, json=V1, headers={"x-api-key": SHOP})).status_code for _ in range(3)]
    assert shop == [200, 200, 429]
    assert "ratelimit-limit" not in (await wire.client.post(PREDICT, json=V1, headers={"x-api-key": DESK})).headers


@pytest.fixture
async def channel(guarded: Wire) -> AsyncIterator[aio.Channel]:
    """A channel to the gRPC server with every service."""
    async with grpc_channel(guarded) as opened:
        yield opened


async def test_grpc_asks_for_the_key_in_its_metadata(channel: aio.Channel) -> None:
    stub: Any = GRPCInferenceServiceStub(channel)
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"good")
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
    for metadata in ((("x-api-key", DESK),), (("authorization", f"Bearer {DESK}"),)):
        assert (await stub.ModelInfer(request, metadata=metadata)).model_version
    assert (await stub.ModelMetadata(pb.ModelMetadataRequest(name="sentiment"), metadata=(("x-api-key", DESK),))).name
    calls = (
        (stub.ModelInfer, request),
        (stub.ModelMetadata, pb.ModelMetadataRequest(name="sentiment")),
        (stub.ServerMetadata, pb.ServerMetadataRequest()),
    )
    refused: list[tuple[tuple[str, str], ...]] = [(), (("x-api-key", new_key()),)]
    for method, message in calls:
        for missing in refused:
            with pytest.raises(aio.AioRpcError) as caught:
                await method(message, metadata=missing)
            assert caught.value.code() == StatusCode.UNAUTHENTICATED
            assert "API key" in str(caught.value.details())
    assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="sentiment"))).ready
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING


def test_a_file_that_cannot_be_used_stops_the_start_and_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text('{"name": "shop", "sha256": "rsk_secret"}\n', encoding="utf-8")
    command = [sys.executable, "-m", "serving"]
    environment = os.environ | {"API_KEYS_FILE": str(path), "STATE_DIR": str(tmp_path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "API_KEYS_FILE" in result.stderr
    assert "line 1: sha256: expected" in result.stderr
    assert "rsk_secret" not in result.stderr
