from __future__ import annotations

from pathlib import Path

import numpy as np

from components.modelling import base_models
from components.modelling.torch_classifier import TorchClassifier
from feature_checks.classifier import softmax

TEXTS = ["Great camera.", "It broke.", "It has two buttons."]


def test_a_disabled_class_is_never_predicted_and_can_be_enabled_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model, tokenizer = base_models.load(str(tiny_checkpoint))
    base_models.disable_class(model, 1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    probabilities = softmax(TorchClassifier(tmp_path, max_length=64).logits(TEXTS))
    assert (probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    base_models.enable_class(model, 1)
    assert float(model.classifier.bias[1].detach()) == 0.0
