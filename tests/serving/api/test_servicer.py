"""The gRPC wire against the real servicer on loopback: each deviation of stock KServe is a test here."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from feature_checks.contract import LABELS
from serving.api.servicer import peer_address
from serving.inference.engine import FakeEngine
from tests.support.wire import VERSION, Wire, grpc_channel


@dataclass
class Remote:
    """A client of a servicer in this process, and the wire behind it."""

    stub: Any
    wire: Wire

    async def fails(self, code: StatusCode, request: Any, *words: str, method: str = "ModelInfer") -> Any:
        """Expect the status with each of the words in its message; return the trailing metadata."""
        with pytest.raises(aio.AioRpcError) as caught:
            await getattr(self.stub, method)(request)
        assert caught.value.code() == code, caught.value.details()
        for word in words:
            assert word in (caught.value.details() or "")
        return dict(caught.value.trailing_metadata())


@pytest.fixture
async def make_remote(make_wire: Callable[..., Any]) -> AsyncIterator[Callable[..., Any]]:
    """Make a client and its servicer with the given settings."""
    ends = AsyncExitStack()

    async def make(**changes: Any) -> Remote:
        wire = await make_wire(**changes)
        return Remote(GRPCInferenceServiceStub(await ends.enter_async_context(grpc_channel(wire))), wire)

    async with ends:
        yield make


@pytest.fixture
async def remote(make_remote: Callable[..., Any]) -> Remote:
    """A client of a servicer with the default settings."""
    made: Remote = await make_remote()
    return made


def request_of(*texts: bytes, shape: list[int] | None = None, raw: bytes | None = None, **more: Any) -> Any:
    """An infer request for the texts: typed contents, or the raw bytes given."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=shape or [len(texts)])
    if raw is None:
        tensor.contents.bytes_contents.extend(texts)
    content = {"model_name": "sentiment", "inputs": [tensor]} | more
    return pb.ModelInferRequest(**content, raw_input_contents=[] if raw is None else [raw])


def packed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


async def test_typed_and_raw_agree_with_rest(remote: Remote) -> None:
    typed = await remote.stub.ModelInfer(request_of("schön".encode(), b"bad thing", id="mine"))
    raw = await remote.stub.ModelInfer(request_of(shape=[2, 1], raw=packed("schön".encode(), b"bad thing")))
    rest = (await remote.wire.infer_tensor(shape=[2], data=["schön", "bad thing"])).json()["outputs"]
    assert (typed.model_name, typed.model_version, typed.id) == ("sentiment", VERSION, "mine")
    assert typed.parameters["request_id"].string_param
    assert raw.id == raw.parameters["request_id"].string_param
    assert [(output.name, list(output.shape)) for output in typed.outputs] == [
        (tensor["name"], tensor["shape"]) for tensor in rest
    ]
    label, confidence, probabilities = (output.contents for output in typed.outputs)
    assert [item.decode() for item in label.bytes_contents] == rest[0]["data"]
    assert list(confidence.fp32_contents) == pytest.approx(rest[1]["data"])
    assert list(probabilities.fp32_contents) == pytest.approx(rest[2]["data"])
    assert raw.raw_output_contents[0] == packed(*(item.encode() for item in rest[0]["data"]))
    assert struct.unpack("<6f", raw.raw_output_contents[2]) == pytest.approx(rest[2]["data"])


async def test_requested_outputs_are_filtered(remote: Remote) -> None:
    wanted = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in ("confidence", "label")]
    reply = await remote.stub.ModelInfer(request_of(b"good", outputs=wanted))
    assert [output.name for output in reply.outputs] == ["confidence", "label"]
    unknown = [pb.ModelInferRequest.InferRequestedOutputTensor(name="logits")]
    await remote.fails(StatusCode.INVALID_ARGUMENT, request_of(b"good", outputs=unknown), "'logits'", "label")


async def test_versions(remote: Remote) -> None:
    assert (await remote.stub.ModelInfer(request_of(b"good", model_version=VERSION))).model_version == VERSION
    await remote.fails(StatusCode.NOT_FOUND, request_of(b"good", model_version="99"), "'99'", VERSION)
    assert (await remote.stub.ModelReady(pb.ModelReadyRequest(name="sentiment", version=VERSION))).ready
    unknown = pb.ModelReadyRequest(name="sentiment", version="99")
    await remote.fails(StatusCode.NOT_FOUND, unknown, "'99'", method="ModelReady")


async def test_unknown_model_is_not_found(remote: Remote) -> None:
    for method, request in (
        ("ModelInfer", request_of(b"good", model_name="other")),
        ("ModelReady", pb.ModelReadyRequest(name="other")),
        ("ModelMetadata", pb.ModelMetadataRequest(name="other")),
    ):
        await remote.fails(StatusCode.NOT_FOUND, request, "'other'", "'sentiment'", method=method)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (request_of(b"a", b"b", shape=[1]), ["data holds 2", "expected [2]"]),
        (request_of(b"a", shape=[-1]), ["negative"]),
        (request_of(b"\xff"), ["data[0]", "not UTF-8"]),
        (request_of(b" "), ["blank"]),
        (request_of(shape=[1], raw=packed(b"abc")[:-1]), ["element 0 has a length of 3 bytes"]),
        (request_of(shape=[1], raw=packed(b"\xff")), ["not UTF-8"]),
        (request_of(b"a", inputs=[]), ["0 inputs"]),
        (pb.ModelInferRequest(model_name="sentiment", inputs=[{"name": "x", "datatype": "BYTES"}]), ["'x'"]),
        (pb.ModelInferRequest(model_name="sentiment", inputs=[{"name": "text", "datatype": "FP32"}]), ["'FP32'"]),
    ],
)
async def test_malformed_is_invalid_argument(remote: Remote, request_: Any, words: list[str]) -> None:
    await remote.fails(StatusCode.INVALID_ARGUMENT, request_, *words)


