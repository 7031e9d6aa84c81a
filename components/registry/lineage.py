"""Where a model comes from: the source code's revision, the data with its digest, and the pipeline run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from components.registry.client import add, connect
from feature_checks.contract import GROUP_ID, LABEL, MODEL_NAME, ROW_ID, SPLIT, TEXT

INJECTED_RUN: Final = "MLFLOW_RUN_ID"
"""Environment variable by which Kubeflow Pipelines names an MLflow run of its own for a step."""
MAX_DIGEST: Final = 36
"""Longest digest of a data set that MLflow keeps."""


@dataclass(frozen=True)
class Lineage:
    """What a training run is told about its origin. An empty text means unknown."""

    source: str = ""
    """The parameter `source` of the training pipeline."""
    extra_data: str = ""
    pipeline_run: str = ""
    """Name of the pipeline run, for people."""
    pipeline_run_id: str = ""
    """Unique id of the pipeline run."""
    source_options: str = ""
    """`components.datasets.columns.SourceOptions.given` as JSON."""


def git_revision() -> str:
    """Return the git revision of the source.

    The environment variable GIT_REVISION states it where there is no checkout, as in an image; else `unknown`.
    """
    if stated := os.environ.get("GIT_REVISION"):
        return stated
    return _git("describe", "--always", "--dirty", "--abbrev=12") or "unknown"


def git_tags() -> dict[str, str]:
    """Return MLflow's standard tags for the source code; those that are not known are left out.

    Credentials in the address of the repository are left out.
    """
    tags = {
        "mlflow.source.git.commit": os.environ.get("GIT_REVISION") or _git("rev-parse", "HEAD"),
        "mlflow.source.git.branch": _git("branch", "--show-current"),
        "mlflow.source.git.repoURL": re.sub(r"//[^/@]*@", "//", _git("config", "--get", "remote.origin.url")),
    }
    return {name: value for name, value in tags.items() if value}


def take_injected_run() -> str:
    """Return the id of the MLflow run that Kubeflow Pipelines has injected, and remove it from the environment.

    MLflow would otherwise try to continue that run, which belongs to another experiment, and refuse.
    """
    return os.environ.pop(INJECTED_RUN, "")


def registered_version(base_model: str) -> str:
    """Return the version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` means now; "" for any other base model.

    Example: `registered_version("models:/review-sentiment/7")` is `"7"`.
    """
    found = re.fullmatch(rf"models:/{MODEL_NAME}(?:@(?P<alias>\w+)|/(?P<version>\d+))", base_model)
    if not found:
        return ""
    if found["version"]:
        return found["version"]
    return str(connect().get_model_version_by_alias(MODEL_NAME, found["alias"]).version)


def log_data(run_id: str, frame: pd.DataFrame, lineage: Lineage) -> None:
    """Log the data set as an input of an MLflow run: source, digest and sizes, and no texts."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    rows = {str(name): int(count) for name, count in frame[SPLIT].value_counts().items()}
    dataset = Dataset(
        name="reviews",
        digest=data_digest(frame)[:MAX_DIGEST],
        source_type="review-sentiment",
        source=json.dumps({"source": lineage.source, "extra_data": lineage.extra_data}),
        profile=json.dumps({"num_rows": len(frame), "rows_of_split": rows}),
    )
    add(connect().log_inputs, run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def data_digest(frame: pd.DataFrame) -> str:
    """Return the SHA-256 (hex) of the rows' ids, texts, labels and groups, in order."""
    names = [name for name in (ROW_ID, TEXT, LABEL, GROUP_ID) if name in frame.columns]
    content = frame[names].astype(str).to_csv(index=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _git(*words: str) -> str:
    """Return what git prints; "" outside a checkout, and where git is not installed, as in the pipeline image."""
    program = shutil.which("git")
    if program is None:
        return ""
    command = [program, "-C", str(Path(__file__).parent), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
