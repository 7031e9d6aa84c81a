"""What KServe hands to a predictor: its arguments, and a mounted model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from feature_checks.bundle import Bundle
from serving.settings import Settings, mounted_bundle
from tests.support.live_server import live

V1 = {"instances": ["It is good."]}


def test_kserves_arguments_name_the_model_its_folder_and_the_ports(tmp_path: Path, tiny_bundle: Bundle) -> None:
    """The folder is that of a logged MLflow model, and each argument precedes the variable of its name."""
    arguments = {"model_name": "reviews", "model_dir": str(tiny_bundle.folder.parent)}
    wrong: dict[str, Any] = {"MODEL_NAME": "other", "MODEL_URI": str(tmp_path / "missing"), "PREDICTION_LOG": "off"}
    with live(tmp_path, kserve_arguments=arguments, **wrong) as server:
        reply = httpx.post(f"{server.http}/v1/models/reviews:predict", json=V1, timeout=20)
        assert reply.status_code == 200
        assert reply.headers["x-model-version"] == tiny_bundle.digest[:12]
        assert httpx.get(f"{server.http}/v1/models/other").status_code == 404
        with grpc.insecure_channel(server.grpc) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert check.status == health_pb2.HealthCheckResponse.SERVING
        assert server.stop() == 0


def test_a_mounted_bundle_is_served_where_no_model_is_named(tmp_path: Path, tiny_bundle: Bundle) -> None:
    variables: dict[str, Any] = {"MODEL_DIR": str(tiny_bundle.folder), "MODEL_URI": "", "PREDICTION_LOG": "off"}
    with live(tmp_path, **variables) as server:
        reply = httpx.post(f"{server.http}/v1/models/sentiment:predict", json=V1, timeout=20)
        assert reply.headers["x-model-version"] == tiny_bundle.digest[:12]
        assert server.stop() == 0


def test_a_folder_without_a_bundle_and_a_named_model_leave_the_mount_alone(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODEL_URI", raising=False)
    assert mounted_bundle(tmp_path) is None
    assert Settings(model_dir=tmp_path).model_uri == "models:/review-sentiment@champion"
    assert Settings(model_dir=tiny_bundle.folder.parent).model_uri == str(tiny_bundle.folder)
    monkeypatch.setenv("MODEL_URI", "models:/review-sentiment/3")
    assert Settings(model_dir=tiny_bundle.folder).model_uri == "models:/review-sentiment/3"


@pytest.mark.parametrize(
    ("argument", "words"),
    [("--http_prt=1", "unrecognized arguments: --http_prt=1"), ("--http_port=web", "HTTP_PORT")],
)
def test_a_wrong_argument_is_named(argument: str, words: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "serving", argument], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 2
    assert words in result.stderr


def test_help_lists_the_arguments() -> None:
    result = subprocess.run([sys.executable, "-m", "serving", "--help"], capture_output=True, text=True, check=True)
    for name in ("--model_name", "--model_dir", "--http_port", "--grpc_port"):
        assert name in result.stdout
