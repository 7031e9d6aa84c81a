"""A small model that learns the answers of the trained one, the teacher, and becomes the first stage of a cascade.

Knowledge distillation: Hinton et al., *Distilling the knowledge in a neural network* (2015). The student starts from
some layers of the teacher, as in Sanh et al., *DistilBERT* (2019), and from some units of their feed-forward parts. It
needs no labels, so it also learns from texts that nobody rated.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from components.datasets.sources import read_texts
from components.modelling import processes, resumption, soft_label_trainer
from components.modelling.cascade import FIRST_STAGE, Cascade
from components.modelling.soft_label_trainer import Examples
from feature_checks import thresholds
from feature_checks.contract import LABELS, SPLIT, TEXT, normalise
from feature_checks.splits import assign_splits

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

FULL: Final = "full"
FAST: Final = "fast"
KEEP: Final = "keep"
"""`fast` where the training starts from a fast model, otherwise `full`."""
SPEEDS: Final = (FULL, FAST, KEEP)
LAYERS: Final = 3
"""Layers of the student. From a teacher of six layers it has the first, the third and the fifth."""
FEED_FORWARD_SHARE: Final = 0.5
EPOCHS: Final = 6.0
TRAINING_ROW_COPIES: Final = 2
"""How often each training row of the teacher is in an epoch that has unlabelled texts. Each of these is in it once."""
LEARNING_RATE: Final = 3e-4
DEFAULT_TEXTS: Final = "icwsm2014:movies,nyt,tweets"
FOLDER: Final = "distillation"
"""Folder of the student's checkpoints, in that of the teacher's."""
_RUN: Final = "distillation"
_BATCH_ROWS: Final = 64


def needed(speed: str, model: PreTrainedModel) -> bool:
    """Tell whether a model is to be distilled: for `fast`, unless it has no more layers than a student.

    For `keep`, where it was loaded tells whether it is the second stage of a fast model.
    Raises ValueError for an unknown speed, and for a model without BERT's layers.
    """
    if speed not in SPEEDS:
        raise ValueError(f"speed: found {speed!r}; expected one of {list(SPEEDS)}")
    if speed == FULL or (speed == KEEP and Cascade.of(Path(model.name_or_path)) is None):
        return False
    if model.config.model_type != "bert":
        raise ValueError(
            f"speed: found {FAST!r} with a base model of type {model.config.model_type!r}; expected a BERT model, "
            f"or speed={FULL}"
        )
    return bool(model.config.num_hidden_layers > LAYERS)


def student_of(teacher: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of the teacher with LAYERS of its layers, evenly spread from the first one on.

    Of the units between the two matrices of each feed-forward part, the copy has FEED_FORWARD_SHARE. Its embeddings are
    not trained: most words stand in few of the texts, and so both stages of a cascade have one table of word vectors.
    """
    from torch.nn import ModuleList

    student = copy.deepcopy(teacher)
    layers = student.bert.encoder.layer
    student.bert.encoder.layer = ModuleList(layers[number * len(layers) // LAYERS] for number in range(LAYERS))
    student.config.num_hidden_layers = LAYERS
    student.config.intermediate_size = int(FEED_FORWARD_SHARE * teacher.config.intermediate_size)
    for layer in student.bert.encoder.layer:
        _narrow(layer, student.config.intermediate_size)
    student.bert.embeddings.requires_grad_(False)
    return student


def _narrow(layer: Any, units: int) -> None:
    """Keep so many units of the feed-forward part of a BERT layer: those with the largest weights on both sides."""
    from transformers.pytorch_utils import prune_linear_layer

    opening, closing = layer.intermediate.dense, layer.output.dense
    sizes = opening.weight.norm(dim=1) * closing.weight.norm(dim=0)
    kept = sizes.topk(units).indices.sort().values
    layer.intermediate.dense = prune_linear_layer(opening, kept)
    layer.output.dense = prune_linear_layer(closing, kept, dim=1)


def unlabelled_texts(source: str, held_out: Sequence[str], cache: Path) -> list[str]:
    """Return the distinct texts of a source, as far as they may be trained on.

    Texts whose group belongs to validation or test are left out, so that models can be judged on the source's labels.
    So are the texts of `held_out`. An empty source has none. Raises SourceError or DownloadError for a source that
    cannot be read or has no texts.

    Example: `unlabelled_texts("icwsm2014:tweets", [], Path(".local/data"))`.
    """
    if not source:
        return []
    rows = assign_splits(read_texts(source, cache=cache)).dropna(subset=TEXT)
    texts, in_train = rows[TEXT].map(normalise), rows[SPLIT] == "train"
    judged_by = {*texts[~in_train], *map(normalise, held_out)}
    return [text for text in dict.fromkeys(texts[in_train]) if text and text not in judged_by]


def distil(
    teacher: Trainer, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], checkpoints: Path, batch_size: int
) -> Trainer:
    """Train a student on the teacher's rows and on texts without labels; return its Trainer.

    `checkpoints` is the folder of the teacher's; those of the student are in FOLDER below it.
    The curves are in an MLflow run below that of the teacher. A training that was stopped goes on from the end of its
    last epoch, as the teacher's does.
    """
    unlabelled = soft_label_trainer.examples(texts, np.zeros((len(texts), len(LABELS)), np.float32), tokenizer)
    rows = [*teacher.train_dataset, *unlabelled]
    targets, states = answers(teacher, rows)
    training = rows_of_an_epoch(rows, targets, len(teacher.train_dataset))
    folder = checkpoints / FOLDER
    arguments = soft_label_trainer.arguments(
        folder, epochs=EPOCHS, learning_rate=LEARNING_RATE, batch_size=batch_size, seed=teacher.args.seed
    )
    validation: Examples = teacher.eval_dataset
    student = soft_label_trainer.build(
        student_of(teacher.model), tokenizer, training, validation, arguments, batch_size, states
    )
    described = {"layers": LAYERS, "texts": len(texts), "epochs": EPOCHS, "rows": len(training)}
    with _nested_run(folder, {f"distillation.{name}": value for name, value in described.items()}) as resumed:
        soft_label_trainer.fit(student, resumed=resumed)
    return student


def save(teacher: Trainer, student: Trainer | None, tokenizer: PreTrainedTokenizerBase, model_folder: Path) -> None:
    """Write a trained model to a Hugging Face folder: a cascade of both if there is a student.

    The first stage of an earlier model in the folder is removed.
    """
    teacher.save_model(str(model_folder))
    tokenizer.save_pretrained(str(model_folder))
    shutil.rmtree(model_folder / FIRST_STAGE, ignore_errors=True)
    if student is None:
        return
    limits = thresholds.load().cascade
    student.save_model(str(model_folder / FIRST_STAGE))
    tokenizer.save_pretrained(str(model_folder / FIRST_STAGE))
    Cascade(limits.confidence, limits.margin).save(model_folder)


def rows_of_an_epoch(rows: Examples, targets: NDArray[np.float32], labelled: int) -> Examples:
    """Return the rows that a student sees in an epoch, with their `labels` and their `number` in `rows`.

    `targets`: n × 3 probabilities of the n rows. `labelled`: how many of them, from the first one on, are the teacher's
    own training rows, which are repeated if there are others.
    """
    copies = TRAINING_ROW_COPIES if len(rows) > labelled else 1
    numbers = [*range(labelled)] * (copies - 1) + [*range(len(rows))]
    return [rows[number] | {"labels": targets[number].tolist(), "number": number} for number in numbers]


def answers(teacher: Trainer, examples: Examples) -> tuple[NDArray[np.float32], Tensor]:
    """Return the teacher's n × 3 probabilities of n examples, and what its layers make of the first token.

    The states, n × LAYERS × units, are those after the layers that the student's stand for. The first token's last
    state is what BERT classifies by. The processes share the work.
    """
    import torch
    from accelerate.utils import gather_object
    from tqdm import tqdm

    model = teacher.model.eval()
    matched = [(layer + 1) * model.config.num_hidden_layers // LAYERS for layer in range(LAYERS)]
    order = sorted(range(len(examples)), key=lambda row: len(examples[row]["input_ids"]))
    own = order[processes.rank() :: processes.count()]
    logits, states = [], []
    with torch.no_grad():
        for start in tqdm(range(0, len(own), _BATCH_ROWS), desc="the teacher answers", mininterval=2):
            rows = own[start : start + _BATCH_ROWS]
            batch = teacher.data_collator([{"input_ids": examples[row]["input_ids"]} for row in rows])
            outputs = model(**batch.to(model.device), output_hidden_states=True)
            logits.append(outputs.logits.float().cpu())
            states.append(torch.stack([outputs.hidden_states[layer][:, 0] for layer in matched], dim=1).float().cpu())
    # Whole tensors: a row of a batch would be sent with the memory of all of the batch.
    part = (own, torch.cat(logits), torch.cat(states)) if own else None
    parts = [one for one in (gather_object([part]) if processes.count() > 1 else [part]) if one]
    place = torch.tensor([row for rows, _, _ in parts for row in rows]).argsort()
    probabilities = torch.cat([one for _, one, _ in parts])[place].softmax(dim=1)
    return probabilities.numpy(), torch.cat([one for *_, one in parts])[place]


@contextmanager
def _nested_run(checkpoints: Path, parameters: Mapping[str, Any]) -> Iterator[bool]:
    """Enter an MLflow run below the active one, in the first process; yield whether it goes on from a stop."""
    import mlflow

    earlier = resumption.interrupted_run(checkpoints, parameters)
    if processes.rank():
        yield bool(earlier)
        return
    with mlflow.start_run(run_id=earlier or None, run_name=_RUN, nested=True) as run:
        if not earlier:
            mlflow.log_params(dict(parameters))
            resumption.begin(checkpoints, parameters, run.info.run_id)
        yield bool(earlier)
