"""Fine-tune a transformer on the raters' label distributions with transformers' Trainer.

python -m components.train --data split.parquet --output model
torchrun --nproc-per-node 4 -m components.train --data split.parquet --output model
python -m components.train --data split.parquet --output model --speed fast

If a training is stopped, the same command goes on from the end of its last epoch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from components.modelling import base_models, distillation, processes, resumption, soft_label_trainer
from components.modelling.base_models import DEFAULT_BASE_MODEL
from components.registry.client import open_experiment
from components.registry.lineage import (
    Lineage,
    data_digest,
    git_revision,
    git_tags,
    log_data,
    registered_version,
    take_injected_run,
)
from feature_checks.contract import LABEL, LABELS, SPLIT, TEXT
from feature_checks.state import state_dir

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

START_SHARE: Final = 0.5
"""Share of the starting weights in the result when training continues from a registered model.

The mean of the weights before and after fine-tuning keeps much of what both models can do. Wortsman et al., *Robust
fine-tuning of zero-shot models* (CVPR 2022), recommend one half where nothing more is known.
"""
NEUTRAL: Final = LABELS.index("neutral")
RESUMED: Final = "resumed"
"""Tag of an MLflow run whose training was stopped and has gone on: when, for the last time (UTC)."""


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run depends on besides its data."""

    base_model: str = DEFAULT_BASE_MODEL
    """`default` (MiniLM-L6 from PyPI), a folder, a hub id, or `models:/NAME@ALIAS` for a registered model."""
    epochs: float = 4.0
    """Passes over the training rows."""
    learning_rate: float = 1e-4
    """Peak learning rate, reached after a tenth of the steps."""
    batch_size: int = 32
    """Rows in one training step, over all processes."""
    seed: int = 0
    """Seed of the new head's weights and of the order of rows."""
    max_rows: int = 0
    """Train on at most this many rows; 0 for all. Small values are for tests."""
    speed: str = distillation.FULL
    """`full`; `fast`: a small model, distilled from the trained one, answers the texts of which it is confident; or
    `keep`: `fast` where the base model is."""
    distillation_texts: str = distillation.DEFAULT_TEXTS
    """For `fast`: the source of texts that need no labels, as in `components.ingest`; empty for none."""


def train(data: Path, output: Path, settings: TrainingSettings, *, lineage: Lineage | None = None) -> str:
    """Fine-tune on the train split, write the Hugging Face model folder to `output`, return the MLflow run id.

    Training that continues from a registered model ends with the mean of its weights and the fine-tuned ones. A model
    of data without neutral rows never predicts neutral. Parameters, curves and the lineage are logged to the MLflow
    run: the data as an input, standard git tags, and the version of the base model.

    Of several processes that torchrun started, the first one writes to MLflow and to `output`, and the others return
    "". A training that was stopped goes on from the end of its last epoch, in the same MLflow run, when it is called
    with the same output again. Raises ResumptionError if the output has the checkpoints of another training,
    ValueError for an unknown speed, and SourceError or DownloadError for texts that cannot be read.

    Example: `train(Path("split.parquet"), Path("model"), TrainingSettings(epochs=2.0))`.
    """
    from transformers import set_seed

    processes.share_cores()
    lineage, parent = lineage or Lineage(), take_injected_run()
    set_seed(settings.seed)
    frame = pd.read_parquet(data)
    training = asdict(settings) | {
        "data_digest": data_digest(frame),
        "base_model_version": registered_version(settings.base_model),
    }
    checkpoints = output / resumption.FOLDER
    earlier = resumption.interrupted_run(checkpoints, training)
    model, tokenizer = base_models.load(settings.base_model)
    texts = _unlabelled_texts(frame, settings) if distillation.needed(settings.speed, model) else None

    def trained() -> tuple[Trainer, Trainer | None]:
        trainer = _fit(model, tokenizer, frame, checkpoints, settings, resumed=bool(earlier))
        if texts is None:
            return trainer, None
        return trainer, distillation.distil(trainer, tokenizer, texts, checkpoints, settings.batch_size)

    if processes.rank():
        trained()
        return ""
    with _mlflow_run(earlier, lineage) as run_id:
        if not earlier:
            _log_origin(run_id, frame, training, settings, lineage, parent)
            resumption.begin(checkpoints, training, run_id)
        distillation.save(*trained(), tokenizer, output)
    shutil.rmtree(checkpoints)
    return run_id


