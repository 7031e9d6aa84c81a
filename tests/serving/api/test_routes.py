"""The REST wire, rule by rule: each deviation of stock KServe is a test here."""

from __future__ import annotations

import asyncio
import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from feature_checks.contract import LABELS, MAX_TEXT_CHARS
from serving.inference.engine import FakeEngine
from tests.support.wire import VERSION, Wire, prepared

INFER = "/v2/models/sentiment/infer"
PREDICT = "/v1/models/sentiment:predict"
FEEDBACK = "/v1/models/sentiment/feedback"
GOOD = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]}


def check_error(reply: httpx.Response, status: int, *words: str) -> None:
    """An error in the one format, whose message holds each of the words."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    content = reply.json()
    assert list(content) == ["error"]
    for word in words:
        assert word in content["error"]


def tensors(reply: httpx.Response) -> dict[str, Any]:
    """The outputs of a V2 reply by name."""
    assert reply.status_code == 200, reply.text
    return {tensor["name"]: tensor for tensor in reply.json()["outputs"]}


# -- versions ------------------------------------------------------------------------------------------------------


async def test_version_in_the_path_is_served(wire: Wire) -> None:
    reply = await wire.client.post(f"/v2/models/sentiment/versions/{VERSION}/infer", json=GOOD)
    assert reply.json()["model_version"] == VERSION
    assert (await wire.client.get(f"/v2/models/sentiment/versions/{VERSION}/ready")).json()["ready"] is True
    assert (await wire.client.get(f"/v2/models/sentiment/versions/{VERSION}")).json()["versions"] == [VERSION]


@pytest.mark.parametrize(("method", "action"), [("POST", "/infer"), ("GET", "/ready"), ("GET", "")])
async def test_unknown_version_is_404_and_names_the_loaded(wire: Wire, method: str, action: str) -> None:
    reply = await wire.client.request(method, f"/v2/models/sentiment/versions/99{action}", json=GOOD)
    check_error(reply, 404, "'99'", VERSION)


async def test_both_versions_answer_by_number_until_the_old_one_is_idle(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(engine=FakeEngine(seconds_per_token=0.05))
    slow = asyncio.create_task(wire.infer())
    while not wire.predictor.current.in_flight:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await wire.predictor.swap(prepared("4", "1" * 64))
    assert (await wire.infer()).json()["model_version"] == "4"
    assert (await wire.client.get("/v2/models/sentiment")).json()["versions"] == [VERSION, "4"]
    index = (await wire.client.post("/v2/repository/index")).json()
    assert [(entry["version"], entry["state"]) for entry in index] == [(VERSION, "READY"), ("4", "READY")]
    by_number = await wire.client.post(f"/v2/models/sentiment/versions/{VERSION}/infer", json=GOOD)
    assert by_number.json()["model_version"] == VERSION
    assert (await slow).json()["model_version"] == VERSION
    while wire.predictor.versions != ["4"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


# -- malformed requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [INFER, PREDICT])
@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"[]", b'"text"', b"null", b"[" * 3000, b"\xff\xfe"])
async def test_malformed_json_is_400(wire: Wire, path: str, body: bytes) -> None:
    check_error(await wire.client.post(path, content=body), 400, "body")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, ["inputs", "no such member"]),
        ({"inputs": None}, ["inputs", "null"]),
        ({"inputs": "x"}, ["inputs", "a string"]),
        ({"inputs": []}, ["found 0 inputs"]),
        ({"inputs": GOOD["inputs"] * 2}, ["found 2 inputs"]),
        ({"inputs": [1]}, ["inputs[0]", "a number"]),
        (GOOD | {"id": 7}, ["id", "a number"]),
        (GOOD | {"parameters": []}, ["parameters", "a list"]),
        (GOOD | {"outputs": "label"}, ["outputs", "a string"]),
        (GOOD | {"outputs": ["label"]}, ["outputs[0]", "a string"]),
        (GOOD | {"outputs": [{}]}, ["outputs[0].name", "None"]),
        (GOOD | {"outputs": [{"name": {}}]}, ["outputs[0].name"]),
        (GOOD | {"outputs": [{"name": "logits"}]}, ["'logits'", "label, confidence, probabilities"]),
        (GOOD | {"outputs": [{"name": "label"}, {"name": "label"}]}, ["twice"]),
    ],
)
async def test_malformed_infer_request_is_400(wire: Wire, content: dict[str, Any], words: list[str]) -> None:
    check_error(await wire.client.post(INFER, json=content), 400, *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "texts"}, ["'texts'", '"text"']),
        ({"name": ...}, ["name"]),
        ({"datatype": "FP32"}, ["'FP32'", '"BYTES"']),
        ({"shape": ...}, ["shape", "no such member"]),
        ({"shape": 1}, ["shape", "a number"]),
        ({"shape": "1"}, ["shape", "a string"]),
        ({"shape": [-1]}, ["shape", "negative"]),
        ({"shape": [1.0]}, ["shape", "whole"]),
        ({"shape": [True]}, ["shape", "whole"]),
        ({"shape": [1, 2]}, ["shape", "[n, 1]"]),
        ({"shape": [1, 1, 1]}, ["shape", "[n, 1]"]),
        ({"shape": [10**18]}, ["1000000000000000000", "[1]"]),
        ({"data": ["a", "b"]}, ["data holds 2", "expected [2]"]),
        ({"data": ...}, ["data", "no such member"]),
        ({"data": {}}, ["data", "an object"]),
        ({"data": [1]}, ["data[0]", "a number"]),
        ({"data": [None]}, ["data[0]", "null"]),
        ({"data": [[["a"]]]}, ["data[0]", "a list"]),
        ({"data": [], "shape": [0]}, ["no text"]),
        ({"parameters": 3}, ["parameters"]),
        ({"data": ..., "parameters": {"binary_data_size": 5}}, ["Inference-Header-Content-Length"]),
        ({"parameters": {"binary_data_size": 5}}, ["also has data"]),
    ],
)
async def test_malformed_tensor_is_400(wire: Wire, changes: dict[str, Any], words: list[str]) -> None:
    check_error(await wire.infer_tensor(**changes), 400, *words)


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u200b", "\u00a0\u2003", "\x00"])
async def test_blank_text_is_400(wire: Wire, blank: str) -> None:
    check_error(await wire.infer_tensor(data=["fine", blank], shape=[2]), 400, "data[1]", "blank")
    check_error(await wire.client.post(PREDICT, json={"instances": ["fine", blank]}), 400, "instances[1]")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, ["instances", "no such member"]),
        ({"inputs": ["x"]}, ["instances"]),
        ({"instances": None}, ["null"]),
        ({"instances": "x"}, ["a string"]),
        ({"instances": []}, ["no text"]),
        ({"instances": [3]}, ["instances[0]", "a number"]),
        ({"instances": ["a", {}]}, ["instances[1]", '"text"']),
        ({"instances": [{"text": None}]}, ["instances[0]", "null"]),
        ({"instances": [["a"]]}, ["instances[0]", "a list"]),
    ],
)
async def test_malformed_predict_request_is_400(wire: Wire, content: Any, words: list[str]) -> None:
    check_error(await wire.client.post(PREDICT, json=content), 400, *words)


# -- routes and methods --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v3", "/v2/nothing", "/v2/models/sentiment/explain", "/v1/models/sentiment:nothing"])
async def test_unknown_route_is_404(wire: Wire, path: str) -> None:
    check_error(await wire.client.get(path), 404, path)


@pytest.mark.parametrize(
    "path", ["/v2/models/other/infer", "/v1/models/other:predict", "/v2/models/other/versions/1/infer"]
)
async def test_unknown_model_is_404_and_names_the_known(wire: Wire, path: str) -> None:
    check_error(await wire.client.post(path, json=GOOD), 404, "'other'", "'sentiment'")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", INFER, "POST"), ("GET", PREDICT, "POST"), ("POST", "/v2", "GET"), ("PUT", "/v2/health/live", "GET")],
)
async def test_wrong_method_is_405_and_names_the_right(wire: Wire, method: str, path: str, allowed: str) -> None:
    reply = await wire.client.request(method, path)
    check_error(reply, 405, method, allowed)
    assert reply.headers["allow"] == allowed


async def test_percent_encoded_colon_is_a_predict_path(wire: Wire) -> None:
    reply = await wire.client.post("/v1/models/sentiment%3Apredict", json={"instances": ["good"]})
    assert reply.status_code == 200


async def test_v1_lists_and_status(wire: Wire) -> None:
    assert (await wire.client.get("/")).json() == {"status": "alive"}
    assert (await wire.client.get("/v1/models")).json() == {"models": ["sentiment"]}
    assert (await wire.client.get("/v1/models/sentiment")).json() == {"name": "sentiment", "ready": True}


async def test_metrics_are_kserves(wire: Wire) -> None:
    assert (await wire.client.get("/metrics")).text == "kserve"
    check_error(await wire.client.post("/metrics"), 405, "POST")


# -- content types and encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [None, "application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "x"]
)
@pytest.mark.parametrize(("path", "content"), [(INFER, GOOD), (PREDICT, {"instances": ["good"]})])
async def test_content_type_is_never_a_reason_to_refuse(wire: Wire, kind: str | None, path: str, content: Any) -> None:
    headers = {} if kind is None else {"content-type": kind}
    reply = await wire.client.post(path, content=orjson.dumps(content), headers=headers)
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("encoding", "encode"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_compressed_body_is_served(wire: Wire, encoding: str, encode: Callable[[bytes], bytes]) -> None:
    headers = {"content-encoding": encoding}
    assert (await wire.client.post(INFER, content=encode(orjson.dumps(GOOD)), headers=headers)).status_code == 200


async def test_damaged_compressed_body_is_400(wire: Wire) -> None:
    packed, headers = gzip.compress(orjson.dumps(GOOD)), {"content-encoding": "gzip"}
    check_error(await wire.client.post(INFER, content=packed[:-9], headers=headers), 400, "ends early")
    check_error(await wire.client.post(INFER, content=b"plain", headers=headers), 400, "damaged")


async def test_a_body_of_many_compressed_parts_is_400(wire: Wire) -> None:
    headers, parts = {"content-encoding": "gzip"}, [gzip.compress(bytes([byte])) for byte in orjson.dumps(GOOD)]
    assert len(parts) > 16
    check_error(await wire.client.post(INFER, content=b"".join(parts), headers=headers), 400, "send it as one")
    few = gzip.compress(orjson.dumps(GOOD)[:20]) + gzip.compress(orjson.dumps(GOOD)[20:])
    assert (await wire.client.post(INFER, content=few, headers=headers)).status_code == 200


async def test_unknown_content_encoding_is_415(wire: Wire) -> None:
    reply = await wire.client.post(INFER, json=GOOD, headers={"content-encoding": "br"})
    check_error(reply, 415, "'br'", "gzip")


async def test_large_reply_is_compressed_only_if_asked(wire: Wire) -> None:
    many = {"inputs": [{"name": "text", "shape": [200], "datatype": "BYTES", "data": ["good"] * 200}]}
    asked = await wire.client.post(INFER, json=many, headers={"accept-encoding": "gzip"})
    refused = await wire.client.post(INFER, json=many, headers={"accept-encoding": "gzip;q=0"})
    assert asked.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in refused.headers
    assert asked.json()["outputs"] == refused.json()["outputs"]


# -- replies -------------------------------------------------------------------------------------------------------


async def test_v2_reply_follows_the_protocol(wire: Wire) -> None:
    reply = await wire.infer(id="mine")
    content = reply.json()
    assert list(content) == ["model_name", "model_version", "id", "parameters", "outputs"]
    assert (content["model_name"], content["model_version"], content["id"]) == ("sentiment", VERSION, "mine")
    assert content["parameters"] == {"request_id": reply.headers["x-request-id"]}
    assert reply.headers["x-model-version"] == VERSION
    assert b"null" not in reply.content
    outputs = tensors(reply)
    assert list(outputs) == ["label", "confidence", "probabilities"]
    kinds = {name: (tensor["datatype"], tensor["shape"]) for name, tensor in outputs.items()}
    assert kinds == {"label": ("BYTES", [1]), "confidence": ("FP32", [1]), "probabilities": ("FP32", [1, 3])}
    probabilities = outputs["probabilities"]["data"]
    assert sum(probabilities) == pytest.approx(1)
    assert outputs["confidence"]["data"] == [max(probabilities)]
    assert outputs["label"]["data"] == [LABELS[probabilities.index(max(probabilities))]]


async def test_v1_reply_agrees_with_v2(wire: Wire) -> None:
    reply = await wire.client.post(PREDICT, json={"instances": ["good", {"text": "bad thing"}]})
    outputs = tensors(await wire.infer_tensor(shape=[2], data=["good", "bad thing"]))
    flat = outputs["probabilities"]["data"]
    assert reply.json() == {
        "predictions": [
            {
                "label": outputs["label"]["data"][row],
                "confidence": outputs["confidence"]["data"][row],
                "probabilities": dict(zip(LABELS, flat[3 * row : 3 * row + 3], strict=True)),
            }
            for row in range(2)
        ]
    }
    assert reply.headers["x-model-version"] == VERSION
    assert len(reply.headers["x-request-id"]) == 32


@pytest.mark.parametrize("sent", [None, ..., ""])
async def test_id_is_made_when_there_is_none(wire: Wire, sent: Any) -> None:
    reply = await wire.infer(id=sent)
    assert reply.json()["id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("shape", "data"), [([2], ["a", "b"]), ([2, 1], ["a", "b"]), ([2, 1], [["a"], ["b"]]), ([2], [["a", "b"]])]
)
async def test_data_may_be_flat_or_nested(wire: Wire, shape: list[int], data: Any) -> None:
    assert tensors(await wire.infer_tensor(shape=shape, data=data))["label"]["shape"] == [2]


@pytest.mark.parametrize("data", [["a"], "a"])
async def test_scalar_shape_is_one_text(wire: Wire, data: Any) -> None:
    assert tensors(await wire.infer_tensor(shape=[], data=data))["label"]["shape"] == [1]


async def test_requested_outputs_are_filtered_in_the_order_asked(wire: Wire) -> None:
    reply = await wire.infer(outputs=[{"name": "confidence"}, {"name": "label"}])
    assert list(tensors(reply)) == ["confidence", "label"]


async def test_model_metadata_and_index(wire: Wire) -> None:
    about = (await wire.client.get("/v2/models/sentiment")).json()
    assert about["platform"] == "onnx_onnxv1"
    assert about["versions"] == [VERSION]
    assert about["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert [(output["name"], output["shape"]) for output in about["outputs"]] == [
        ("label", [-1]),
        ("confidence", [-1]),
        ("probabilities", [-1, 3]),
    ]
    optional = "sentences,evidence,language,decision,reason"
    assert about["parameters"] == {"labels": "negative,neutral,positive", "optional_outputs": optional}
    expected = [{"name": "sentiment", "version": VERSION, "state": "READY", "reason": ""}]
    assert (await wire.client.get("/v2/repository/index")).json() == expected
    assert (await wire.client.post("/v2/repository/index", json={"ready": True})).json() == expected
    assert "binary_tensor_data" in (await wire.client.get("/v2")).json()["extensions"]


async def test_every_documented_example_is_served(wire: Wire) -> None:
    document = (await wire.client.get("/openapi.json")).json()
    served = 0
    for path, operations in document["paths"].items():
        request = operations.get("post", {}).get("requestBody")
        if request and "feedback" not in path:
            example = request["content"]["application/json"]["example"]
            reply = await wire.client.post(path.replace("{version}", VERSION), json=example)
            documented = operations["post"]["responses"]["200"]["content"]["application/json"]["example"]
            assert reply.status_code == 200
            assert set(reply.json()) == set(documented)
            served += 1
    assert served == 4
    page = await wire.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/v2/models/sentiment/infer" in page.text
    assert "http" not in page.text.replace("http://localhost:8080", "")


# -- binary tensors ------------------------------------------------------------------------------------------------


def packed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


async def send_binary(
    wire: Wire, raw: bytes, *, size: Any = None, length: str | None = None, rows: int = 2, **more: Any
) -> httpx.Response:
    """An infer request whose `text` is a binary tensor."""
    size = len(raw) if size is None else size
    tensor = {"name": "text", "shape": [rows], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    head = orjson.dumps({"inputs": [tensor]} | more)
    headers = {"inference-header-content-length": length or str(len(head))}
    return await wire.client.post(INFER, content=head + raw, headers=headers)


async def test_binary_input_agrees_with_json(wire: Wire) -> None:
    reply = await send_binary(wire, packed("schön".encode(), b"bad thing"))
    expected = await wire.infer_tensor(shape=[2], data=["schön", "bad thing"])
    assert tensors(reply) == tensors(expected)


@pytest.mark.parametrize(
    ("more", "binary"),
    [
        ({"parameters": {"binary_data_output": True}}, {"label", "confidence", "probabilities"}),
        ({"outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "confidence"}]}, {"label"}),
    ],
)
async def test_binary_outputs(wire: Wire, more: dict[str, Any], binary: set[str]) -> None:
    expected = tensors(await wire.infer_tensor(shape=[2], data=["good", "bad thing"]))
    reply = await send_binary(wire, packed(b"good", b"bad thing"), **more)
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    head, tail = orjson.loads(reply.content[:length]), reply.content[length:]
    for tensor in head["outputs"]:
        if tensor["name"] not in binary:
            assert tensor == expected[tensor["name"]]
            continue
        size = tensor["parameters"]["binary_data_size"]
        raw, tail = tail[:size], tail[size:]
        data = expected[tensor["name"]]["data"]
        if tensor["name"] == "label":
            assert raw == packed(*(label.encode() for label in data))
        else:
            assert struct.unpack(f"<{len(data)}f", raw) == pytest.approx(data)
    assert tail == b""


@pytest.mark.parametrize(
    ("raw", "changes", "words"),
    [
        (packed(b"a", b"b")[:-1], {}, ["element 1 has a length of 1 bytes", "0 follow"]),
        (packed(b"a") + b"\x01", {}, ["inside a length"]),
        (packed(b"a", b"\xff"), {}, ["data[1]", "not UTF-8"]),
        (packed(b"a"), {}, ["means 2 texts", "expected [1]"]),
        (packed(b"a", b"b"), {"size": 3}, ["found 3", "10 bytes follow"]),
        (packed(b"a", b"b"), {"size": -1}, ["found -1"]),
        (packed(b"a", b"b"), {"size": "10"}, ["'10'"]),
        (packed(b"a", b"b"), {"length": "ten"}, ["Inference-Header-Content-Length", "'ten'"]),
        (packed(b"a", b"b"), {"length": "-5"}, ["'-5'"]),
        (packed(b"a", b"b"), {"length": "99999"}, ["99999", "has only"]),
        (packed(b"a", b"b"), {"length": "3"}, ["not valid JSON"]),
        (b"", {"rows": 0}, ["no text"]),
    ],
)
async def test_malformed_binary_is_400(wire: Wire, raw: bytes, changes: dict[str, Any], words: list[str]) -> None:
    check_error(await send_binary(wire, raw, **changes), 400, *words)


# -- limits --------------------------------------------------------------------------------------------------------


async def test_too_large_is_413(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(max_body_bytes=2000, max_texts=3)
    check_error(await wire.infer_tensor(data=["x" * 3000]), 413, "2000")
    check_error(await wire.infer_tensor(data=["x"] * 4, shape=[4]), 413, "4 texts", "3")
    check_error(await wire.client.post(PREDICT, json={"instances": ["x"] * 4}), 413, "4 texts")
    bomb = gzip.compress(b" " * 1_000_000)
    check_error(await wire.client.post(INFER, content=bomb, headers={"content-encoding": "gzip"}), 413, "2000")

    async def chunks() -> Any:
        for _ in range(30):
            yield b" " * 100

    check_error(await wire.client.post(INFER, content=chunks()), 413, "2000")


async def test_over_long_text_is_413(wire: Wire) -> None:
    check_error(await wire.infer_tensor(data=["x" * (MAX_TEXT_CHARS + 1)]), 413, "20001 characters", "20000")


async def test_a_long_text_is_read_in_full(wire: Wire) -> None:
    beginning = "It has two buttons. " * 90
    reply = await wire.infer_tensor(shape=[2], data=[beginning + "I love it.", beginning + "It broke today."])
    assert "truncated" not in reply.json()["parameters"]
    assert "x-truncated-texts" not in reply.headers
    (one, other) = np.reshape(reply.json()["outputs"][2]["data"], (2, 3))
    assert np.abs(one - other).max() > 1e-4


async def test_a_text_above_the_limit_is_cut_only_on_request(wire: Wire) -> None:
    parameters = {"parameters": {"truncate": True}}
    text = "word " * 4000
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [2], "data": [text + "the end", "short"]}]
    check_error(await wire.client.post(INFER, json={"inputs": inputs}), 413, "20007", "20000", "truncate=true")
    reply = await wire.client.post(INFER, json={"inputs": inputs} | parameters)
    assert reply.json()["parameters"]["truncated"] == 1
    assert reply.headers["x-truncated-texts"] == "1"
    whole = await wire.infer_tensor(shape=[2], data=[text, "short"])
    assert reply.json()["outputs"] == whole.json()["outputs"]
    body = {"instances": [text + "the end", "short"]}
    check_error(await wire.client.post(PREDICT, json=body), 413, "20007", "20000", "truncate=true")
    assert (await wire.client.post(PREDICT, json=body | parameters)).headers["x-truncated-texts"] == "1"


@pytest.mark.parametrize("wrong", ["yes", 1, None])
async def test_truncate_must_be_true_or_false(wire: Wire, wrong: object) -> None:
    parameters = {"truncate": wrong}
    replies = [
        await wire.infer(parameters=parameters),
        await wire.client.post(PREDICT, json={"instances": ["text"], "parameters": parameters}),
    ]
    for reply in replies:
        check_error(reply, 400, "parameters.truncate", "true or false")
    body = {"instances": ["text"], "parameters": [1]}
    check_error(await wire.client.post(PREDICT, json=body), 400, "parameters", "an object")


async def test_rate_limit_counts_requests_not_texts(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(rate_limit="3/minute")
    for left in (2, 1, 0):
        reply = await wire.infer_tensor(shape=[50], data=["good"] * 50)
        assert (reply.headers["ratelimit-limit"], reply.headers["ratelimit-remaining"]) == ("3", str(left))
        assert 0 < int(reply.headers["ratelimit-reset"]) <= 60
    refused = await wire.infer()
    check_error(refused, 429, "3 requests")
    assert refused.headers["ratelimit-remaining"] == "0"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    other = await wire.client.post(INFER, json=GOOD, headers={"x-user-id": "someone else"})
    assert other.status_code == 200
    for path in ("/v2/health/live", "/v2/health/ready", "/metrics", "/v2/models/sentiment/ready", "/"):
        exempt = await wire.client.get(path)
        assert exempt.status_code == 200
        assert "ratelimit-limit" not in exempt.headers


async def test_errors_carry_the_rate_limit_too(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(rate_limit="3/minute")
    assert (await wire.client.get("/nowhere")).headers["ratelimit-remaining"] == "2"
    assert (await wire.client.post(INFER, content=b"{")).headers["ratelimit-remaining"] == "1"


async def test_untrusted_peer_cannot_choose_its_user(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(rate_limit="2/minute", trusted_proxies="10.0.0.0/8")
    statuses = [
        (await wire.client.post(INFER, json=GOOD, headers={"x-user-id": str(n), "x-forwarded-for": f"1.1.1.{n}"}))
        for n in range(3)
    ]
    assert [reply.status_code for reply in statuses] == [200, 200, 429]


# -- feedback ------------------------------------------------------------------------------------------------------

LABEL = {"request_id": "a", "label": "neutral"}


async def test_feedback_that_cannot_be_stored_is_not_acknowledged(
    make_wire: Callable[..., Any], tmp_path: Path
) -> None:
    wire = await make_wire(prediction_log=str(tmp_path / "log"), feedback="on", log_queue_lines=1)
    first = await wire.client.post(FEEDBACK, json=LABEL)
    assert (first.status_code, first.json()) == (202, LABEL | {"item": 0})
    check_error(await wire.client.post(FEEDBACK, json=LABEL), 503, "send it again")


async def test_feedback_is_stored_with_the_hash_of_its_user(make_wire: Callable[..., Any], tmp_path: Path) -> None:
    wire = await make_wire(prediction_log=str(tmp_path / "log"), feedback="on", rate_limit="off")
    for user in ("ann", "ann", "bob"):
        await wire.client.post(FEEDBACK, json=LABEL, headers={"X-User-Id": user})
    for _ in range(100):
        lines = [line for path in (tmp_path / "log").rglob("feedback-*") for line in path.read_text().splitlines()]
        if len(lines) == 3:
            break
        await asyncio.sleep(0.05)
    first, second, third = (orjson.loads(line)["user_hash"] for line in lines)
    assert first == second != third
    assert "ann" not in first


async def test_feedback_is_404_where_it_is_off(wire: Wire) -> None:
    check_error(await wire.client.post(FEEDBACK, json=LABEL), 404, "FEEDBACK=on")


# -- readiness, deadlines, clients that leave ----------------------------------------------------------------------


async def test_without_a_model_live_is_200_and_ready_503(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(loaded=False)
    wire.predictor.cause = "the registry said no"
    assert (await wire.client.get("/v2/health/live")).json() == {"live": True}
    for path in ("/v2/health/ready", "/v2/models/sentiment/ready", "/v1/models/sentiment"):
        check_error(await wire.client.get(path), 503, "the registry said no")
    for reply in (await wire.infer(), await wire.client.post(PREDICT, json={"instances": ["good"]})):
        check_error(reply, 503, "the registry said no")
        assert int(reply.headers["retry-after"]) >= 1
    index = (await wire.client.get("/v2/repository/index")).json()
    assert (index[0]["state"], "registry said no" in index[0]["reason"]) == ("UNAVAILABLE", True)
    assert (await wire.client.get("/v2/models/sentiment")).json()["versions"] == []


async def test_draining_turns_readiness_off_and_goes_on_answering(wire: Wire) -> None:
    wire.predictor.begin_drain()
    check_error(await wire.client.get("/v2/health/ready"), 503, "shutting down")
    reply = await wire.infer()
    assert reply.status_code == 200
    assert reply.headers["connection"] == "close"


async def test_deadline_is_504(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(request_timeout_seconds=0.05, engine=FakeEngine(seconds_per_token=0.05))
    check_error(await wire.infer(), 504, "deadline")


async def test_full_queue_is_503_with_retry_after(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(queue_texts=2, cache="off")
    reply = await wire.infer_tensor(shape=[3], data=["a", "b", "c"])
    check_error(reply, 503, "try again")
    assert int(reply.headers["retry-after"]) >= 1


async def test_a_defect_of_ours_is_500_in_the_one_format(make_wire: Callable[..., Any]) -> None:
    class Broken(FakeEngine):
        def encode(self, texts: Any) -> Any:
            if "break" in texts:
                raise ZeroDivisionError
            return super().encode(texts)

    wire = await make_wire(engine=Broken())
    check_error(await wire.infer_tensor(data=["break"]), 500, "the server's log has the details")
    assert (await wire.infer()).status_code == 200
