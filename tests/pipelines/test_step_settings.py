"""Resources, retries, timeouts and secrets of the steps, as a cluster reads them in the compiled files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec
from typer.testing import CliRunner

from pipelines.compiling import COMPILED
from pipelines.run import app
from pipelines.step_settings import VOLUME_PATH, WEBHOOK_VARIABLE, step_of

Documents = tuple[dict[str, Any], dict[str, Any]]


def documents(folder: Path, pipeline: str) -> Documents:
    spec, platform = yaml.safe_load_all((folder / f"{pipeline}.yaml").read_text(encoding="utf-8"))
    json_format.ParseDict(spec, PipelineSpec())
    json_format.ParseDict(platform, PlatformSpec())
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def tasks(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    dags = [spec["root"]["dag"], *(item["dag"] for item in spec["components"].values() if "dag" in item)]
    return {name: task for dag in dags for name, task in dag["tasks"].items()}


@pytest.mark.parametrize("pipeline", ["training", "monitoring", "search"])
def test_every_step_has_limits_and_a_timeout_that_the_library_reads(pipeline: str) -> None:
    spec, platform = documents(COMPILED, pipeline)
    executors = spec["deploymentSpec"]["executors"]
    assert platform.keys() == executors.keys()
    for label, executor in executors.items():
        resources = executor["container"]["resources"]
        assert all(resources[f"resource{kind}"] for kind in ("CpuRequest", "CpuLimit", "MemoryRequest", "MemoryLimit"))
        config = kubernetes_executor_config_pb2.KubernetesExecutorConfig()
        json_format.ParseDict(platform[label], config)
        assert config.active_deadline_seconds > 0
        secrets = [(secret.secret_name, secret.optional, [key.env_var for key in secret.key_to_env])
                   for secret in config.secret_as_env]  # fmt: skip
        alerts = step_of(label) in {"alert", "alert-on-failure"}
        assert secrets == ([("review-sentiment-alerts", True, [WEBHOOK_VARIABLE])] if alerts else [])


def test_steps_are_retried_and_never_cached_except_the_one_that_fails_again() -> None:
    spec, _ = documents(COMPILED, "training")
    found = {name: task for name, task in tasks(spec).items() if not name.startswith("condition")}
    assert "retryPolicy" not in found.pop("require-data")
    assert {name: task["retryPolicy"]["maxRetryCount"] for name, task in found.items()} == {
        name: 1 if name == "train" else 2 for name in found
    }
    assert all(task["cachingOptions"] == {} for task in found.values())


def test_an_environment_has_its_own_resources_and_gpus(tmp_path: Path) -> None:
    (tmp_path / "prod.toml").write_text('[default]\ncpu_limit = "3"\n[train]\nmemory_limit = "32Gi"\nretries = 0\n')
    command = ["compile", "--output", str(tmp_path), "--steps", str(tmp_path / "prod.toml"), "--gpus", "2"]
    assert CliRunner().invoke(app, command).exit_code == 0
    for pipeline in ("training", "monitoring"):
        spec, _ = documents(tmp_path, pipeline)
        executors = spec["deploymentSpec"]["executors"]
        train = executors["exec-train"]["container"]["resources"]
        assert train["resourceMemoryLimit"] == "32Gi"
        assert train["accelerator"] == {"resourceType": "nvidia.com/gpu", "resourceCount": "2"}
        assert executors["exec-split"]["container"]["resources"]["resourceCpuLimit"] == "3"
        assert "retryPolicy" not in tasks(spec)["train"]


def test_a_volume_is_mounted_where_the_settings_name_one(tmp_path: Path) -> None:
    (tmp_path / "prod.toml").write_text('[train]\nvolume = "review-sentiment-training"\n')
    command = ["compile", "--output", str(tmp_path), "--steps", str(tmp_path / "prod.toml")]
    assert CliRunner().invoke(app, command).exit_code == 0
    _, platform = documents(tmp_path, "training")
    config = json_format.ParseDict(platform["exec-train"], kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    (mount,) = config.pvc_mount
    found = (mount.constant, mount.pvc_name_parameter.runtime_value.constant.string_value, mount.mount_path)
    assert found == ("review-sentiment-training", "review-sentiment-training", VOLUME_PATH)
    assert "pvcMount" not in platform["exec-split"]
    _, by_default = documents(COMPILED, "training")
    assert "pvcMount" not in by_default["exec-train"]


def test_an_unknown_setting_of_a_step_is_named(tmp_path: Path) -> None:
    (tmp_path / "prod.toml").write_text("[train]\nmemory = '1Gi'\n")
    command = ["compile", "--output", str(tmp_path), "--steps", str(tmp_path / "prod.toml")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "expected a table with some of" in " ".join(result.output.split())