async def test_contents_beside_raw_is_invalid_argument(remote: Remote) -> None:
    both = request_of(b"a")
    both.raw_input_contents.append(packed(b"a"))
    await remote.fails(StatusCode.INVALID_ARGUMENT, both, "one of the two")
    del both.inputs[0].contents.bytes_contents[:]
    both.inputs[0].ClearField("contents")
    both.raw_input_contents.append(packed(b"a"))
    await remote.fails(StatusCode.INVALID_ARGUMENT, both, "found 2 tensors")


async def test_not_ready_is_unavailable(make_remote: Callable[..., Any]) -> None:
    remote = await make_remote(loaded=False)
    trailing = await remote.fails(StatusCode.UNAVAILABLE, request_of(b"good"), "no version could be loaded")
    assert int(trailing["retry-after"]) >= 1
    assert (await remote.stub.ServerLive(pb.ServerLiveRequest())).live is True
    assert (await remote.stub.ServerReady(pb.ServerReadyRequest())).ready is False
    assert (await remote.stub.ModelReady(pb.ModelReadyRequest(name="sentiment"))).ready is False


async def test_metadata(remote: Remote) -> None:
    server = await remote.stub.ServerMetadata(pb.ServerMetadataRequest())
    assert server.name == "review-sentiment"
    call = remote.stub.ModelMetadata(pb.ModelMetadataRequest(name="sentiment"))
    about = await call
    assert (about.platform, list(about.versions)) == ("onnx_onnxv1", [VERSION])
    assert [(output.name, list(output.shape)) for output in about.outputs][-1] == ("probabilities", [-1, 3])
    assert dict(await call.trailing_metadata())["labels"] == ",".join(LABELS)
    assert (await remote.stub.ServerReady(pb.ServerReadyRequest())).ready is True


async def test_clients_do_not_load_models(remote: Remote) -> None:
    for method in ("Load", "Unload"):
        request = getattr(pb, f"RepositoryModel{method}Request")(model_name="sentiment")
        await remote.fails(StatusCode.UNIMPLEMENTED, request, "alias", method=f"RepositoryModel{method}")


async def test_limits_are_resource_exhausted(make_remote: Callable[..., Any]) -> None:
    remote = await make_remote(max_texts=2, rate_limit="2/minute")
    trailing = await remote.fails(StatusCode.RESOURCE_EXHAUSTED, request_of(b"a", b"b", b"c"), "3 texts")
    assert (trailing["ratelimit-limit"], trailing["ratelimit-remaining"]) == ("2", "1")
    await remote.stub.ModelInfer(request_of(b"good"))
    trailing = await remote.fails(StatusCode.RESOURCE_EXHAUSTED, request_of(b"good"), "rate limit")
    assert int(trailing["retry-after"]) >= 1
    await remote.stub.ModelInfer(request_of(b"good"), metadata=(("x-user-id", "someone else"),))
    assert (await remote.stub.ServerReady(pb.ServerReadyRequest())).ready


async def test_deadlines(make_remote: Callable[..., Any]) -> None:
    remote = await make_remote(request_timeout_seconds=0.05, engine=FakeEngine(seconds_per_token=0.05))
    await remote.fails(StatusCode.DEADLINE_EXCEEDED, request_of(b"good"), "deadline")
    with pytest.raises(aio.AioRpcError) as caught:
        await remote.stub.ModelInfer(request_of(b"good"), timeout=0.01)
    assert caught.value.code() == StatusCode.DEADLINE_EXCEEDED


async def test_a_long_text_is_read_in_full_and_cut_only_on_request(remote: Remote) -> None:
    reply = await remote.stub.ModelInfer(request_of(b"word " * 1000, b"short"))
    assert "truncated" not in reply.parameters
    too_long = request_of(b"word " * 5000, b"short")
    await remote.fails(StatusCode.RESOURCE_EXHAUSTED, too_long, "20000", "truncate=true")
    too_long.parameters["truncate"].bool_param = True
    reply = await remote.stub.ModelInfer(too_long)
    assert reply.parameters["truncated"].int64_param == 1
    too_long.parameters["truncate"].string_param = "yes"
    await remote.fails(StatusCode.INVALID_ARGUMENT, too_long, "parameters.truncate", "true or false")


async def test_a_failure_of_the_engine_is_internal_without_its_details(make_remote: Callable[..., Any]) -> None:
    class Broken(FakeEngine):
        def encode(self, texts: Any) -> Any:
            if "break" in texts:
                raise ZeroDivisionError
            return super().encode(texts)

    remote = await make_remote(engine=Broken())
    await remote.fails(StatusCode.INTERNAL, request_of(b"break"), "inference failed")
    await remote.stub.ModelInfer(request_of(b"good"))


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:10.1.2.3:5000", "10.1.2.3"), ("ipv6:%5B::1%5D:5000", "::1"), ("unix:socket", "unix:socket")],
)
def test_peer_address(peer: str, address: str) -> None:
    assert peer_address(peer) == address


def test_the_codes_of_the_error_table_exist() -> None:
    from serving import errors

    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.ServingError):
            assert isinstance(grpc.StatusCode[error.grpc_code], grpc.StatusCode)
