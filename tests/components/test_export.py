from __future__ import annotations

import json

import numpy as np

from components.modelling.torch_classifier import TorchClassifier
from feature_checks.bundle import MANIFEST, Bundle
from feature_checks.classifier import OnnxClassifier, softmax

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
