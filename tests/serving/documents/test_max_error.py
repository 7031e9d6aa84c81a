"""An accepted error: the decision is the label or `unsure`, the same over V1, V2 and gRPC; the table in the bundle."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from feature_checks.bundle import MAX_ERROR, BundleError
from feature_checks.documents import max_error
from feature_checks.documents.max_error import LIMITS, MaxErrors
from serving.settings import Settings
from tests.serving.documents.test_extras import PolarEngine
from tests.support.wire import VERSION, Wire, grpc_channel

PREDICT = "/v1/models/sentiment:predict"
CLEAR, UNCLEAR = "It is a superb camera.", "It has two buttons."
"""The first text has a confidence of 0.91, the second of 0.45, on the engine of these tests."""
TABLE = MaxErrors((0.05, 0.1, 0.4), (None, 0.8, 0.3), 0.95, 41, 467)
NEEDS = "the confidence is 0.452; a max_error of 0.1 needs at least 0.80"
WRONG = "expected a number above 0 and below 1, such as 0.1"


@pytest.fixture
async def make(make_wire: Callable[..., Any]) -> Callable[..., Any]:
    """Make a wire whose model has the table."""

    async def with_table(table: MaxErrors | None = TABLE, **settings: Any) -> Wire:
        wire: Wire = await make_wire(engine=PolarEngine(), **settings)
        wire.predictor.model(VERSION).max_errors = table
        return wire

    return with_table


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Wire], Any]]:
    """Connect a gRPC client to the predictor of a wire."""
    ends = AsyncExitStack()

    async def connected(wire: Wire) -> Any:
        return GRPCInferenceServiceStub(await ends.enter_async_context(grpc_channel(wire)))

    async with ends:
        yield connected


async def v1(wire: Wire, **members: Any) -> list[list[str]]:
    """Return decisions and reasons of the two texts over V1."""
    content = {"instances": [CLEAR, UNCLEAR], "outputs": ["decision", "reason"]} | members
    reply = await wire.client.post(PREDICT, json=content)
    assert reply.status_code == 200, reply.text
    return [[answer[name] for answer in reply.json()["predictions"]] for name in ("decision", "reason")]


async def v2(wire: Wire, **parameters: Any) -> list[list[str]]:
    """Return decisions and reasons of the two texts over V2."""
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [CLEAR, UNCLEAR]}
    outputs = [{"name": "decision"}, {"name": "reason"}]
    reply = await wire.infer(inputs=[tensor], outputs=outputs, parameters=parameters)
    assert reply.status_code == 200, reply.text
    return [output["data"] for output in reply.json()["outputs"]]


def message(**parameters: str | int) -> Any:
    """Return the same request as a message."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[2])
    tensor.contents.bytes_contents.extend([CLEAR.encode(), UNCLEAR.encode()])
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
    request.outputs.extend(pb.ModelInferRequest.InferRequestedOutputTensor(name=n) for n in ("decision", "reason"))
    for name, value in parameters.items():
        field = "string_param" if isinstance(value, str) else "int64_param"
        setattr(request.parameters[name], field, value)
    return request


async def test_the_decision_is_the_label_or_unsure_over_every_protocol(
    make: Callable[..., Any], connect: Callable[..., Any]
) -> None:
    wire = await make()
    expected = [["positive", "unsure"], ["", NEEDS]]
    assert await v1(wire, parameters={"max_error": 0.1}) == expected
    assert await v1(wire, max_error=0.1) == expected
    assert await v2(wire, max_error=0.1) == expected
    reply = await (await connect(wire)).ModelInfer(message(max_error="0.1"))
    assert [[value.decode() for value in output.contents.bytes_contents] for output in reply.outputs] == expected
    assert await v2(wire) == [["positive", "neutral"], ["", ""]]


async def test_a_limit_between_two_entries_has_the_stricter_one(make: Callable[..., Any]) -> None:
    wire = await make()
    assert (await v2(wire, max_error=0.39))[0] == ["positive", "unsure"]
    assert (await v2(wire, max_error=0.4))[0] == ["positive", "neutral"]
    assert (await v2(wire, max_error=0.9))[0] == ["positive", "neutral"]


@pytest.mark.parametrize("asked", [0.05, 0.01])
async def test_where_no_confidence_is_known_to_suffice_nothing_is_answered(
    make: Callable[..., Any], asked: float
) -> None:
    decision, reason = await v2(await make(), max_error=asked)
    assert decision == ["unsure"] * 2
    assert reason == [TABLE.reason(asked, 0.99)] * 2
    assert "41 validation reviews" in reason[0]
    assert f"at most {asked:g}" in reason[0]


