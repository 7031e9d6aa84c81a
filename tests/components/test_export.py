from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from components.modelling import torch_classifier
from components.modelling.torch_classifier import TorchCascade, TorchClassifier
from feature_checks.bundle import MANIFEST, Bundle
from feature_checks.classifier import OnnxClassifier, softmax
from tests.support.tiny_models import easy_reviews, export_tiny, write_tiny_cascade

TEXTS = ["Great camera.", "It broke after two days and nobody answered.", "It has two buttons."]


def test_fp32_is_the_trained_model(tiny_bundle: Bundle) -> None:
    trained = TorchClassifier(tiny_bundle.folder.parent.parent / "checkpoint", max_length=64)
    fp32 = OnnxClassifier(tiny_bundle, model=tiny_bundle.fp32_path)
    np.testing.assert_allclose(fp32.probabilities(TEXTS), softmax(trained.logits(TEXTS)), atol=1e-4)


def test_the_reference_is_what_fp32_says(tiny_bundle: Bundle) -> None:
    texts, probabilities = tiny_bundle.reference()
    fp32 = OnnxClassifier(tiny_bundle, model=tiny_bundle.fp32_path)
    np.testing.assert_allclose(fp32.probabilities(texts), probabilities, atol=1e-5)


def test_the_manifest_says_what_made_the_bundle(tiny_bundle: Bundle) -> None:
    content = json.loads((tiny_bundle.folder / MANIFEST).read_text())
    assert {"torch", "onnxruntime", "tokenizers"} <= content["versions"].keys()
    assert set(content["files"]) == {path.name for path in tiny_bundle.folder.iterdir()} - {MANIFEST}


def test_int8_is_the_smaller_model(tiny_bundle: Bundle) -> None:
    assert (tiny_bundle.folder / "model_int8.onnx").stat().st_size < tiny_bundle.fp32_path.stat().st_size / 2


def test_a_cascade_is_one_model_like_any_other(tiny_checkpoint: Path, tmp_path: Path) -> None:
    texts = easy_reviews()["text"].sample(40, random_state=0).tolist()
    model = write_tiny_cascade(tiny_checkpoint, tmp_path / "model", texts)
    bundle = export_tiny(model, tmp_path / "export", texts)
    trained = torch_classifier.load(model, max_length=64)
    assert isinstance(trained, TorchCascade)
    expected, second = softmax(trained.logits(texts)), softmax(trained.second.logits(texts))
    difference = np.abs(expected - second).max(axis=1)
    assert (difference > 0.1).sum() > 5, "the first stage must answer some texts"
    assert (difference < 0.001).sum() > 5, "the second stage must answer some texts"
    fp32 = OnnxClassifier(bundle, model=bundle.fp32_path)
    np.testing.assert_allclose(fp32.probabilities(texts), expected, atol=1e-4)
    # Rounding may move a text past the limit, and these stages give opposite answers.
    confidence = softmax(trained.first.logits(texts)).max(axis=1)
    clear = np.abs(confidence - trained.cascade.confidence + trained.cascade.margin / 2) > 0.08
    assert clear.sum() > 5
    int8 = OnnxClassifier(bundle).probabilities(texts)
    assert np.abs(int8 - expected)[clear].mean() < 0.03
