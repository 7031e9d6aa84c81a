"""The components of the training pipeline, at most ten lines round a step. Only a function's body is shipped."""

import functools

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Markdown, Metrics, Model, Output

IMAGE = "review-sentiment-components:0.1.0"
"""Placeholder image; `python -m pipelines.run compile --image REF@DIGEST` sets the real one."""

step = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)


@step
def ingest(
    source: str, extra_data: str, text_column: str, label_column: str, rating_column: str, group_column: str,
    rating_scale: str, neutral: str, data: Output[Dataset],
) -> str:  # fmt: skip
    """Read the reviews; return the options that are not the defaults, as JSON."""
    import json
    from pathlib import Path

    from components.datasets.columns import SourceOptions
    from components.ingest import ingest
    from feature_checks.state import state_dir

    options = SourceOptions(text_column, label_column, rating_column, group_column, rating_scale, neutral)
    result = ingest(source, Path(data.path), cache=state_dir() / "data", extra_data=extra_data, options=options)
    data.metadata.update(result.metadata())
    return json.dumps(options.given())


@step
def check(data: Input[Dataset], neutral: str, data_check: Output[Artifact], report: Output[HTML]) -> None:
    """Check the data with Great Expectations. The next step fails, so that the report of bad data is shown too."""
    import shutil
    from pathlib import Path

    from components.check import check
    from components.results import files
    from feature_checks import thresholds

    check(Path(data.path), Path(data_check.path), thresholds.load().check, neutral=neutral, stop=False)
    shutil.copy(Path(data_check.path, files.HTML_REPORT), report.path)


@step
def require_data(data_check: Input[Artifact]) -> None:
    """Fail if the data check found a critical problem."""
    from pathlib import Path

    from components.results import data_report

    data_report.require_usable(Path(data_check.path))


@step
def split(data: Input[Dataset], split_data: Output[Dataset]) -> None:
    """Give every row its split, by review."""
    from pathlib import Path

    from components.split import split

    split_data.metadata.update(split(Path(data.path), Path(split_data.path)))


@step
def train(
    data: Input[Dataset], base_model: str, epochs: float, learning_rate: float, seed: int, max_rows: int,
    source: str, source_options: str, extra_data: str, pipeline_run: str, pipeline_run_id: str, trainer: str,
    training_processes: int, training_nodes: int, training_folder: str, speed: str, distillation_texts: str,
    model: Output[Model],
) -> str:  # fmt: skip
    """Fine-tune, in this process or where the parameters say; return the MLflow run id."""
    from pathlib import Path

    from components.launching.launch import Place, launch
    from components.registry.lineage import Lineage
    from components.train import TrainingSettings, train

    settings = TrainingSettings(
        base_model, epochs, learning_rate, seed=seed, max_rows=max_rows, speed=speed,
        distillation_texts=distillation_texts,
    )  # fmt: skip
    lineage = Lineage(source, extra_data, pipeline_run, pipeline_run_id, source_options)
    place = Place(trainer, training_processes, training_nodes, training_folder)
    if not place.own_process:
        return launch(Path(data.path), Path(model.path), vars(settings), vars(lineage), place)
    return train(Path(data.path), Path(model.path), settings, lineage=lineage)


@step
def evaluate(
    model: Input[Model], data: Input[Dataset], evaluation: Output[Artifact], scores: Output[Metrics],
    confusion: Output[ClassificationMetrics], report: Output[HTML],
) -> None:  # fmt: skip
    """Judge the model on the test split."""
    import shutil
    from pathlib import Path

    from components.evaluate import evaluate
    from components.results import files
    from feature_checks.contract import LABELS

    result = evaluate(Path(model.path), Path(data.path), Path(evaluation.path))
    for name, value in result.metrics().items():
        scores.log_metric(name, value)
    confusion.log_confusion_matrix(list(LABELS), result.confusion)
    shutil.copy(Path(evaluation.path, files.HTML_REPORT), report.path)


@step
def export(
    model: Input[Model],
    evaluation: Input[Artifact],
    data: Input[Dataset],
    data_check: Input[Artifact],
    exported: Output[Model],
) -> None:
    """Write the ONNX models and seal the bundle."""
    from pathlib import Path

    from components.export import export_candidate

    folders = [Path(artifact.path) for artifact in (model, evaluation, data, data_check)]
    exported.metadata.update({"digest": export_candidate(*folders, output=Path(exported.path)).digest})


@step
def verify(
    exported: Input[Model], evaluation: Input[Artifact], data: Input[Dataset], verification: Output[Artifact],
    scores: Output[Metrics], report: Output[HTML],
) -> None:  # fmt: skip
    """Compare the trained model, FP32 and INT8."""
    import shutil
    from pathlib import Path

    from components.results import files
    from components.verify import verify
    from feature_checks import thresholds

    inputs = [Path(artifact.path) for artifact in (exported, evaluation, data)]
    parity = verify(*inputs, output=Path(verification.path), limits=thresholds.load().verify)
    for name, value in parity.metrics().items():
        scores.log_metric(name, value)
    shutil.copy(Path(verification.path, files.HTML_REPORT), report.path)


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

    from components.gate import gate
    from components.results import files
    from feature_checks import thresholds

    inputs = [Path(artifact.path) for artifact in (evaluation, verification, data)]
    result = gate(*inputs, output=Path(decision.path), limits=thresholds.load().gate)
    shutil.copy(Path(decision.path, files.DECISION_REPORT), report.path)
    return result.verdict


@step
def reference_window(
    exported: Input[Model], data: Input[Dataset], calibration: int, window: Output[Dataset]
) -> None:  # fmt: skip
    """Score the validation split as the window that later predictions are compared with; calibrate the detectors."""
    from pathlib import Path

    from components.results import files
    from monitoring.calibration import own_data
    from monitoring.windows.reference import write_reference_window

    bundle, output = Path(exported.path, files.BUNDLE_FOLDER), Path(window.path, files.REFERENCE_WINDOW)
    window.metadata.update({"rows": write_reference_window(bundle, Path(data.path), output)})
    if calibration:
        own_data.write_thresholds(Path(data.path), output.with_name(own_data.THRESHOLDS_FILE), calibration)


@step
def register(
    model: Input[Model], exported: Input[Model], evaluation: Input[Artifact], verification: Input[Artifact],
    decision: Input[Artifact], data_check: Input[Artifact], window: Input[Dataset], run_id: str, pipeline_run: str,
) -> str:  # fmt: skip
    """Register the candidate, accepted or rejected; return its version."""
    from pathlib import Path

    from components.register import register
    from components.results.candidate import CandidateFolders

    artifacts = (model, exported, evaluation, verification, decision, data_check, window)
    folders = CandidateFolders(*(Path(artifact.path) for artifact in artifacts))
    return register(folders, run_id=run_id, pipeline_run=pipeline_run)


@step
def promote(version: str, promotion: str) -> str:
    """Move the aliases; return the highest one the version got."""
    from components.registry import aliases

    return aliases.promote(version, promotion)
