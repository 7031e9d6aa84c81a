from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.evaluate import judge_cascade
from components.modelling import torch_classifier
from components.modelling.torch_classifier import TorchClassifier
from feature_checks.contract import TEXT
from feature_checks.scores import class_indices, macro_f1
from tests.support.tiny_models import write_tiny_cascade


def test_a_cascade_is_judged_by_what_the_second_stage_would_score(
    tiny_checkpoint: Path, small_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    test = small_reviews.sample(60, random_state=0)
    model = write_tiny_cascade(tiny_checkpoint, tmp_path / "model", test[TEXT].tolist())
    result = judge_cascade(torch_classifier.load(model, max_length=64), test)
    assert result is not None
    assert result.share == 0.5
    alone = TorchClassifier(tiny_checkpoint, max_length=64).logits(test[TEXT].tolist()).argmax(axis=1)
    assert result.second_stage_macro_f1 == pytest.approx(
        macro_f1(class_indices(test["label"].tolist()), alone.astype(np.int64))
    )


def test_a_model_of_one_stage_is_no_cascade(tiny_checkpoint: Path, small_reviews: pd.DataFrame) -> None:
    assert judge_cascade(torch_classifier.load(tiny_checkpoint, max_length=64), small_reviews) is None
