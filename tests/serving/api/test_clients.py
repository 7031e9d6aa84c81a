"""Both KServe clients and tritonclient, each in its own process, against the real server."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest

from feature_checks.contract import LABELS
from tests.support.live_server import LiveServer

from .client_scripts import TEXTS

SCRIPTS = Path(__file__).with_name("client_scripts.py")


@pytest.fixture(scope="module")
def expected(server: LiveServer) -> dict[str, Any]:
    """What the server says of TEXTS, by plain HTTP."""
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS}
    reply = httpx.post(f"{server.http}/v2/models/sentiment/infer", json={"inputs": [tensor]})
    return {output["name"]: output["data"] for output in reply.json()["outputs"]}


@pytest.fixture(scope="module")
def version(server: LiveServer) -> str:
    """The version that is served."""
    return str(httpx.get(f"{server.http}/v2/models/sentiment").json()["versions"][-1])


def run(client: str, server: LiveServer) -> dict[str, Any]:
    """What a client script found."""
    command = [sys.executable, str(SCRIPTS), client, server.http, server.grpc]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    return found


def check_v2(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The outputs of a client are those of plain HTTP, shaped n, n and n x 3."""
    assert found["label"] == expected["label"]
    assert found["confidence"] == pytest.approx(expected["confidence"])
    assert [len(row) for row in found["probabilities"]] == [3, 3]
    assert list(chain.from_iterable(found["probabilities"])) == pytest.approx(expected["probabilities"])


def test_kserve_rest(server: LiveServer, expected: dict[str, Any]) -> None:
    found = run("kserve_rest", server)
    check_v2(found["v2"], expected)
    assert found["id"] == "mine"
    assert [item["label"] for item in found["v1"]] == expected["label"]
    assert list(found["v1"][0]["probabilities"]) == list(LABELS)


def test_kserve_grpc(server: LiveServer, expected: dict[str, Any], version: str) -> None:
    found = run("kserve_grpc", server)
    check_v2(found["v2"], expected)
    assert (found["id"], found["version"]) == ("mine", version)


@pytest.mark.parametrize("client", ["triton_http_binary", "triton_http_json", "triton_grpc"])
def test_tritonclient(server: LiveServer, expected: dict[str, Any], version: str, client: str) -> None:
    found = run(client, server)
    check_v2(found["v2"], expected)
    assert list(chain.from_iterable(found["all"])) == pytest.approx(expected["probabilities"])
    assert found["version"] == version
    if client != "triton_grpc":
        assert found["gzip"] == found["deflate"]
        assert [entry["state"] for entry in found["index"]] == ["READY"]