async def test_a_language_that_the_model_does_not_know_comes_first(make: Callable[..., Any]) -> None:
    wire = await make()
    german = "Die Kamera ist superb und hält nach zwei Wochen immer noch sehr gut."
    decision, reason = await v1(wire, instances=[german], max_error=0.4)
    assert (decision, reason) == (["unsure"], ["the text is in the language de; the model was trained for en"])


async def test_the_default_holds_where_a_request_names_none(make: Callable[..., Any]) -> None:
    wire = await make(default_max_error=0.1)
    assert await v2(wire) == [["positive", "unsure"], ["", NEEDS]]
    assert (await v2(wire, max_error=0.4))[0] == ["positive", "neutral"]


async def test_the_default_outputs_stay_as_they_are(make: Callable[..., Any]) -> None:
    wire = await make(default_max_error=0.1)
    with_error, without = [
        (await wire.infer(parameters=parameters)).json()["outputs"] for parameters in ({"max_error": 0.1}, {})
    ]
    assert with_error == without
    assert [output["name"] for output in without] == ["label", "confidence", "probabilities"]


async def test_a_bundle_without_the_table_says_so(make: Callable[..., Any], connect: Callable[..., Any]) -> None:
    wire = await make(table=None)
    words = "max_error: found 0.1; model version 3 was exported without the table of confidences"
    content = {"instances": ["good"], "outputs": ["decision"], "parameters": {"max_error": 0.1}}
    reply = await wire.client.post(PREDICT, json=content)
    assert (reply.status_code, words in reply.json()["error"]) == (400, True)
    with pytest.raises(aio.AioRpcError, match=words) as caught:
        await (await connect(wire)).ModelInfer(message(max_error="0.1"))
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    assert (await v2(wire))[0] == ["positive", "neutral"]


async def test_a_default_that_a_bundle_cannot_keep_answers_nothing(make: Callable[..., Any]) -> None:
    decision, reason = await v2(await make(table=None, default_max_error=0.2))
    assert decision == ["unsure"] * 2
    assert "max_error of 0.2" in reason[0]


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, True, "0.1", [0.1]])
async def test_another_value_is_400(make: Callable[..., Any], value: Any) -> None:
    wire = await make()
    reply = await wire.infer(parameters={"max_error": value})
    assert reply.status_code == 400
    assert reply.json()["error"] == f"parameters.max_error: found {value!r}; {WRONG}"
    for members in ({"parameters": {"max_error": value}}, {"max_error": value}):
        reply = await wire.client.post(PREDICT, json={"instances": ["good"]} | members)
        assert reply.status_code == 400
        assert f"max_error: found {value!r}; {WRONG}" in reply.json()["error"]


@pytest.mark.parametrize("value", ["a tenth", "nan", "1.5", "", 3])
async def test_another_value_is_an_invalid_argument(
    make: Callable[..., Any], connect: Callable[..., Any], value: Any
) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await (await connect(await make())).ModelInfer(message(max_error=value))
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    assert WRONG in str(caught.value.details())


async def test_two_places_at_once_are_400(make: Callable[..., Any]) -> None:
    content = {"instances": ["good"], "max_error": 0.1, "parameters": {"max_error": 0.2}}
    reply = await (await make()).client.post(PREDICT, json=content)
    assert (reply.status_code, "one of the two" in reply.json()["error"]) == (400, True)


def test_the_setting_is_a_share() -> None:
    assert Settings().default_max_error is None
    assert Settings(default_max_error=0.1).default_max_error == 0.1
    with pytest.raises(ValueError, match="default_max_error"):
        Settings(default_max_error=1.0)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert max_error.load(tmp_path) is None
    max_error.save(MaxErrors(LIMITS, [None] * len(LIMITS), 0.95, 3, 40), tmp_path)
    table = max_error.load(tmp_path)
    assert table is not None
    assert (tuple(table.limits), table.reviews, table.texts) == (LIMITS, 3, 40)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"limits": [0.1]}, "found 1 limits and 3 confidences"),
        ({"limits": [0.1, 0.05, 0.4]}, "ascending order"),
        ({"confidences": [None, 1.2, 0.3]}, "from 0 to 1"),
        ({"confidences": ["x", 0.8, 0.3]}, "not a table"),
        ({"other": 1}, "not a table"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    max_error.save(TABLE, tmp_path)
    path = tmp_path / MAX_ERROR
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(BundleError, match=words):
        max_error.load(tmp_path)
