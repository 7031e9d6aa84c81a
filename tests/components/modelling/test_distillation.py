"""A small model that answers as the trained one does, and becomes the first stage of a cascade."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.datasets.files import SourceError
from components.modelling import base_models, distillation, soft_label_trainer, torch_classifier
from components.modelling.cascade import FIRST_STAGE, Cascade
from components.modelling.resumption import FOLDER, last_checkpoint
from components.modelling.torch_classifier import TorchCascade, TorchClassifier
from components.registry.client import connect
from components.train import TrainingSettings, train
from feature_checks import thresholds
from feature_checks.classifier import softmax
from feature_checks.contract import MODEL_NAME, TEXT
from feature_checks.splits import group_of_text, split_of_group
from tests.support.tiny_models import write_tiny_bert
from tests.support.waiting import until


@pytest.fixture
def base(state: Path) -> Path:
    """Return an untrained tiny model of six layers."""
    return write_tiny_bert(state / "base", spread=0.05, layers=6)


@pytest.fixture
def data(state: Path, small_reviews: pd.DataFrame) -> Path:
    """Return 96 training rows and 32 validation rows."""
    path = state / "data.parquet"
    rows = small_reviews.sample(128, random_state=0)
    rows.assign(split=["train"] * 96 + ["validation"] * 32).to_parquet(path)
    return path


@pytest.fixture
def unlabelled(state: Path, small_reviews: pd.DataFrame) -> Path:
    """Return a file of all the texts, without labels."""
    path = state / "texts.csv"
    small_reviews[[TEXT]].to_csv(path, index=False)
    return path


def settings(base: Path, texts: Path, **more: Any) -> TrainingSettings:
    return TrainingSettings(
        str(base), epochs=6.0, learning_rate=1e-3, speed="fast", distillation_texts=str(texts), **more
    )


def layers(folder: Path) -> int:
    return int(base_models.load(str(folder))[0].config.num_hidden_layers)


def runs() -> list[Any]:
    """Return the MLflow runs, the newest first."""
    client = connect()
    experiment = client.get_experiment_by_name(MODEL_NAME)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_the_first_stage_has_three_layers_and_gives_the_answers_of_the_second(
    state: Path, base: Path, data: Path, unlabelled: Path, small_reviews: pd.DataFrame
) -> None:
    train(data, state / "full", TrainingSettings(str(base), epochs=6.0, learning_rate=1e-3))
    run_id = train(data, state / "fast", settings(base, unlabelled))
    limits = thresholds.load().cascade
    assert Cascade.of(state / "full") is None
    assert Cascade.of(state / "fast") == Cascade(limits.confidence, limits.margin)
    assert (layers(state / "fast"), layers(state / "fast" / FIRST_STAGE)) == (6, 3)
    full, second, first = (
        TorchClassifier(folder, max_length=64).logits(small_reviews[TEXT].tolist())
        for folder in (state / "full", state / "fast", state / "fast" / FIRST_STAGE)
    )
    np.testing.assert_array_equal(second, full)
    assert len(np.unique(full.argmax(axis=1))) > 1
    assert (full.argmax(axis=1) == first.argmax(axis=1)).mean() > 0.9

    (below,) = [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == run_id]
    assert below.info.status == "FINISHED"
    held_out = pd.read_parquet(data).query("split != 'train'")[TEXT].tolist()
    texts = distillation.unlabelled_texts(str(unlabelled), held_out, state)
    assert below.data.params["distillation.texts"] == str(len(texts))
    assert "eval_macro_f1" in below.data.metrics
    assert connect().get_run(run_id).data.params["train.speed"] == "fast"
    assert not (state / "fast" / FOLDER).exists()


def test_the_students_layers_are_spread_over_those_of_the_teacher(base: Path) -> None:
    import torch

    teacher, _ = base_models.load(str(base))
    student = distillation.student_of(teacher)
    for number, layer in enumerate(student.bert.encoder.layer):
        for name, weight in layer.attention.named_parameters():
            expected = teacher.bert.encoder.layer[2 * number].attention.get_parameter(name)
            torch.testing.assert_close(weight, expected)
    assert (teacher.config.num_hidden_layers, teacher.config.intermediate_size) == (6, 256)


def test_the_students_feed_forward_parts_have_the_largest_units_of_the_teachers(base: Path) -> None:
    import torch

    teacher, _ = base_models.load(str(base))
    layer = teacher.bert.encoder.layer[2]
    kept = torch.arange(1, 256, 2)
    with torch.no_grad():
        layer.intermediate.dense.weight[kept] *= 3
        layer.output.dense.weight[:, kept] *= 3
    narrow = distillation.student_of(teacher).bert.encoder.layer[1]
    torch.testing.assert_close(narrow.intermediate.dense.weight, layer.intermediate.dense.weight[kept])
    torch.testing.assert_close(narrow.intermediate.dense.bias, layer.intermediate.dense.bias[kept])
    torch.testing.assert_close(narrow.output.dense.weight, layer.output.dense.weight[:, kept])
    torch.testing.assert_close(narrow.output.dense.bias, layer.output.dense.bias)


def test_the_embeddings_stay_those_of_the_teacher(base: Path) -> None:
    student = distillation.student_of(base_models.load(str(base))[0])
    trained = {name for name, weight in student.named_parameters() if weight.requires_grad}
    assert {name for name, _ in student.named_parameters()} - trained == {
        f"bert.embeddings.{name}"
        for name in (
            "word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight",
            "LayerNorm.weight", "LayerNorm.bias",
        )
    }  # fmt: skip


def test_a_model_of_few_layers_is_not_distilled(tiny_base_model: Path) -> None:
    model, _ = base_models.load(str(tiny_base_model))
    assert not distillation.needed("fast", model)


def test_a_full_model_is_not_distilled(base: Path) -> None:
    model, _ = base_models.load(str(base))
    assert (distillation.needed("full", model), distillation.needed("fast", model)) == (False, True)


def test_a_retraining_keeps_the_speed_of_the_model_that_it_starts_from(base: Path) -> None:
    assert not distillation.needed("keep", base_models.load(str(base))[0])
    (base / FIRST_STAGE).mkdir()
    Cascade(0.6, 0.05).save(base)
    assert distillation.needed("keep", base_models.load(str(base))[0])


def test_an_unknown_speed_is_refused_before_anything_is_trained(base: Path, data: Path, state: Path) -> None:
    with pytest.raises(ValueError, match=r"speed: found 'quick'; expected one of \['full', 'fast', 'keep'\]"):
        train(data, state / "model", TrainingSettings(str(base), speed="quick"))
    assert not (state / "model").exists()


def test_nothing_is_learned_from_a_text_that_a_model_may_be_judged_by(state: Path) -> None:
    texts = [f"Text number {number}." for number in range(200)]
    pd.DataFrame({TEXT: [*texts, texts[0], None, " "]}).to_parquet(state / "texts.parquet")
    found = distillation.unlabelled_texts(str(state / "texts.parquet"), texts[:50], state)
    assert found == [text for text in texts[50:] if split_of_group(group_of_text(text)) == "train"]
    assert distillation.unlabelled_texts("", texts, state) == []


def test_a_student_of_data_without_neutral_rows_never_predicts_neutral(
    state: Path, base: Path, data: Path, unlabelled: Path, small_reviews: pd.DataFrame
) -> None:
    frame = pd.read_parquet(data)
    frame[frame["label"] != "neutral"].to_parquet(state / "two.parquet")
    train(state / "two.parquet", state / "two", settings(base, unlabelled, max_rows=40))
    model = torch_classifier.load(state / "two", max_length=64)
    assert isinstance(model, TorchCascade)
    for stage in (model.first, model):
        assert (softmax(stage.logits(small_reviews[TEXT].tolist()))[:, 1] == 0).all()


def test_a_full_model_does_not_keep_the_first_stage_of_the_one_that_it_replaces(
    state: Path, base: Path, data: Path
) -> None:
    (state / "model" / FIRST_STAGE).mkdir(parents=True)
    Cascade(0.6, 0.05).save(state / "model")
    train(data, state / "model", TrainingSettings(str(base), epochs=1.0, max_rows=32))
    assert not (state / "model" / FIRST_STAGE).exists()
    assert layers(state / "model") == 6


def test_a_student_may_learn_from_the_training_rows_alone(state: Path, base: Path, data: Path) -> None:
    train(data, state / "model", replace(settings(base, Path()), distillation_texts=""))
    assert layers(state / "model" / FIRST_STAGE) == 3


def test_texts_that_cannot_be_read_are_refused_before_anything_is_trained(state: Path, base: Path, data: Path) -> None:
    (state / "votes.csv").write_text("votes,label\n3,positive\n")
    with pytest.raises(SourceError, match=r"votes.csv'?: it has the columns \['votes', 'label'\] and no texts"):
        train(data, state / "model", settings(base, state / "votes.csv"))
    assert connect().get_experiment_by_name(MODEL_NAME) is None


def test_labels_that_nobody_needs_are_not_read(state: Path) -> None:
    texts = [f"Text number {number}." for number in range(20)]
    pd.DataFrame({"comment": texts, "stars": [900] * 20}).to_csv(state / "texts.csv", index=False)
    found = distillation.unlabelled_texts(str(state / "texts.csv"), [], state)
    assert found == [text for text in texts if split_of_group(group_of_text(text)) == "train"]


@pytest.mark.parametrize(("labelled", "numbers"), [(2, [0, 1, 0, 1, 2, 3]), (4, [0, 1, 2, 3])])
def test_an_epoch_repeats_the_training_rows_beside_others(labelled: int, numbers: list[int]) -> None:
    rows = [{"input_ids": [number], "labels": []} for number in range(4)]
    targets = np.arange(12, dtype=np.float32).reshape(4, 3)
    epoch = distillation.rows_of_an_epoch(rows, targets, labelled)
    assert [row["number"] for row in epoch] == numbers
    for row in epoch:
        assert row["input_ids"] == [row["number"]]
        assert row["labels"] == targets[row["number"]].tolist()


def test_the_loss_has_the_distance_of_the_first_tokens_states(base: Path, data: Path, state: Path) -> None:
    import torch

    model, tokenizer = base_models.load(str(base))
    frame = pd.read_parquet(data).head(8)
    rows = soft_label_trainer.examples(frame[TEXT], soft_label_trainer.soft_targets(frame), tokenizer)
    arguments = soft_label_trainer.arguments(state / "out", epochs=1.0, learning_rate=1e-3, batch_size=8, seed=0)
    teacher = soft_label_trainer.build(model, tokenizer, rows, rows, arguments, 8)
    probabilities, states = distillation.answers(teacher, rows)
    for number, row in enumerate(rows):  # each row alone, in the order given
        alone = model(input_ids=torch.tensor([row["input_ids"]]), output_hidden_states=True)
        expected = torch.stack([alone.hidden_states[layer][0, 0] for layer in (2, 4, 6)])
        torch.testing.assert_close(states[number], expected.detach(), atol=1e-5, rtol=1e-4)
        np.testing.assert_allclose(probabilities[number], alone.logits.detach().softmax(dim=1).numpy()[0], atol=1e-5)

    student = distillation.student_of(model).eval()
    plain = soft_label_trainer.build(student, tokenizer, rows, rows, arguments, 8)
    numbered = [row | {"number": number} for number, row in enumerate(rows)]
    matched = soft_label_trainer.build(student, tokenizer, numbered, rows, arguments, 8, states)
    losses = [
        trainer.compute_loss(student, next(iter(trainer.get_train_dataloader()))).item() for trainer in (plain, matched)
    ]
    batch = plain.data_collator([{"input_ids": row["input_ids"]} for row in rows])
    own = torch.stack([state[:, 0] for state in student(**batch, output_hidden_states=True).hidden_states[1:]], dim=1)
    distance = (own - states).square().mean(dim=2).sum(dim=1).mean().item()
    assert distance > 0.01
    assert losses[1] - losses[0] == pytest.approx(distance, rel=1e-4)


def test_a_distillation_that_is_stopped_goes_on_from_its_last_epoch(
    state: Path, base: Path, data: Path, unlabelled: Path
) -> None:
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    command = [torchrun, "--standalone", "--nproc-per-node=2", "-m", "components.train", f"--data={data}"]
    command += [f"--output={state / 'model'}", f"--base-model={base}", "--epochs=1", "--speed=fast"]
    command += [f"--distillation-texts={unlabelled}"]
    checkpoints = state / "model" / FOLDER / distillation.FOLDER
    with subprocess.Popen(command) as process:
        until(lambda: last_checkpoint(checkpoints), 240)
        process.send_signal(signal.SIGTERM)
    assert process.returncode != 0
    kept = Path(str(last_checkpoint(checkpoints)))
    steps = json.loads((kept / "trainer_state.json").read_text())
    assert steps["global_step"] < steps["max_steps"]
    stopped = {run.info.run_id for run in runs()}
    resumed = subprocess.run(command, check=True, timeout=240, stdout=subprocess.PIPE, text=True)
    first = float(resumed.stdout.split("progress: ")[1].split()[0])
    assert first > steps["global_step"] / steps["max_steps"]
    assert {run.info.run_id for run in runs()} == stopped
    assert {run.info.status for run in runs()} == {"FINISHED"}
    assert layers(state / "model" / FIRST_STAGE) == 3
