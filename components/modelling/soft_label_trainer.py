"""transformers' Trainer for the raters' label distributions, on one process or on several that torchrun started."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from components.modelling import batches, processes
from components.modelling.resumption import ResumptionError, drop_older, last_checkpoint
from feature_checks.contract import LABEL, LABELS, MAX_LENGTH, RATINGS, normalise
from feature_checks.scores import macro_f1

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments

Examples = list[dict[str, Any]]
"""Rows with `input_ids` and `labels`, the distribution over the contract's labels."""


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


def examples(texts: Iterable[str], targets: NDArray[np.float32], tokenizer: PreTrainedTokenizerBase) -> Examples:
    """Return the tokens of n texts with their n × 3 target distributions."""
    if not len(targets):  # the tokeniser fails on an empty list
        return []
    tokens = tokenizer([normalise(text) for text in texts], truncation=True, max_length=MAX_LENGTH)
    return [
        {"input_ids": ids, "labels": target.tolist()} for ids, target in zip(tokens["input_ids"], targets, strict=True)
    ]


def build(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    training: Examples,
    validation: Examples,
    arguments: TrainingArguments,
    batch_size: int,
    teacher_states: Tensor | None = None,
) -> Trainer:
    """Return a Trainer whose steps do not depend on the number of processes.

    `batch_size`: rows of one step over all processes. Each row has the same weight in the gradient, also where the last
    batch gives the processes different numbers of rows.
    `teacher_states`: n × layers × units: what the state of the first token after each layer shall be, for each `number`
    that the training rows have; its squared distance, the mean over the units, is added to the loss.
    """
    from transformers import DataCollatorWithPadding

    collate = DataCollatorWithPadding(tokenizer)
    lengths = [len(row["input_ids"]) for row in training]
    shared = batches.SharedBatches(lengths, batch_size, arguments.seed, processes.rank(), processes.count())
    # The row of a process that has no share of a batch: it has no target.
    nothing = training[0] | {"labels": [0.0] * len(training[0]["labels"])}
    return _trainer_class(batches.loader([*training, nothing], shared, collate), teacher_states)(
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation,
        data_collator=collate,
        compute_metrics=_validation_metrics,
        callbacks=[_callback()],
    )


def _trainer_class(loader: Any, teacher_states: Tensor | None) -> Any:
    """Return a Trainer that reads its batches from `loader` and gives each row with a target the same weight."""
    import torch
    from transformers import Trainer

    several = processes.count() > 1

    class SoftLabelTrainer(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return loader

        def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
            targets, numbers = inputs.pop("labels"), inputs.pop("number", None)
            outputs = model(**inputs, output_hidden_states=numbers is not None)
            # A row without a target has no loss and does not count.
            counted = targets.sum(dim=1) > 0
            total = torch.nn.functional.cross_entropy(outputs.logits, targets, reduction="sum")
            if teacher_states is not None and numbers is not None:
                wanted = teacher_states[numbers.cpu()].to(total.device)
                total = total + _distances(outputs.hidden_states, wanted)[counted].sum()
            rows = counted.sum().float()
            if model.training and several:
                # DDP takes the mean of the processes' gradients: with their mean number of rows, rows weigh the same.
                rows = self.accelerator.reduce(rows, "mean")
            loss = total / rows
            return (loss, outputs) if return_outputs else loss

        def training_step(self, *arguments: Any, **options: Any) -> Any:
            loss = super().training_step(*arguments, **options)
            # The loss of all rows, for the reports: a process knows that of its share.
            return self.accelerator.reduce(loss, "mean") if several else loss

    return SoftLabelTrainer


def _distances(hidden_states: Sequence[Tensor], wanted: Tensor) -> Tensor:
    """Return for each row the distance of its first token's states from those that are wanted."""
    import torch

    own = torch.stack([state[:, 0] for state in hidden_states[1:]], dim=1)
    return (own - wanted).square().mean(dim=2).sum(dim=1)


def arguments(output: Path, *, epochs: float, learning_rate: float, batch_size: int, seed: int) -> TrainingArguments:
    """Return the Trainer's arguments; checkpoints go to `output` at the end of each epoch, and the newest is kept."""
    import torch
    from transformers import TrainingArguments

    several_on_cpu = processes.count() > 1 and not torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(output),
        logging_dir=str(output / "logs"),
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        per_device_train_batch_size=max(1, batch_size // processes.count()),
        per_device_eval_batch_size=64,
        warmup_ratio=0.1,
        weight_decay=0.01,
        eval_strategy="epoch",
        logging_steps=10,
        save_strategy="epoch",
        report_to=["mlflow"],
        seed=seed,
        dataloader_pin_memory=False,
        use_cpu=several_on_cpu,
        ddp_backend="gloo" if several_on_cpu else None,
        ddp_find_unused_parameters=False,
    )


def fit(trainer: Trainer, *, resumed: bool) -> None:
    """Train from the last checkpoint, or from the start where there is none.

    `resumed`: the MLflow run has the Trainer's parameters already. Raises ResumptionError if the processes find
    different checkpoints.
    """
    from accelerate.utils import gather_object

    checkpoint = last_checkpoint(Path(trainer.args.output_dir))
    seen = set(gather_object([checkpoint]) if processes.count() > 1 else [checkpoint])
    if len(seen) > 1:
        raise ResumptionError(
            f"{trainer.args.output_dir}: the processes find different checkpoints ({_listed(seen)}); "
            "the output must be on a volume that all machines share"
        )
    if resumed:
        # MLflow refuses a parameter with another value, such as the number of processes.
        os.environ["MLFLOW_MAX_LOG_PARAMS"] = "0"
    try:
        _allow_numbered_cpus()
        trainer.train(resume_from_checkpoint=checkpoint)
    finally:
        if resumed:
            del os.environ["MLFLOW_MAX_LOG_PARAMS"]


@functools.cache
def _allow_numbered_cpus() -> None:
    """Let torch.load put tensors on the device "cpu:0", as accelerate calls the CPU of one of several processes."""
    import torch

    torch.serialization.register_package(
        0, lambda _: None, lambda storage, place: storage if place.startswith("cpu:") else None
    )


def _listed(seen: set[str | None]) -> str:
    return ", ".join(sorted(name or "none" for name in seen))


def _callback() -> TrainerCallback:
    """Return a callback of the first process: it reports the progress, and keeps the newest checkpoint only.

    It prints `progress: FRACTION loss LOSS`, which the live display of a run reads.
    """
    from transformers import TrainerCallback

    class FirstProcess(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            del args, control
            if state.is_world_process_zero and "loss" in (logs or {}):
                line = f"progress: {state.global_step / state.max_steps:.3f} loss {logs['loss']:.3f}"
                print(line, flush=True)  # noqa: T201

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            del control
            if state.is_world_process_zero:
                drop_older(Path(args.output_dir))

    return FirstProcess()


def _validation_metrics(prediction: Any) -> dict[str, float]:
    """Return macro-F1 and mean loss; the Trainer's own mean would count padded rows of several processes."""
    logits, targets = prediction.predictions, prediction.label_ids
    loss = -(targets * log_softmax(logits, axis=1)).sum(axis=1).mean()
    return {"macro_f1": macro_f1(targets.argmax(axis=1), logits.argmax(axis=1)), "loss": float(loss)}
