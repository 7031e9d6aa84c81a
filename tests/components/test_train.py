from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.modelling.base_models import average_weights
from components.modelling.soft_label_trainer import soft_targets
from components.registry.artifacts import CHECKPOINT_ARTIFACT
from components.registry.client import connect
from components.train import START_SHARE, TrainingSettings, train
from feature_checks.contract import MODEL_NAME


def test_votes_become_shares_in_contract_order() -> None:
    frame = pd.DataFrame({"label": ["positive"], "ratings": [[-2, 0, 1, 4]]})
    np.testing.assert_allclose(soft_targets(frame), [[0.25, 0.25, 0.5]])


def test_rows_without_ratings_have_all_weight_on_their_label() -> None:
    frame = pd.DataFrame({"label": ["neutral", "negative"], "ratings": [None, np.array([])]})
    np.testing.assert_allclose(soft_targets(frame), [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(soft_targets(frame.drop(columns="ratings")), [[0, 1, 0], [1, 0, 0]])


def test_mixed_weights_lie_between_start_and_end(tiny_checkpoint: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(tiny_checkpoint)
    start = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    average_weights(model, start, 0.75)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.detach(), start[name] + 0.25)


def test_going_on_from_a_registered_model_keeps_half_of_it(
    state: Path, tiny_base_model: Path, small_reviews: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file
    from torch.testing import assert_close

    registered = state / "version"
    shutil.copytree(tiny_base_model, registered / CHECKPOINT_ARTIFACT)
    client = connect()
    client.create_registered_model(MODEL_NAME)
    client.create_model_version(MODEL_NAME, source=registered.as_uri())
    data = state / "data.parquet"
    small_reviews.sample(64, random_state=0).assign(split=["train"] * 48 + ["validation"] * 16).to_parquet(data)
    # Kubeflow Pipelines may name an MLflow run of its own for the step, in another experiment.
    injected = client.create_run(client.create_experiment("kubeflow")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", injected)
    weights = []
    for number, base in enumerate([str(tiny_base_model), f"models:/{MODEL_NAME}/1"]):
        output = state / f"model-{number}"
        if number:
            monkeypatch.setenv("MLFLOW_RUN_ID", injected)
        run_id = train(data, output, TrainingSettings(base, epochs=1.0, learning_rate=1e-2))
        weights.append(load_file(output / "model.safetensors"))
    start, (tuned, mixed) = load_file(tiny_base_model / "model.safetensors"), weights
    moved = max(float((tuned[name] - start[name]).abs().max()) for name in start)
    assert moved > 0.001
    for name, weight in mixed.items():
        assert_close(weight, START_SHARE * start[name] + (1 - START_SHARE) * tuned[name], atol=1e-5, rtol=1e-5)
    run = client.get_run(run_id)
    assert run.data.params["train.start_share"] == str(START_SHARE)
    assert run.data.tags["base_model_version"] == "1"
    assert (run.data.tags["kubeflow_mlflow_run"], run.info.run_id != injected) == (injected, True)
    (dataset,) = run.inputs.dataset_inputs
    assert run.data.tags["data_digest"].startswith(dataset.dataset.digest)