@contextmanager
def _mlflow_run(earlier: str, lineage: Lineage) -> Iterator[str]:
    """Enter a new MLflow run, or the run `earlier` again."""
    import mlflow

    open_experiment()
    with mlflow.start_run(run_id=earlier or None, run_name=lineage.pipeline_run or None) as run:
        if earlier:
            mlflow.set_tag(RESUMED, datetime.now(UTC).isoformat(timespec="seconds"))
        yield str(run.info.run_id)


def _log_origin(
    run_id: str,
    frame: pd.DataFrame,
    training: Mapping[str, Any],
    settings: TrainingSettings,
    lineage: Lineage,
    parent: str,
) -> None:
    import mlflow

    tags = {
        "data_digest": training["data_digest"],
        "data_source": lineage.source,
        "extra_data": lineage.extra_data,
        "source_options": lineage.source_options,
        "git_revision": git_revision(),
        "base_model_version": training["base_model_version"],
        "pipeline_run": lineage.pipeline_run,
        "pipeline_run_id": lineage.pipeline_run_id,
        "kubeflow_mlflow_run": parent,
    }
    mlflow.set_tags(git_tags() | {name: value for name, value in tags.items() if value})
    log_data(run_id, frame, lineage)
    mlflow.log_params({f"train.{name}": value for name, value in asdict(settings).items()})
    mlflow.log_param("train.processes", processes.count())


def _fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    frame: pd.DataFrame,
    checkpoints: Path,
    settings: TrainingSettings,
    *,
    resumed: bool,
) -> Trainer:
    import mlflow

    has_neutral = bool((frame[LABEL] == LABELS[NEUTRAL]).any())
    if has_neutral:
        base_models.enable_class(model, NEUTRAL)
    trainer = _trainer(model, tokenizer, frame, checkpoints, settings)
    # After the trainer has moved the model to its device, so that both sets of weights are there.
    start = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    soft_label_trainer.fit(trainer, resumed=resumed)
    if settings.base_model.startswith(base_models.REGISTERED):
        base_models.average_weights(model, start, START_SHARE)
        if not processes.rank():
            mlflow.log_param("train.start_share", START_SHARE)
    if not has_neutral:
        base_models.disable_class(model, NEUTRAL)
    return trainer


def _unlabelled_texts(frame: pd.DataFrame, settings: TrainingSettings) -> list[str]:
    held_out = frame.loc[frame[SPLIT] != "train", TEXT].tolist()
    texts = distillation.unlabelled_texts(settings.distillation_texts, held_out, state_dir() / "data")
    return texts[: settings.max_rows or None]


def _trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    frame: pd.DataFrame,
    checkpoints: Path,
    settings: TrainingSettings,
) -> Trainer:
    train_rows = frame[frame[SPLIT] == "train"]
    validation_rows = frame[frame[SPLIT] == "validation"]
    if settings.max_rows:
        train_rows = train_rows.sample(min(settings.max_rows, len(train_rows)), random_state=settings.seed)
        validation_rows = validation_rows.head(settings.max_rows)
    training, validation = (
        soft_label_trainer.examples(rows[TEXT], soft_label_trainer.soft_targets(rows), tokenizer)
        for rows in (train_rows, validation_rows)
    )
    arguments = soft_label_trainer.arguments(
        checkpoints, epochs=settings.epochs, learning_rate=settings.learning_rate,
        batch_size=settings.batch_size, seed=settings.seed,
    )  # fmt: skip
    return soft_label_trainer.build(model, tokenizer, training, validation, arguments, settings.batch_size)


def main() -> None:
    """Run the command line."""
    import typer

    app = typer.Typer(add_completion=False)
    defaults = TrainingSettings()

    @app.command(help=__doc__)
    def command(
        data: Path = typer.Option(..., help="Parquet file with a `split` column."),
        output: Path = typer.Option(..., help="Folder for the trained model."),
        base_model: str = typer.Option(defaults.base_model, help="default, a folder, a hub id, or models:/NAME@ALIAS."),
        epochs: float = typer.Option(defaults.epochs, help="Passes over the training rows."),
        learning_rate: float = typer.Option(defaults.learning_rate, help="Peak learning rate."),
        seed: int = typer.Option(defaults.seed, help="Seed of the new head and of the order of rows."),
        speed: str = typer.Option(defaults.speed, help="full, fast, or keep: as the base model."),
        distillation_texts: str = typer.Option(defaults.distillation_texts, help="For fast: texts without labels."),
    ) -> None:
        settings = TrainingSettings(
            base_model, epochs, learning_rate, seed=seed, speed=speed, distillation_texts=distillation_texts
        )
        if run_id := train(data, output, settings):
            typer.echo(f"MLflow run {run_id}")
        processes.leave_group()

    app()


if __name__ == "__main__":
    main()
