"""Every part of every overlay renders, and nothing is wrong with what the parts render to together."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from . import render
from .conftest import Rendered
from .parameters import differences, read_parameters
from .render import CANARIES, DEPLOYMENTS, ENVIRONMENTS, MANIFESTS, MODES, PARTS, ROOT, of_kind
from .rules import cluster_rules, policies
from .rules.checks import problems

BESIDE = {"canary/knative": "prod-knative", "canary/router": "prod-knative", "canary/standard": None}
"""What lies in the namespace of a canary already."""
PIPELINES = sorted(MANIFESTS.rglob("pipelines/*.yaml"))


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_is_valid(name: str, rendered: Rendered) -> None:
    assert problems(rendered(name), []) == []


@pytest.mark.parametrize("name", CANARIES)
def test_a_canary_is_valid(name: str, rendered: Rendered) -> None:
    beside = BESIDE[name]
    others = ("platform", "profile", "kubeflow", "monitoring", "training")
    context = rendered(beside) if beside else [one for part in others for one in rendered(f"prod/{part}")]
    assert problems(rendered(name), context) == []


@pytest.mark.parametrize("name", PARTS)
def test_a_part_holds_nothing_that_must_wait_for_another_of_its_documents(name: str, rendered: Rendered) -> None:
    assert list(cluster_rules.order_problems(rendered(name))) == []


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_two_parts_hold_the_same_object(name: str, rendered: Rendered) -> None:
    seen = Counter((render.name_of(one), one["metadata"].get("namespace")) for one in rendered(name))
    assert [key for key, times in seen.items() if times > 1] == []


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_has_what_the_platform_needs(name: str, rendered: Rendered) -> None:
    names = {render.name_of(document) for document in rendered(name)}
    assert {"InferenceService/sentiment", "Deployment/mlflow", "Job/mlflow-database", "Job/mlflow-users"} <= names
    assert {"Deployment/evidently", "Job/monitoring-schedule", "Job/bootstrap", "NetworkPolicy/default-deny"} <= names
    assert {"CronJob/postgres-backup", "CronJob/evidently-backup", "StatefulSet/redis-limiter"} <= names
    assert ("InferenceService/sentiment-grpc" in names) == name.endswith("-knative")
    assert ({"HTTPRoute/sentiment", "GRPCRoute/sentiment"} <= names) == name.endswith("-standard")
    if not name.startswith("local"):
        assert {"PrometheusRule/review-sentiment", "ServiceMonitor/predictor", "PodDefault/review-sentiment"} <= names


@pytest.mark.parametrize("mode", MODES)
def test_staging_and_prod_differ_in_parameters_only(mode: str, rendered: Rendered) -> None:
    staging, prod = read_parameters("staging"), read_parameters("prod")
    assert staging.keys() == prod.keys()
    assert list(differences(rendered(f"staging-{mode}"), rendered(f"prod-{mode}"), staging, prod)) == []


def test_a_difference_beside_the_parameters_is_noticed(rendered: Rendered) -> None:
    staging, prod = read_parameters("staging"), read_parameters("prod")
    changed = [document for document in rendered("prod-standard") if document["kind"] != "PodDisruptionBudget"]
    assert list(differences(rendered("staging-standard"), changed, staging, prod)) != []
    less = {name: value for name, value in prod.items() if name != "MAX_REPLICAS"}
    same = {name: value for name, value in staging.items() if name != "MAX_REPLICAS"}
    assert list(differences(rendered("staging-standard"), rendered("prod-standard"), same, less)) != []


def test_staging_and_prod_share_no_place_on_s3() -> None:
    places = [
        {value for value in read_parameters(environment).values() if value.startswith("s3://")}
        for environment in ("staging", "prod")
    ]
    assert len(places[0]) > 3
    assert not places[0] & places[1]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_parameter_is_used_and_the_namespace_is_the_overlays(environment: str) -> None:
    folder = MANIFESTS / "overlays" / environment / "environment"
    written = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    parameters = read_parameters(environment)
    assert written["namespace"] == parameters["NAMESPACE"]
    replaced = "".join(path.read_text(encoding="utf-8") for path in (MANIFESTS / "components").rglob("*.yaml"))
    assert {name for name in parameters if f"data.{name}\n" not in replaced} == set()


OUTSIDE = re.compile(r"s3://|example\.com|\.svc\.cluster\.local(?!:(?:5000|8000))|\b10\.\d+\.\d+\.\d+/(?!8\b)\d+")
"""A bucket, a host or a network that belongs into parameters.env."""


def test_no_bucket_and_no_outside_address_stands_outside_the_parameters() -> None:
    for folder in ("base", "components", "alerts"):
        for path in (MANIFESTS / folder).rglob("*.yaml"):
            assert not OUTSIDE.findall(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    "line",
    ["s3://bucket/log", "a.example.com", "http://ml-pipeline.kubeflow.svc.cluster.local:8888", "10.1.0.0/16"],
)
def test_a_parameter_outside_its_file_is_noticed(line: str) -> None:
    assert OUTSIDE.search(line)


@pytest.mark.parametrize("mode", MODES)
def test_prod_runs_the_pods_that_the_capacity_page_simulates(mode: str, rendered: Rendered) -> None:
    page = (MANIFESTS / "CAPACITY.md").read_text(encoding="utf-8")
    cores, most = re.search(r"A pod has (\d+) vCPUs", page), re.search(r"at most (\d+) \(`--max-replicas`\)", page)
    target = re.search(r"max\(1, concurrency x 70%\) = ([\d.]+) requests in flight", page)
    assert cores is not None and most is not None and target is not None
    for runtime in of_kind(rendered(f"prod-{mode}"), "ServingRuntime"):
        container = runtime["spec"]["containers"][0]
        assert container["resources"]["limits"]["cpu"] == container["resources"]["requests"]["cpu"] == cores[1]
        assert {"name": "ENGINE_THREADS", "value": cores[1]} in container["env"]
    for service in of_kind(rendered(f"prod-{mode}"), "InferenceService"):
        predictor = service["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, int(most[1]))
        if mode == "standard":
            assert predictor["autoScaling"]["metrics"][0]["external"]["target"]["value"] == target[1]
        else:
            assert predictor["scaleTarget"] * 0.7 == pytest.approx(float(target[1]))


def test_the_cache_may_forget_and_the_limiter_may_not(rendered: Rendered) -> None:
    configured = {
        document["metadata"]["name"].rpartition("-")[0]: document["data"]["redis.conf"]
        for document in of_kind(rendered("prod-knative"), "ConfigMap")
        if "redis.conf" in document["data"]
    }
    assert "maxmemory-policy allkeys-lru" in configured["redis-cache"]
    assert "maxmemory-policy noeviction" in configured["redis-limiter"]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_compiled_pipelines_name_a_released_components_image(path: Path) -> None:
    document = next(iter(yaml.safe_load_all(path.read_text(encoding="utf-8"))))
    assert list(policies.pipeline_problems(document)) == []


def test_there_are_pipelines() -> None:
    assert {path.name for path in PIPELINES} >= {"training.yaml", "monitoring.yaml"}


def test_the_job_compiles_the_pipelines_for_the_overlays_own_image(rendered: Rendered) -> None:
    (job,) = [
        one for one in of_kind(rendered("prod-knative"), "Job") if one["metadata"]["name"] == "monitoring-schedule"
    ]
    (compiler,) = job["spec"]["template"]["spec"]["initContainers"]
    assert {"name": "COMPONENTS_IMAGE", "value": compiler["image"]} in compiler["env"]


def test_yaml_is_in_one_style() -> None:
    files = [path for path in MANIFESTS.rglob("*.yaml") if path.parent.name != "pipelines"]
    style = (
        "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 1}}}"
    )
    command = [str(Path(sys.executable).with_name("yamllint")), "--strict", "-d", style, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_a_missing_schema_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for value in ("", str(tmp_path / "none")):
        monkeypatch.setenv("CRD_SCHEMAS", value)
        with pytest.raises(RuntimeError, match="CRD_SCHEMAS is"):
            render.schema_folder()


def test_a_missing_tool_and_a_folder_that_does_not_render_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="does not render"):
        render.render(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="kubectl is not on PATH"):
        render.render(PARTS["local/platform"])
