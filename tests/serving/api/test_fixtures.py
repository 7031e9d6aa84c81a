"""Recorded requests and replies of both protocols, replayed: no release breaks a client silently.

Each file of `fixtures/` holds one exchange with the engine that has no weights. What differs from call to call is
written `<id>`. A reply may only change together with the file, on purpose.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from feature_checks.classifier import EncodedText, Probabilities
from serving.api.grpc_services import add_services
from serving.api.servicer import Servicer
from serving.inference.engine import FakeEngine
from tests.support.wire import Wire

FOLDER = Path(__file__).with_name("fixtures")
REST = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("rest-*.json"))}
GRPC = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("grpc-*.json"))}
KEPT = ("content-type", "x-model-version", "inference-header-content-length", "allow", "retry-after")


class ExactEngine(FakeEngine):
    """Answers with binary fractions, which are the same to the last digit on every processor."""

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        """Return one of three rows, by the sum of the tokens."""
        rows = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.0625, 0.25, 0.6875]], dtype=np.float32)
        return rows[[sum(text.ids) % 3 for text in batch]]


def stable(text: str) -> str:
    """The text with what differs from call to call replaced."""
    return re.sub(r"\b[0-9a-f]{32}\b", "<id>", text)


async def rest(wire: Wire, request: dict[str, Any]) -> dict[str, Any]:
    """Send a recorded request; return the reply as it is recorded."""
    body = base64.b64decode(request["base64"]) if "base64" in request else request.get("body", "").encode()
    headers = request.get("headers", {})
    reply = await wire.client.request(request["method"], request["path"], content=body, headers=headers)
    kept = {name: reply.headers[name] for name in KEPT if name in reply.headers}
    content = reply.content.replace(reply.headers["x-request-id"].encode(), b"<id>")
    recorded: dict[str, Any] = {"status": reply.status_code, "headers": kept}
    if reply.headers["content-type"] == "application/json":
        return recorded | {"body": content.decode()}
    return recorded | {"base64": base64.b64encode(content).decode()}


@pytest.mark.parametrize("recorded", REST.values(), ids=REST)
async def test_rest(make_wire: Callable[..., Any], recorded: dict[str, Any]) -> None:
    wire = await make_wire(engine=ExactEngine())
    assert await rest(wire, recorded["request"]) == recorded["reply"]


@pytest.fixture
async def stub(make_wire: Callable[..., Any]) -> AsyncIterator[Any]:
    """A gRPC client of the servicer on the engine without weights."""
    wire = await make_wire(engine=ExactEngine())
    server = aio.server()
    add_services(server, Servicer(wire.predictor, wire.limiter, wire.settings))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield GRPCInferenceServiceStub(channel)
    await server.stop(0)


async def grpc(stub: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Send a recorded gRPC request; return the reply as it is recorded."""
    method = request["method"]
    message = json_format.ParseDict(request["message"], getattr(pb, f"{method}Request")())
    try:
        reply = await getattr(stub, method)(message)
    except aio.AioRpcError as error:
        return {"code": error.code().name, "details": error.details()}
    content = json.dumps(json_format.MessageToDict(reply, preserving_proto_field_name=True))
    return {"code": "OK", "message": json.loads(stable(content))}


@pytest.mark.parametrize("recorded", GRPC.values(), ids=GRPC)
async def test_grpc(stub: Any, recorded: dict[str, Any]) -> None:
    assert await grpc(stub, recorded["request"]) == recorded["reply"]


def test_there_are_recordings_of_both() -> None:
    assert len(REST) >= 12
    assert len(GRPC) >= 5
