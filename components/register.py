"""Register a gated model in MLflow and move its aliases.

python -m components.register promote            # the challenger becomes champion
python -m components.register promote --version 7
python -m components.register rollback           # the previous champion returns
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from components import tracking
from feature_checks.contract import LABELS, MODEL_NAME

log = logging.getLogger(__name__)

Alias = Literal["champion", "challenger", "previous"]
PROMOTIONS: Final = ("auto", "manual")
BUNDLE_ARTIFACT: Final = "artifacts/bundle"
CHECKPOINT_ARTIFACT: Final = "artifacts/checkpoint"
REFERENCE_ARTIFACT: Final = "artifacts/reference"
REFERENCE_FILE: Final = "reference.parquet"
"""The window that later predictions are compared with, in the reference folder."""


class PromotionError(ValueError):
    """An alias cannot be moved as asked; the message says why."""


@dataclass(frozen=True)
class CandidateFolders:
    """What the earlier steps wrote for the candidate."""

    model: Path
    export: Path
    evaluation: Path
    verification: Path
    gate: Path
    check: Path
    reference: Path


def register(folders: CandidateFolders, *, run_id: str, pipeline_run: str = "") -> str:
    """Log the candidate to its training run and register a version, accepted or rejected; return the version.

    The version holds the bundle, the FP32 model beside it, the Hugging Face checkpoint and the reference window. No
    alias moves.
    """
    import mlflow

    tracking.connect()
    with mlflow.start_run(run_id=run_id), tempfile.TemporaryDirectory() as scratch:
        _log_results(folders)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={
                "bundle": str(folders.export / "bundle"),
                "fp32": str(folders.export / "fp32"),
                "checkpoint": _named(folders.model, Path(scratch), CHECKPOINT_ARTIFACT),
                "reference": _named(folders.reference, Path(scratch), REFERENCE_ARTIFACT),
            },
            code_paths=[str(Path(__file__).parent.parent / "feature_checks")],
            pip_requirements=["numpy", "onnxruntime", "tokenizers", "pandas"],
            signature=_signature(),
            input_example=["The zoom works very well."],
            registered_model_name=MODEL_NAME,
        )
    version = str(logged.registered_model_version)
    _describe(version, folders, pipeline_run)
    return version


def promote(version: str, promotion: str) -> str:
    """Make an accepted version the challenger and, with promotion `auto`, the champion; return the alias it got."""
    if promotion not in PROMOTIONS:
        raise PromotionError(f"promotion is {promotion!r}; expected one of {list(PROMOTIONS)}")
    client = tracking.connect()
    client.set_registered_model_alias(MODEL_NAME, "challenger", version)
    if promotion == "manual":
        return "challenger"
    make_champion(version)
    return "champion"


def make_champion(version: str) -> None:
    """Point `champion` at a version and `previous` at the one it replaces. Raises PromotionError for a rejected one."""
    client = tracking.connect()
    verdict = client.get_model_version(MODEL_NAME, version).tags.get("gate")
    if verdict != "accepted":
        raise PromotionError(
            f"version {version} has the tag gate={verdict!r}; only an accepted version may be champion"
        )
    current = version_of("champion")
    if current == version:
        return
    if current is not None:
        client.set_registered_model_alias(MODEL_NAME, "previous", current)
    client.set_registered_model_alias(MODEL_NAME, "champion", version)


def rollback() -> str:
    """Swap `champion` and `previous`; return the version that is champion now."""
    previous = version_of("previous")
    if previous is None:
        raise PromotionError("no version has the alias 'previous'; there is nothing to roll back to")
    make_champion(previous)
    return previous


def version_of(alias: Alias) -> str | None:
    """Return the version an alias points at, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return str(tracking.connect().get_model_version_by_alias(MODEL_NAME, alias).version)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def champion() -> str:
    """Return the champion's version. Raises PromotionError when there is none."""
    version = version_of("champion")
    if version is None:
        raise PromotionError("no version has the alias 'champion'; train one first")
    return version


