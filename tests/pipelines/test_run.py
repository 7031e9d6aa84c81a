from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec
from typer.testing import CliRunner

from components.train import TrainingSettings
from pipelines.compiling import COMPILED, PIPELINES, compile_pipelines
from pipelines.local import run_local
from pipelines.parameters import ParameterError
from pipelines.run import app
from pipelines.training import training


def test_the_committed_pipelines_are_what_the_code_compiles_to(tmp_path: Path) -> None:
    fresh = compile_pipelines(tmp_path)
    assert {path.name for path in fresh} == {path.name for path in COMPILED.glob("*.yaml")}
    for path in fresh:
        assert path.read_text() == (COMPILED / path.name).read_text(), f"{path.name} is stale: run `make manifests`"


@pytest.mark.parametrize("name", PIPELINES)
def test_the_committed_pipelines_have_no_field_that_kubeflow_does_not_know(name: str) -> None:
    document = next(yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text()))
    assert json_format.ParseDict(document, PipelineSpec()).root.dag.tasks


def executors_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = next(yaml.safe_load_all(path.read_text()))["deploymentSpec"]["executors"]
    return found


def test_settings_reach_every_component_beside_its_own(tmp_path: Path) -> None:
    own = executors_of(compile_pipelines(tmp_path / "own")[0])
    changed = executors_of(compile_pipelines(tmp_path / "changed", env={"MLFLOW_TRACKING_URI": "http://mlflow"})[0])
    for name, executor in changed.items():
        container, before = executor["container"], own[name]["container"]
        assert {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow"} in container["env"]
        assert [*before.get("env", [])] == container["env"][:-1]
        assert container["image"] == before["image"]


def test_an_image_replaces_that_of_every_component(tmp_path: Path) -> None:
    image = "registry.example/pipeline-python@sha256:" + "0" * 64
    (path, *_) = compile_pipelines(tmp_path, image)
    assert {executor["container"]["image"] for executor in executors_of(path).values()} == {image}


def test_the_graph_and_the_step_have_the_same_defaults() -> None:
    step = {field.name: field.default for field in fields(TrainingSettings)}
    graph = inspect.signature(training.pipeline_func).parameters
    shared = step.keys() & graph.keys()
    assert step.keys() - shared == {"batch_size"}
    assert {name: graph[name].default for name in shared} == {name: step[name] for name in shared}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epoch": "2"}, "the pipeline has no parameter 'epoch'; it takes .*'epochs'"),
        ({"epochs": "two"}, "parameter 'epochs' is 'two'; expected Float"),
    ],
)
def test_wrong_parameters_are_named_before_anything_runs(arguments: dict[str, str], message: str, state: Path) -> None:
    with pytest.raises(ParameterError, match=message):
        run_local(COMPILED / "training.yaml", arguments)
    assert not (state / "pipelines").exists()


def test_a_parameter_without_a_value_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["local", "--param", "seed"])
    assert result.exit_code == 2
    assert "write NAME=VALUE" in result.output


@pytest.mark.parametrize("command", [[], ["compile"], ["local"], ["submit"], ["schedule"]])
def test_help_has_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example: " in result.output or "python -m pipelines.run" in result.output
