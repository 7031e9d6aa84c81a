"""Fine-tune a transformer on the raters' label distributions with transformers' Trainer.

python -m components.train --data split.parquet --output model
torchrun --nproc-per-node 4 -m components.train --data split.parquet --output model
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.modelling import base_models
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
from feature_checks.contract import LABEL, LABELS, MAX_LENGTH, RATINGS, SPLIT, TEXT, normalise
from feature_checks.scores import macro_f1

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments

START_SHARE: Final = 0.5
"""Share of the starting weights in the result when training continues from a registered model.

The mean of the weights before and after fine-tuning keeps much of what both models can do. Wortsman et al., *Robust
fine-tuning of zero-shot models* (CVPR 2022), recommend one half where nothing more is known.
"""
NEUTRAL: Final = LABELS.index("neutral")


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
    """Rows in one training step on each device."""
    seed: int = 0
    """Seed of the new head's weights and of the order of rows."""
    max_rows: int = 0
    """Train on at most this many rows; 0 for all. Small values are for tests."""


def train(data: Path, output: Path, settings: TrainingSettings, *, lineage: Lineage | None = None) -> str:
    """Fine-tune on the train split, write the Hugging Face model folder to `output`, return the MLflow run id.

    Training that continues from a registered model ends with the mean of its weights and the fine-tuned ones. A model
    of data without neutral rows never predicts neutral. Parameters, curves and the lineage are logged to the MLflow
    run: the data as an input, standard git tags, and the version of the base model.

    Example: `train(Path("split.parquet"), Path("model"), TrainingSettings(epochs=2.0))`.
    """
    import mlflow
    from transformers import set_seed

    lineage, parent = lineage or Lineage(), take_injected_run()
    set_seed(settings.seed)
    frame = pd.read_parquet(data)
    base_version = registered_version(settings.base_model)
    model, tokenizer = base_models.load(settings.base_model)
    open_experiment()
    with mlflow.start_run(run_name=lineage.pipeline_run or None) as run:
        tags = {
            "data_digest": data_digest(frame),
            "data_source": lineage.source,
            "extra_data": lineage.extra_data,
            "source_options": lineage.source_options,
            "git_revision": git_revision(),
            "base_model_version": base_version,
            "pipeline_run": lineage.pipeline_run,
            "pipeline_run_id": lineage.pipeline_run_id,
            "kubeflow_mlflow_run": parent,
        }
        mlflow.set_tags(git_tags() | {name: value for name, value in tags.items() if value})
        log_data(run.info.run_id, frame, lineage)
        mlflow.log_params({f"train.{name}": value for name, value in asdict(settings).items()})
        _fit(model, tokenizer, frame, output, settings).save_model(str(output))
        tokenizer.save_pretrained(str(output))
        return str(run.info.run_id)


def _fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    frame: pd.DataFrame,
    output: Path,
    settings: TrainingSettings,
) -> Trainer:
    import mlflow

    has_neutral = bool((frame[LABEL] == LABELS[NEUTRAL]).any())
    if has_neutral:
        base_models.enable_class(model, NEUTRAL)
    trainer = _trainer(model, tokenizer, frame, output, settings)
    # After the trainer has moved the model to its device, so that both sets of weights are there.
    start = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    trainer.train()
    if settings.base_model.startswith(base_models.REGISTERED):
        mlflow.log_param("train.start_share", START_SHARE)
        base_models.average_weights(model, start, START_SHARE)
    if not has_neutral:
        base_models.disable_class(model, NEUTRAL)
    return trainer


def soft_targets(frame: pd.DataFrame) -> NDArray[np.float32]:
    """Return n × 3 target distributions: each label's share of the raters' votes.

    A rating below, at and above zero is a vote for negative, neutral and positive. A row without ratings has all its
    weight on its label.
    """
    targets = np.eye(len(LABELS), dtype=np.float32)[[LABELS.index(label) for label in frame[LABEL]]]
    if RATINGS not in frame.columns:
        return targets
    for row, ratings in enumerate(frame[RATINGS]):
        if ratings is not None and np.size(ratings):
            votes = np.sign(np.asarray(ratings)).astype(int) + 1
            targets[row] = np.bincount(votes, minlength=len(LABELS)) / len(votes)
    return targets


def _examples(frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    texts: Sequence[str] = [normalise(text) for text in frame[TEXT]]
    tokens = tokenizer(list(texts), truncation=True, max_length=MAX_LENGTH)
    targets = soft_targets(frame)
    return [
        {"input_ids": ids, "labels": target.tolist()} for ids, target in zip(tokens["input_ids"], targets, strict=True)
    ]


def _trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    frame: pd.DataFrame,
    output: Path,
    settings: TrainingSettings,
) -> Trainer:
    import torch
    from transformers import DataCollatorWithPadding, Trainer

    class SoftLabelTrainer(Trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
            targets = inputs.pop("labels")
            outputs = model(**inputs)
            loss = torch.nn.functional.cross_entropy(outputs.logits, targets)
            return (loss, outputs) if return_outputs else loss

    train_rows = frame[frame[SPLIT] == "train"]
    if settings.max_rows:
        train_rows = train_rows.sample(min(settings.max_rows, len(train_rows)), random_state=settings.seed)
    validation_rows = frame[frame[SPLIT] == "validation"]
    if settings.max_rows:
        validation_rows = validation_rows.head(settings.max_rows)
    return SoftLabelTrainer(
        model=model,
        args=_arguments(output, settings),
        train_dataset=_examples(train_rows, tokenizer),
        eval_dataset=_examples(validation_rows, tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=_validation_metrics,
        callbacks=[_progress_lines()],
    )


def _progress_lines() -> TrainerCallback:
    """Return a callback that prints `progress: FRACTION loss LOSS`, which the live display of a run reads."""
    from transformers import TrainerCallback

    class ProgressLines(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            del args, control
            if state.is_world_process_zero and "loss" in (logs or {}):
                line = f"progress: {state.global_step / state.max_steps:.3f} loss {logs['loss']:.3f}"
                print(line, flush=True)  # noqa: T201

    return ProgressLines()


def _arguments(output: Path, settings: TrainingSettings) -> TrainingArguments:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(output / "checkpoints"),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=64,
        warmup_ratio=0.1,
        weight_decay=0.01,
        group_by_length=True,
        eval_strategy="epoch",
        logging_steps=10,
        save_strategy="no",
        report_to=["mlflow"],
        seed=settings.seed,
        dataloader_pin_memory=False,
    )


def _validation_metrics(prediction: Any) -> dict[str, float]:
    truth, predicted = prediction.label_ids.argmax(axis=1), prediction.predictions.argmax(axis=1)
    return {"macro_f1": macro_f1(truth, predicted)}


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
    ) -> None:
        settings = TrainingSettings(base_model=base_model, epochs=epochs, learning_rate=learning_rate, seed=seed)
        typer.echo(f"MLflow run {train(data, output, settings)}")

    app()


if __name__ == "__main__":
    main()