def download_bundle(version: str, output: Path) -> Path:
    """Fetch a version's bundle folder below `output`; return it."""
    return _download(version, BUNDLE_ARTIFACT, output)


def download_reference(version: str, output: Path) -> Path:
    """Fetch a version's reference window below `output`; return the Parquet file."""
    return _download(version, REFERENCE_ARTIFACT, output) / REFERENCE_FILE


def _download(version: str, artifact: str, output: Path) -> Path:
    import mlflow

    tracking.connect()
    output.mkdir(parents=True, exist_ok=True)
    uri = f"models:/{MODEL_NAME}/{version}/{artifact}"
    return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(output)))


def _named(folder: Path, scratch: Path, artifact: str) -> str:
    # MLflow calls an artifact by its folder's name, whatever its key says.
    return str(shutil.copytree(folder, scratch / Path(artifact).name))


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    scores = [ColSpec(DataType.float, label) for label in LABELS]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]),
        outputs=Schema([*scores, ColSpec(DataType.string, "label"), ColSpec(DataType.float, "confidence")]),
    )


def _log_results(folders: CandidateFolders) -> None:
    import mlflow

    from components.evaluate import load_evaluation
    from components.verify import load_parity

    evaluation, parity = load_evaluation(folders.evaluation), load_parity(folders.verification)
    mlflow.log_metrics({
        "test_macro_f1": evaluation.macro_f1,
        "test_baseline_macro_f1": evaluation.baseline_macro_f1,
        "test_expected_calibration_error": evaluation.expected_calibration_error,
        "int8_label_agreement": parity.int8.label_agreement,
        "int8_macro_f1_loss": parity.int8.macro_f1_loss,
        **{f"test_f1_{name}": score.f1 for name, score in evaluation.classes.items()},
    })  # fmt: skip
    reports = {"check": folders.check, "evaluation": folders.evaluation, "verification": folders.verification}
    for name, folder in reports.items():
        mlflow.log_artifact(str(folder / "report.html"), name)
    mlflow.log_artifact(str(folders.gate / "decision.md"), "gate")


def _describe(version: str, folders: CandidateFolders, pipeline_run: str) -> None:
    from components.gate import REPORT, load_decision
    from components.verify import load_parity
    from feature_checks import bundle as bundles

    bundle = bundles.load(folders.export / "bundle")
    decision, parity = load_decision(folders.gate), load_parity(folders.verification)
    card = (bundle.folder / bundles.CARD).read_text(encoding="utf-8")
    tags = {
        "gate": decision.verdict,
        "gate_reasons": json.dumps(list(decision.reasons)),
        "data_digest": bundle.manifest.data_digest,
        "git_revision": bundle.manifest.git_revision,
        "bundle_digest": bundle.digest,
        "parity_int8_label_agreement": f"{parity.int8.label_agreement:.4f}",
        "parity_int8_largest_gap": f"{parity.int8.largest_gap:.4f}",
        "macro_f1": f"{decision.candidate.macro_f1:.4f}",
        "pipeline_run": pipeline_run,
    }
    client = tracking.connect()
    for name, value in tags.items():
        client.set_model_version_tag(MODEL_NAME, version, name, value)
    client.update_model_version(MODEL_NAME, version, card + "\n" + (folders.gate / REPORT).read_text(encoding="utf-8"))


def main() -> None:
    """Run the command line."""
    import typer

    app = typer.Typer(add_completion=False, help=__doc__)

    @app.command("promote")
    def promote_command(
        version: str = typer.Option("", help="Version to promote; default: the challenger."),
    ) -> None:
        """Make a version champion."""
        chosen = version or version_of("challenger")
        if not chosen:
            raise typer.BadParameter("no version has the alias 'challenger'; name one with --version")
        make_champion(chosen)
        typer.echo(f"champion is version {chosen}")

    @app.command("rollback")
    def rollback_command() -> None:
        """Make the previous champion champion again."""
        typer.echo(f"champion is version {rollback()}")

    app()


if __name__ == "__main__":
    main()
