"""Every Kubeflow component: a thin wrapper round a step. Only the function's body ships, so imports stand inside."""

import functools

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

IMAGE = "review-sentiment-components:0.1.0"
"""Placeholder image; `python -m pipelines.run compile --image REF@DIGEST` sets the real one."""

step = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)


@step
def ingest(source: str, extra_data: str, rating_scale: str, data: Output[Dataset]) -> None:
    """Read the reviews."""
    from pathlib import Path

    from components import ingest, state

    cache = state.state_dir() / "data"
    result = ingest.ingest(source, Path(data.path), cache=cache, extra_data=extra_data, rating_scale=rating_scale)
    data.metadata.update({"rows": result.rows, "digest": result.digest})


@step
def check(data: Input[Dataset], findings: Output[Artifact], report: Output[HTML]) -> None:
    """Gate the data with Great Expectations."""
    import shutil
    from pathlib import Path

    from components import check
    from feature_checks import thresholds

    check.check(Path(data.path), Path(findings.path), thresholds.load().check)
    shutil.copy(Path(findings.path, check.REPORT), report.path)


@step
def split(data: Input[Dataset], split_data: Output[Dataset]) -> None:
    """Give every row its split, by review."""
    from pathlib import Path

    from components import split

    split_data.metadata.update(split.split(Path(data.path), Path(split_data.path)))


@step
def train(
    data: Input[Dataset],
    base_model: str,
    epochs: float,
    learning_rate: float,
    seed: int,
    max_rows: int,
    pipeline_run: str,
    model: Output[Model],
) -> str:
    """Fine-tune; return the MLflow run id."""
    from pathlib import Path

    from components.train import TrainingSettings, train

    settings = TrainingSettings(base_model, epochs, learning_rate, seed=seed, max_rows=max_rows)
    return train(Path(data.path), Path(model.path), settings, pipeline_run=pipeline_run)


@step
def evaluate(
    model: Input[Model],
    data: Input[Dataset],
    evaluation: Output[Artifact],
    scores: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    report: Output[HTML],
) -> None:
    """Judge the model on the test split."""
    import shutil
    from pathlib import Path

    from components import evaluate
    from feature_checks.contract import LABELS

    result = evaluate.evaluate(Path(model.path), Path(data.path), Path(evaluation.path))
    for name in ("macro_f1", "baseline_macro_f1", "expected_calibration_error", "temperature"):
        scores.log_metric(name, getattr(result, name))
    confusion.log_confusion_matrix(list(LABELS), result.confusion)
    shutil.copy(Path(evaluation.path, evaluate.REPORT), report.path)


@step
def export(
    model: Input[Model],
    evaluation: Input[Artifact],
    data: Input[Dataset],
    findings: Input[Artifact],
    exported: Output[Model],
) -> None:
    """Write the ONNX models and seal the bundle."""
    from pathlib import Path

    from components.export import export_candidate

    folders = [Path(artifact.path) for artifact in (model, evaluation, data, findings)]
    bundle = export_candidate(*folders, output=Path(exported.path))
    exported.metadata.update({"digest": bundle.digest})


@step
def verify(
    exported: Input[Model],
    evaluation: Input[Artifact],
    data: Input[Dataset],
    verification: Output[Artifact],
    scores: Output[Metrics],
    report: Output[HTML],
) -> None:
    """Compare torch, FP32 and INT8."""
    import shutil
    from pathlib import Path

    from components import verify
    from feature_checks import thresholds

    inputs = [Path(artifact.path) for artifact in (exported, evaluation, data)]
    parity = verify.verify(*inputs, output=Path(verification.path), limits=thresholds.load().verify)
    for name, value in verify.headline(parity).items():
        scores.log_metric(name, value)
    shutil.copy(Path(verification.path, verify.REPORT), report.path)


@step
def gate(
    evaluation: Input[Artifact],
    verification: Input[Artifact],
    data: Input[Dataset],
    decision: Output[Artifact],
    report: Output[Markdown],
) -> str:
    """Return `accepted` or `rejected`."""
    import shutil
    from pathlib import Path

    from components import gate
    from feature_checks import thresholds

    inputs = [Path(artifact.path) for artifact in (evaluation, verification, data)]
    result = gate.gate(*inputs, output=Path(decision.path), limits=thresholds.load().gate)
    shutil.copy(Path(decision.path, gate.REPORT), report.path)
    return result.verdict


@step
def reference(exported: Input[Model], data: Input[Dataset], window: Output[Dataset]) -> None:
    """Score the validation split as the window that later predictions are compared with."""
    from pathlib import Path

    from components.register import REFERENCE_FILE
    from monitoring.window import reference_of_champion

    bundle, output = Path(exported.path, "bundle"), Path(window.path, REFERENCE_FILE)
    window.metadata.update({"rows": reference_of_champion(bundle, Path(data.path), output)})


@step
def register(
    model: Input[Model],
    exported: Input[Model],
    evaluation: Input[Artifact],
    verification: Input[Artifact],
    decision: Input[Artifact],
    findings: Input[Artifact],
    reference: Input[Dataset],
    run_id: str,
    pipeline_run: str,
) -> str:
    """Register the candidate, accepted or rejected; return its version."""
    from pathlib import Path

    from components.register import CandidateFolders, register

    artifacts = (model, exported, evaluation, verification, decision, findings, reference)
    folders = CandidateFolders(*(Path(artifact.path) for artifact in artifacts))
    return register(folders, run_id=run_id, pipeline_run=pipeline_run)


@step
def promote(version: str, promotion: str) -> str:
    """Move the aliases; return the highest one the version got."""
    from components.register import promote

    return promote(version, promotion)


@step
def watch(
    log: str,
    hours: float,
    rows: int,
    history: str,
    labelled: str,
    workspace: str,
    findings: Output[Artifact],
    report: Output[HTML],
) -> str:
    """Compare the log's newest window with the champion's reference; return the URI of its labelled rows, or ""."""
    import shutil
    from pathlib import Path

    from components import register, tracking
    from monitoring import watch

    version, folder = register.champion(), Path(findings.path)
    reference = str(register.download_reference(version, folder))
    window = watch.window_of_log(log, hours=hours, rows=rows, model_version=version)
    keep = watch.Keep(history, workspace, tracking.tracking_uri())
    findings.metadata.update(watch.report(reference, window, folder, keep).to_dict())
    shutil.copy(folder / "report.html", report.path)
    return watch.labelled_rows(window, labelled)


@step
def decide(history: str, decision: Output[Artifact]) -> str:
    """Decide on the kept reports; return `RETRAIN`, `WATCH` or `OK`."""
    from pathlib import Path

    from monitoring import watch

    made = watch.decide(history)
    made.save(Path(decision.path))
    return made.action


@step
def alert(decision: Input[Artifact], webhook: str, shape: str) -> None:
    """Tell people of a decision other than OK."""
    from pathlib import Path

    from monitoring import watch
    from monitoring.policy import Decision

    watch.alert(Decision.load(Path(decision.path)), webhook, shape)
