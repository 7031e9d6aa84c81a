"""Stated priorities, and users who share the engine, over REST and gRPC."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal

import pytest
from grpc import StatusCode, aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from feature_checks.classifier import EncodedText, Probabilities
from serving.inference.engine import FakeEngine
from tests.support.wire import Wire, grpc_channel

Protocol = Literal["v1", "v2", "grpc"]
PROTOCOLS: tuple[Protocol, ...] = ("v1", "v2", "grpc")
WORDS = 18
"""Words of a text, which has 20 tokens then."""


class Recorder(FakeEngine):
    """Notes the first word of each text that it computes, and computes nothing while it is held."""

    def __init__(self, seconds_per_token: float = 0.0) -> None:
        super().__init__(seconds_per_token)
        self.order: list[str] = []
        self.names: dict[int, str] = {}
        self.go = threading.Event()
        self.go.set()
        self.held = False

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        encoded = super().encode(texts)
        self.names |= {id(text.ids): words.split(" ")[0] for text, words in zip(encoded, texts, strict=True)}
        return encoded

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        self.held = not self.go.is_set()
        assert self.go.wait(30)
        self.order += [self.names.get(id(text.ids), "probe") for text in batch]
        return super().run(batch)


class Client:
    """Sends requests of any protocol in the name of users."""

    def __init__(self, wire: Wire, channel: aio.Channel) -> None:
        self.wire = wire
        self.stub: Any = GRPCInferenceServiceStub(channel)

    async def send(self, protocol: Protocol, user: str, count: int, priority: Any = None) -> Any:
        """Send `count` texts that begin with the name of the user."""
        texts = [f"{user} {number} " + "word " * (WORDS - 2) for number in range(count)]
        if protocol == "grpc":
            tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[count])
            tensor.contents.bytes_contents.extend(text.encode() for text in texts)
            request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
            if isinstance(priority, str):
                request.parameters["priority"].string_param = priority
            elif priority is not None:
                request.parameters["priority"].int64_param = priority
            return await self.stub.ModelInfer(request, metadata=(("x-user-id", user),), timeout=60)
        stated = {} if priority is None else {"priority": priority}
        tensors = [{"name": "text", "datatype": "BYTES", "shape": [count], "data": texts}]
        path, content = {
            "v1": ("/v1/models/sentiment:predict", {"instances": texts, "parameters": stated}),
            "v2": ("/v2/models/sentiment/infer", {"inputs": tensors, "parameters": stated}),
        }[protocol]
        return await self.wire.client.post(path, json=content, headers={"x-user-id": user})


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Wire], Any]]:
    """Return a client of a server's REST and gRPC ports."""
    ends = AsyncExitStack()

    async def make(wire: Wire) -> Client:
        return Client(wire, await ends.enter_async_context(grpc_channel(wire)))

    async with ends:
        yield make


async def computing(engine: Recorder) -> None:
    """Wait until the worker has taken a batch, so that what is sent afterwards waits."""
    while not engine.held:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def queued(wire: Wire, texts: int) -> None:
    """Wait until so many texts wait for a worker."""
    while wire.predictor.current is None or wire.predictor.current.batcher.queued_texts != texts:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_stated_priority_decides_the_order(
    make_wire: Callable[..., Any], connect: Callable[[Wire], Any], protocol: Protocol
) -> None:
    """Twelve texts are a batch; a hundred are bulk by their size, one is not."""
    engine = Recorder()
    wire: Wire = await make_wire(engine=engine, queue_seconds=60)
    client = await connect(wire)
    engine.order.clear()
    engine.go.clear()
    held = asyncio.create_task(client.send("v2", "held", 1))
    await computing(engine)
    waiting, texts = [held], 0
    for user, count, priority in (
        ("late", 1, "bulk"),
        ("large", 100, None),
        ("soon", 100, "online"),
        ("single", 1, None),
    ):
        waiting.append(asyncio.create_task(client.send(protocol, user, count, priority)))
        texts += count
        await queued(wire, texts)
    engine.go.set()
    replies = await asyncio.gather(*waiting)
    assert [getattr(reply, "status_code", 200) for reply in replies] == [200] * 5
    first = {user: engine.order.index(user) for user in ("late", "large", "soon", "single")}
    assert first["soon"] < first["single"] < first["late"]
    assert first["single"] < first["large"]
    assert engine.order.index("late") > [index for index, user in enumerate(engine.order) if user == "soon"][40]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("priority", ["urgent", "", 7])
async def test_an_unknown_priority_is_refused(
    wire: Wire, connect: Callable[[Wire], Any], protocol: Protocol, priority: Any
) -> None:
    client = await connect(wire)
    message = f'parameters.priority: found {priority!r}; expected "online" or "bulk"'
    if protocol == "grpc":
        with pytest.raises(aio.AioRpcError) as caught:
            await client.send(protocol, "ann", 1, priority)
        assert (caught.value.code(), caught.value.details()) == (StatusCode.INVALID_ARGUMENT, message)
    else:
        reply = await client.send(protocol, "ann", 1, priority)
        assert (reply.status_code, reply.json()["error"]) == (400, message)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_two_users_who_contend_get_equal_shares(
    make_wire: Callable[..., Any], connect: Callable[[Wire], Any], protocol: Protocol
) -> None:
    """Ann's eight bulk requests do not keep Bob's one from half of the engine."""
    engine = Recorder(seconds_per_token=2e-5)
    wire: Wire = await make_wire(engine=engine, cache="off")
    client = await connect(wire)
    engine.order.clear()
    engine.go.clear()
    held = asyncio.create_task(client.send("v2", "held", 1))
    await computing(engine)
    ann = [asyncio.create_task(client.send(protocol, "ann", 200)) for _ in range(8)]
    await queued(wire, 1600)
    bob = asyncio.create_task(client.send(protocol, "bob", 200))
    await queued(wire, 1800)
    engine.go.set()
    await asyncio.gather(held, bob)
    had = Counter(engine.order)
    assert had["bob"] == 200
    assert abs(had["ann"] - had["bob"]) <= 50
    await asyncio.gather(*ann)
    assert Counter(engine.order)["ann"] == 1600
