"""What Kubeflow's launcher and API server refuse in a step's outputs, which kfp.local lets pass.

Facts from kubeflow/pipelines: `backend/src/v2/component/launcher_v2.go` reads the executor's output with protojson and
collects declared parameters from files; `backend/src/v2/metadata/converter.go` refuses null in artifact metadata.
Stricter than the launcher where people would be hurt later: null at any depth, outputs that are absent, and sizes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import ExecutorOutput

OUTPUT_FILE: Final = "executor_output.json"
MAX_METADATA_BYTES: Final = 65_535
"""Most bytes of one metadata value: MySQL's TEXT, which ML Metadata's property columns were before schema 10."""
MAX_PARAMETER_BYTES: Final = 65_535
"""Most bytes of one output parameter, which is kept as a property of the execution."""
PROPERTY_COLUMNS: Final = {"mlflow tag": 5_000, "mlflow description": 5_000}
"""Lengths that MLflow's tables have on PostgreSQL and that SQLite ignores."""


class NotStrictJson(ValueError):
    """A number that JSON has no word for."""


def problems(run: Path, pipeline: Path, texts: Sequence[str] = (), may_hold_texts: Sequence[str] = ()) -> list[str]:
    """Return one sentence for each output of a finished local run that a cluster would refuse or should not hold.

    `run` is the folder of one run of kfp.local, `pipeline` the compiled YAML. No artifact but those in
    `may_hold_texts` (as `task/artifact`) may contain one of `texts`.

    Example: `assert problems(run.folder, COMPILED / "training.yaml") == []`
    """
    tasks = declared_outputs(yaml.safe_load(pipeline.read_text(encoding="utf-8").split("\n---\n")[0]))
    outputs = sorted(run.rglob(OUTPUT_FILE))
    if not outputs:
        return [f"{run}: no step has written {OUTPUT_FILE}"]
    found = [problem for path in outputs for problem in _of_step(path, tasks.get(path.parent.name, {}))]
    return [*found, *_leaks(run, texts, set(may_hold_texts))]


def declared_outputs(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each task's output definitions, sub-pipelines included."""
    components = spec["components"]
    dags = [spec["root"]["dag"], *(item["dag"] for item in components.values() if "dag" in item)]
    return {
        name: components[task["componentRef"]["name"]].get("outputDefinitions", {})
        for dag in dags
        for name, task in dag["tasks"].items()
        if "dag" not in components[task["componentRef"]["name"]]
    }


def _of_step(path: Path, declared: dict[str, Any]) -> Iterator[str]:
    task = path.parent.name
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        json_format.ParseDict(content, ExecutorOutput())
    except (NotStrictJson, json.JSONDecodeError, json_format.ParseError) as error:
        yield f"{task}: the launcher cannot read the executor's output: {error}"
        return
    yield from _parameters(task, path.parent, content.get("parameterValues", {}), declared.get("parameters", {}))
    artifacts = content.get("artifacts", {})
    for name in declared.get("artifacts", {}):
        yield from _artifact(task, name, artifacts.get(name, {}).get("artifacts", []))


def _refuse_constant(word: str) -> None:
    raise NotStrictJson(f"{word} is not JSON")


def _parameters(task: str, folder: Path, values: dict[str, Any], declared: dict[str, Any]) -> Iterator[str]:
    for name in declared:
        if name not in values and not (folder / name).is_file():
            yield f"{task}: the declared output parameter {name!r} is missing"
    for name, value in values.items():
        if _size(value) > MAX_PARAMETER_BYTES:
            yield f"{task}: output parameter {name!r} has {_size(value)} bytes; at most {MAX_PARAMETER_BYTES} are kept"


def _artifact(task: str, name: str, instances: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not instances:
        yield f"{task}: the declared artifact {name!r} is missing"
    for instance in instances:
        # Metrics live in the metadata alone and have no file.
        metadata = instance.get("metadata", {})
        if not metadata and not Path(instance["uri"]).exists():
            yield f"{task}: artifact {name!r} has neither a file nor metadata"
        for key, value in metadata.items():
            if _holds_null(value):
                yield f"{task}: metadata {key!r} of artifact {name!r} holds null, which the launcher refuses"
            if (size := _size(value)) > MAX_METADATA_BYTES:
                limit = f"at most {MAX_METADATA_BYTES} fit"
                yield f"{task}: metadata {key!r} of artifact {name!r} has {size} bytes; {limit}"


def _holds_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_null(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_null(item) for item in value)
    return value is None


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _leaks(run: Path, texts: Sequence[str], allowed: set[str]) -> Iterator[str]:
    if not texts:
        return
    for output in sorted(run.rglob(OUTPUT_FILE)):
        for artifact in sorted(output.parent.iterdir()):
            name = f"{output.parent.name}/{artifact.name}"
            if artifact.name == OUTPUT_FILE or name in allowed:
                continue
            for path in [artifact] if artifact.is_file() else sorted(artifact.rglob("*")):
                if path.is_file() and (leaked := _first_text_in(path, texts)):
                    yield f"{name}: {path.name} holds the review text {leaked[:40]!r}"


def _first_text_in(path: Path, texts: Sequence[str]) -> str | None:
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        content = pd.read_parquet(path).to_csv().encode()
    # Inside JSON and HTML a text may stand escaped.
    forms = {text: (text.encode(), json.dumps(text)[1:-1].encode()) for text in texts}
    return next((text for text, shapes in forms.items() if any(shape in content for shape in shapes)), None)


def too_long_for_postgresql(tags: dict[str, str], description: str = "") -> list[str]:
    """Return one sentence for each model-version tag, or description, that PostgreSQL would cut or refuse."""
    limit = PROPERTY_COLUMNS["mlflow tag"]
    long = [
        f"tag {name!r} has {len(value)} characters; at most {limit} fit"
        for name, value in tags.items()
        if len(value) > limit
    ]
    if len(description) > PROPERTY_COLUMNS["mlflow description"]:
        long.append(
            f"the description has {len(description)} characters; at most {PROPERTY_COLUMNS['mlflow description']} fit"
        )
    return long


def registry_problems(tracking_uri: str) -> list[str]:
    """Return what PostgreSQL would refuse in the tags and descriptions of every registered version."""
    from mlflow import MlflowClient

    versions = MlflowClient(tracking_uri, tracking_uri).search_model_versions(max_results=1000)
    return [
        f"{version.name} version {version.version}: {problem}"
        for version in versions
        for problem in too_long_for_postgresql(dict(version.tags), version.description or "")
    ]
