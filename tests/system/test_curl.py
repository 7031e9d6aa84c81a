"""curl against the real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx

from feature_checks.bundle import Bundle
from tests.support.live_server import LiveServer, live

TEXTS = ["It is good.", "Schlecht, ganz schlecht: kaputt."]


def curl(*arguments: str) -> tuple[int, Any]:
    """Status and JSON body of a curl call."""
    command = ["curl", "-sS", "-w", "\\n%{http_code}", *arguments]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    body, _, status = text.rpartition("\n")
    return int(status), json.loads(body)


def test_curl(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with live(tmp_path / "server", MODEL_URI=str(tiny_bundle.folder)) as server:
        check(server, tmp_path)


def check(server: LiveServer, tmp_path: Path) -> None:
    """V1 and V2 give the answers that another client gets, and errors are JSON."""
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS}
    reply = httpx.post(f"{server.http}/v2/models/sentiment/infer", json={"inputs": [tensor]}).json()
    labels = next(output["data"] for output in reply["outputs"] if output["name"] == "label")
    status, v1 = curl(f"{server.http}/v1/models/sentiment:predict", "-d", json.dumps({"instances": TEXTS}))
    assert (status, [item["label"] for item in v1["predictions"]]) == (200, labels)
    status, v2 = curl(f"{server.http}/v2/models/sentiment/infer", "-d", json.dumps({"inputs": [tensor]}))
    assert (status, v2["outputs"][0]["data"]) == (200, labels)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (17 * 1024 * 1024))
    status, error = curl(f"{server.http}/v2/models/sentiment/infer", "--data-binary", f"@{large}")
    assert (status, list(error)) == (413, ["error"])
    status, error = curl(f"{server.http}/v2/models/sentiment/infer")
    assert (status, list(error)) == (405, ["error"])
