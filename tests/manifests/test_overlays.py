"""Every overlay renders, and nothing is wrong with what it renders to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from . import policies, render
from .checks import problems
from .conftest import Rendered
from .render import MANIFESTS, OVERLAYS, ROOT, of_kind

KNOWN_TO = {"canary": "prod"}
"""What lies beside an overlay in its namespace."""
PIPELINES = sorted(MANIFESTS.rglob("pipelines/*.yaml"))


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_valid(name: str, rendered: Rendered) -> None:
    context = rendered(KNOWN_TO[name]) if name in KNOWN_TO else []
    assert problems(rendered(name), context) == []


@pytest.mark.parametrize("name", ["local", "staging", "prod"])
def test_an_overlay_has_what_the_platform_needs(name: str, rendered: Rendered) -> None:
    names = {render.name_of(document) for document in rendered(name)}
    assert {"InferenceService/sentiment", "InferenceService/sentiment-grpc", "Deployment/mlflow"} <= names
    assert {"Deployment/evidently", "Job/monitoring-schedule", "NetworkPolicy/default-deny"} <= names
    if name != "local":
        assert {"StatefulSet/redis-cache", "StatefulSet/redis-limiter", "PrometheusRule/review-sentiment"} <= names
        assert "ServiceMonitor/predictor" in names


def test_prod_is_never_without_a_pod_and_gives_a_new_revision_a_part_of_the_traffic(rendered: Rendered) -> None:
    for service in of_kind(rendered("prod"), "InferenceService"):
        assert service["spec"]["predictor"]["minReplicas"] >= 1
        assert 0 < service["spec"]["predictor"]["canaryTrafficPercent"] < 100
    policies_of_redis = {
        document["metadata"]["name"].rpartition("-")[0]: document["data"]["redis.conf"]
        for document in of_kind(rendered("prod"), "ConfigMap")
        if "redis.conf" in document["data"]
    }
    assert "maxmemory-policy allkeys-lru" in policies_of_redis["redis-cache"]
    assert "maxmemory-policy noeviction" in policies_of_redis["redis-limiter"]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_compiled_pipelines_name_a_released_components_image(path: Path) -> None:
    document = next(iter(yaml.safe_load_all(path.read_text(encoding="utf-8"))))
    assert list(policies.pipeline_problems(document)) == []


def test_there_are_pipelines() -> None:
    assert {path.name for path in PIPELINES} >= {"training.yaml", "monitoring.yaml"}


def test_the_job_compiles_the_pipelines_for_the_overlays_own_image(rendered: Rendered) -> None:
    (job,) = of_kind(rendered("prod"), "Job")
    (compiler,) = job["spec"]["template"]["spec"]["initContainers"]
    assert {"name": "COMPONENTS_IMAGE", "value": compiler["image"]} in compiler["env"]


@pytest.mark.parametrize("name", ["local", "staging", "prod"])
def test_the_monitoring_reads_the_log_that_the_predictor_writes(name: str, rendered: Rendered) -> None:
    (job,) = of_kind(rendered(name), "Job")
    (scheduler,) = job["spec"]["template"]["spec"]["containers"]
    (read,) = [word.removeprefix("--param=log=") for word in scheduler["args"] if word.startswith("--param=log=")]
    runtimes = of_kind(rendered(name), "ServingRuntime")
    written = [
        [
            variable["value"]
            for variable in runtime["spec"]["containers"][0]["env"]
            if variable["name"] == "PREDICTION_LOG"
        ]
        for runtime in runtimes
    ]
    assert written == [[read]] * 2


def test_yaml_is_in_one_style() -> None:
    files = [path for path in MANIFESTS.rglob("*.yaml") if path.parent.name != "pipelines"]
    style = (
        "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 1}}}"
    )
    command = [str(Path(sys.executable).with_name("yamllint")), "--strict", "-d", style, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_missing_schemas_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for value in ("", str(tmp_path / "none")):
        monkeypatch.setenv("CRD_SCHEMAS", value)
        with pytest.raises(RuntimeError, match="CRD_SCHEMAS is"):
            render.schema_folder()


def test_a_missing_tool_and_a_folder_that_does_not_render_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="does not render"):
        render.render(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="kubectl is not on PATH"):
        render.render(OVERLAYS["local"])
