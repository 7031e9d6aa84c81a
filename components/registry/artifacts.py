"""What a registered version holds: logging a model with everything that belongs to it, and fetching parts of it."""

from __future__ import annotations

import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from components.registry.client import connect
from components.results import files
from components.results.candidate import CandidateFolders
from feature_checks.contract import LABELS, MODEL_NAME

BUNDLE_ARTIFACT: Final = "artifacts/bundle"
CHECKPOINT_ARTIFACT: Final = "artifacts/checkpoint"
REFERENCE_ARTIFACT: Final = "artifacts/reference"
GATE_ARTIFACT: Final = "gate"
"""Folder of a version's run with the gate's decision."""
ANCHOR: Final = "anchor_digest"
"""Tag of a version: the digest of the test rows that its tag `macro_f1` was measured on."""
PYFUNC_PACKAGES: Final = ("numpy", "onnxruntime", "py3langid", "sentencex", "tokenizers", "pandas")
"""What the pyfunc model needs to run; its versions are pinned to those that it was registered with."""
_PACKAGE: Final = Path(__file__).parents[1]


def log_model(folders: CandidateFolders) -> str:
    """Log a candidate to the active MLflow run as a new version of the registered model; return the version.

    The version holds the bundle, the FP32 model beside it, the Hugging Face checkpoint and the reference window.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as scratch:
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_PACKAGE / "modelling" / "pyfunc_model.py"),
            artifacts={
                "bundle": str(folders.export / files.BUNDLE_FOLDER),
                "fp32": str(folders.export / files.FP32_FOLDER),
                "checkpoint": _named(folders.model, Path(scratch), CHECKPOINT_ARTIFACT),
                "reference": _named(folders.reference_window, Path(scratch), REFERENCE_ARTIFACT),
            },
            code_paths=[str(_PACKAGE.parent / "feature_checks")],
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in PYFUNC_PACKAGES],
            signature=_signature(),
            input_example=["The zoom works very well."],
            registered_model_name=MODEL_NAME,
        )
    return str(logged.registered_model_version)


def registered_version(run_id: str) -> str:
    """Return the version of the registered model that an MLflow run has made already, or ""."""
    found = connect().search_model_versions(f"name='{MODEL_NAME}' and run_id='{run_id}'")
    return str(found[0].version) if found else ""


def download_bundle(version: str, output: Path) -> Path:
    """Fetch a version's bundle folder below `output`; return it."""
    return download(f"models:/{MODEL_NAME}/{version}/{BUNDLE_ARTIFACT}", output)


def download_reference_window(version: str, output: Path) -> Path:
    """Fetch a version's reference window below `output`; return the Parquet file."""
    return download(f"models:/{MODEL_NAME}/{version}/{REFERENCE_ARTIFACT}", output) / files.REFERENCE_WINDOW


def download(uri: str, output: Path | None = None) -> Path:
    """Fetch an artifact by its `models:/…` URI, below `output` or to a temporary folder; return its path."""
    import mlflow

    connect()
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(output) if output is not None else None))


def _named(folder: Path, scratch: Path, artifact: str) -> str:
    # MLflow names an artifact after its folder and ignores the key.
    return str(shutil.copytree(folder, scratch / Path(artifact).name))


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    scores = [ColSpec(DataType.float, label) for label in LABELS]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]),
        outputs=Schema([*scores, ColSpec(DataType.string, "label"), ColSpec(DataType.float, "confidence")]),
    )
