"""Register a gated model in MLflow, and move the aliases by command.

python -m components.register promote            # the challenger becomes champion
python -m components.register promote --version 7
python -m components.register rollback           # the previous champion returns
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from components.registry import aliases, artifacts
from components.registry.aliases import COMPARED_WITH, NOBODY
from components.registry.artifacts import ANCHOR, GATE_ARTIFACT
from components.registry.client import connect
from components.results import evaluation as evaluations
from components.results import files
from components.results import gate_decision as decisions
from components.results import parity as parities
from components.results.candidate import CandidateFolders
from feature_checks import bundle as bundles
from feature_checks.contract import MODEL_NAME

MAX_TAG_CHARS: Final = 5000
"""MLflow's tables on PostgreSQL hold no longer tag of a version, and no longer description."""


def register(folders: CandidateFolders, *, run_id: str, pipeline_run: str = "") -> str:
    """Log the candidate to its training run and register a version, accepted or rejected; return the version.

    The version's tags and description say how it was made and judged. No alias moves. A step that is run again
    completes the version that it has registered before.

    Example: `register(folders, run_id=train(data, model, settings))`.
    """
    import mlflow

    connect()
    with mlflow.start_run(run_id=run_id):
        _log_results(folders)
        version = artifacts.registered_version(run_id) or artifacts.log_model(folders)
    _describe(version, folders, run_id, pipeline_run)
    return version


def _log_results(folders: CandidateFolders) -> None:
    import mlflow

    evaluation, parity = evaluations.load(folders.evaluation), parities.load(folders.verification)
    mlflow.log_metrics({
        "test_macro_f1": evaluation.macro_f1,
        "test_baseline_macro_f1": evaluation.baseline_macro_f1,
        "test_expected_calibration_error": evaluation.expected_calibration_error,
        "int8_label_agreement": parity.int8.label_agreement,
        "int8_macro_f1_loss": parity.int8.macro_f1_loss,
        **{f"test_f1_{name}": score.f1 for name, score in evaluation.classes.items()},
    })  # fmt: skip
    mlflow.log_artifact(str(folders.check / files.HTML_REPORT), "check")
    # The evaluation's own report quotes reviews, so only its shared folder leaves the pipeline's storage.
    mlflow.log_artifacts(str(folders.evaluation / files.SHARED_FOLDER), "evaluation")
    mlflow.log_artifact(str(folders.verification / files.HTML_REPORT), "verification")
    mlflow.log_metrics(decisions.load(folders.gate).metrics())
    for name in (files.DECISION_REPORT, files.DECISION):
        mlflow.log_artifact(str(folders.gate / name), GATE_ARTIFACT)


def _describe(version: str, folders: CandidateFolders, run_id: str, pipeline_run: str) -> None:
    bundle = bundles.load(folders.export / files.BUNDLE_FOLDER)
    decision, parity = decisions.load(folders.gate), parities.load(folders.verification)
    tags = {
        "gate": decision.verdict,
        "gate_reasons": tag_of_reasons(decision.reasons),
        COMPARED_WITH: decision.compared_with or NOBODY,
        "best_champion": decision.evidence.best.version if decision.evidence.best else NOBODY,
        "gate_attempt": str(decision.evidence.attempt),
        ANCHOR: decision.anchor,
        "labels": ",".join(decision.labels),
        "data_digest": bundle.manifest.data_digest,
        "git_revision": bundle.manifest.git_revision,
        "bundle_digest": bundle.digest,
        "parity_int8_label_agreement": f"{parity.int8.label_agreement:.4f}",
        "parity_int8_largest_gap": f"{parity.int8.largest_gap:.4f}",
        "macro_f1": f"{decision.candidate.macro_f1:.4f}",
        "pipeline_run": pipeline_run,
    }
    client = connect()
    run_tags = client.get_run(run_id).data.tags
    tags |= {name: run_tags[name] for name in ("base_model_version", "pipeline_run_id") if name in run_tags}
    for name, value in tags.items():
        client.set_model_version_tag(MODEL_NAME, version, name, value)
    card = (bundle.folder / bundles.CARD).read_text(encoding="utf-8")
    report = (folders.gate / files.DECISION_REPORT).read_text(encoding="utf-8")
    client.update_model_version(MODEL_NAME, version, _fitting(f"{card}\n{report}"))


def tag_of_reasons(reasons: Sequence[str]) -> str:
    """Return the reasons as JSON in at most MAX_TAG_CHARS characters, which MLflow's tables on PostgreSQL hold.

    What does not fit is replaced by a sentence that says where all of them are.
    """
    kept, more = list(reasons), "more reasons are in the artifact gate/decision.md of the version's run"
    while len(text := json.dumps(kept)) > MAX_TAG_CHARS:
        kept = [*(kept[:-2] if kept[-1] == more else kept[:-1]), more]
    return text


def _fitting(description: str) -> str:
    if len(description) <= MAX_TAG_CHARS:
        return description
    more = "\n\n… The rest is in the artifacts evaluation and gate of the version's run."
    return description[: MAX_TAG_CHARS - len(more)] + more


def main() -> None:
    """Run the command line."""
    import typer

    app = typer.Typer(add_completion=False, help=__doc__)

    @app.command("promote")
    def promote_command(
        version: str = typer.Option("", help="Version to promote; default: the challenger."),
    ) -> None:
        """Make a version the champion."""
        chosen = version or aliases.version_of("challenger")
        if not chosen:
            raise typer.BadParameter("no version has the alias 'challenger'; name one with --version")
        aliases.make_champion(chosen)
        typer.echo(f"champion is version {chosen}")

    @app.command("rollback")
    def rollback_command() -> None:
        """Make the previous champion the champion again."""
        typer.echo(f"champion is version {aliases.rollback()}")

    app()


if __name__ == "__main__":
    main()
