"""Compile the pipelines to the YAML files that are run, submitted and scheduled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Literal

from pipelines import step_settings

Name = Literal["training", "monitoring", "search"]

COMPILED: Final = Path(__file__).parent.parent / "manifests" / "pipelines"
"""Folder of the compiled pipelines. They are committed, so that what runs is what was reviewed."""
TRAINING_STEPS: Final = ("train", "trial")
"""The steps that train a model."""


def _training() -> Callable[..., Any]:
    from pipelines.training import training

    return training  # type: ignore[no-any-return]


def _monitoring() -> Callable[..., Any]:
    from pipelines.monitoring import monitoring

    return monitoring  # type: ignore[no-any-return]


def _search() -> Callable[..., Any]:
    from pipelines.search import search

    return search  # type: ignore[no-any-return]


PIPELINES: Final[Mapping[Name, Callable[[], Callable[..., Any]]]] = {
    "training": _training,
    "monitoring": _monitoring,
    "search": _search,
}


def compile_pipelines(
    folder: Path,
    image: str = "",
    env: Mapping[str, str] | None = None,
    *,
    steps: Path | None = None,
    gpus: int = 0,
) -> list[Path]:
    """Compile every pipeline into `folder`/NAME.yaml.

    `image` replaces the image of all components, `env` becomes environment variables of all their containers. `steps`
    is a file of the form of step_settings.toml with an environment's own resources, `gpus` the number of GPUs of each
    of TRAINING_STEPS. Raises StepSettingsError for such a file that cannot be used.

    Example: `compile_pipelines(Path("compiled"), env={"MLFLOW_TRACKING_URI": "http://mlflow:5000"})`.
    """
    from kfp import compiler

    tables = step_settings.load(steps)
    if gpus:
        for step in TRAINING_STEPS:
            tables[step] = tables.get(step, {}) | {"gpus": gpus}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, load in PIPELINES.items():
        path = folder / f"{name}.yaml"
        compiler.Compiler().compile(load(), str(path))
        _complete(path, tables, image, env or {})
        written.append(path)
    return written


def _complete(path: Path, tables: Mapping[str, Mapping[str, Any]], image: str, env: Mapping[str, str]) -> None:
    """Write images, variables and the settings of the steps into a compiled file; its head of comments is kept."""
    import yaml

    text = path.read_text(encoding="utf-8")
    head = "".join(takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    documents = step_settings.apply(list(yaml.safe_load_all(text)), tables)
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container["image"] = image or container["image"]
        if env:
            known = {variable["name"]: variable["value"] for variable in container.get("env", [])}
            container["env"] = [{"name": name, "value": value} for name, value in (known | dict(env)).items()]
    path.write_text(head + yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")
