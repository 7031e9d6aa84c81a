"""Resources, retries, timeouts and secrets of the pipeline steps, written into the compiled YAML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

DEFAULT: Final = Path(__file__).with_suffix(".toml")
WEBHOOK_VARIABLE: Final = "ALERT_WEBHOOK"
"""Environment variable of the steps that send alerts; its value is the key `webhook` of their Secret."""
VOLUME_PATH: Final = "/training"
"""Where a step with a volume finds it."""


class StepSettingsError(ValueError):
    """A settings file cannot be used; the message names the entry and what was expected."""


@dataclass(frozen=True)
class StepSettings:
    """What one step asks of a cluster."""

    cpu_request: str
    cpu_limit: str
    memory_request: str
    memory_limit: str
    retries: int
    timeout_seconds: int
    """The step's pod is ended after so many seconds."""
    gpus: int = 0
    gpu_type: str = "nvidia.com/gpu"
    secret: str = ""
    """Name of a Kubernetes Secret with the address for alerts; empty for none."""
    volume: str = ""
    """Name of a PersistentVolumeClaim that is mounted at VOLUME_PATH; empty for none."""


def load(overrides: Path | None = None) -> dict[str, dict[str, Any]]:
    """Read the settings of step_settings.toml, with those of `overrides` in their place.

    Raises StepSettingsError for an unknown name.

    Example: `settings_of("train", load())`.
    """
    tables: dict[str, dict[str, Any]] = tomllib.loads(DEFAULT.read_text(encoding="utf-8"))
    given = tomllib.loads(overrides.read_text(encoding="utf-8")) if overrides else {}
    names = {field.name for field in fields(StepSettings)}
    for step, values in given.items():
        if not isinstance(values, dict) or not values.keys() <= names:
            raise StepSettingsError(
                f"{overrides}: [{step}] is {values!r}; expected a table with some of {sorted(names)}"
            )
        tables[step] = tables.get(step, {}) | values
    return tables


def settings_of(step: str, tables: Mapping[str, Mapping[str, Any]]) -> StepSettings:
    """Return the settings of a step: the default ones, and its own in their place."""
    return StepSettings(**{**tables["default"], **tables.get(step, {})})


def apply(documents: list[dict[str, Any]], tables: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Write the settings into a compiled pipeline: the pipeline itself, and its platform's document.

    Steps are not cached: each run reads data that the key of Kubeflow's cache does not hold.
    """
    spec = documents[0]
    executors = spec["deploymentSpec"]["executors"]
    platform = {}
    for label, executor in executors.items():
        settings = settings_of(step_of(label), tables)
        executor["container"]["resources"] = _resources(settings)
        platform[label] = _platform(settings)
    for name, task in _tasks(spec):
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            continue
        task["cachingOptions"] = {}
        if retries := settings_of(re.sub(r"-\d+$", "", name), tables).retries:
            task["retryPolicy"] = {"maxRetryCount": retries, "backoffDuration": "30s", "backoffFactor": 2.0}
    return [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": platform}}}}]


def step_of(label: str) -> str:
    """Return the step of an executor's label. Example: `step_of("exec-train-2")` is `"train"`."""
    return re.sub(r"-\d+$", "", label.removeprefix("exec-"))


def _resources(settings: StepSettings) -> dict[str, Any]:
    limits: dict[str, Any] = {
        "resourceCpuRequest": settings.cpu_request,
        "resourceCpuLimit": settings.cpu_limit,
        "resourceMemoryRequest": settings.memory_request,
        "resourceMemoryLimit": settings.memory_limit,
    }
    if settings.gpus:
        limits["accelerator"] = {"resourceType": settings.gpu_type, "resourceCount": str(settings.gpus)}
    return limits


def _platform(settings: StepSettings) -> dict[str, Any]:
    """Return the part that kfp-kubernetes calls KubernetesExecutorConfig."""
    config: dict[str, Any] = {"activeDeadlineSeconds": str(settings.timeout_seconds)}
    if settings.secret:
        name = {"runtimeValue": {"constant": settings.secret}}
        keys = [{"secretKey": "webhook", "envVar": WEBHOOK_VARIABLE}]
        config["secretAsEnv"] = [
            {"secretName": settings.secret, "secretNameParameter": name, "keyToEnv": keys, "optional": True}
        ]
    if settings.volume:
        claim = {"constant": settings.volume, "pvcNameParameter": {"runtimeValue": {"constant": settings.volume}}}
        config["pvcMount"] = [claim | {"mountPath": VOLUME_PATH}]
    return config


def _tasks(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the definition of every task, sub-pipelines included."""
    dags = [spec["root"]["dag"], *(item["dag"] for item in spec["components"].values() if "dag" in item)]
    for dag in dags:
        yield from dag["tasks"].items()
