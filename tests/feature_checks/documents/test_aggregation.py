"""The coefficients of long texts are stored in the bundle, optional, and refused where they are of another kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_checks.bundle import DOCUMENTS, BundleError
from feature_checks.documents.aggregation import FEATURES, Aggregation, features, load, save

WINDOWS = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]])


def test_without_coefficients_the_answer_is_the_mean_weighted_by_tokens() -> None:
    np.testing.assert_allclose(Aggregation().combine(WINDOWS, [30, 10]), [0.625, 0.125, 0.25], atol=1e-6)


def test_features() -> None:
    np.testing.assert_allclose(features(WINDOWS, [10, 10]), [0.45, 0.15, 0.4, 0.8, 0.7])


def test_coefficients_survive_the_bundle(tmp_path: Path) -> None:
    fitted = Aggregation(48, np.arange(15.0).reshape(3, 5).tolist(), [0.5, 0.0, -0.5])
    save(fitted, tmp_path)
    assert load(tmp_path) == fitted
    logits = np.array([0.5, 0, -0.5]) + np.arange(15.0).reshape(3, 5) @ features(WINDOWS, [1, 1])
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(load(tmp_path).combine(WINDOWS, [1, 1]), expected, rtol=1e-5)


def test_a_bundle_without_the_file_loads(tmp_path: Path) -> None:
    assert load(tmp_path) == Aggregation()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"features": ["mean"]}, "features"),
        ({"coefficients": [[1.0]]}, "shapes"),
        ({"window_tokens": 1}, "window_tokens"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    content = {"window_tokens": 64, "coefficients": [[0.0] * len(FEATURES)] * 3, "intercept": [0.0] * 3}
    (tmp_path / DOCUMENTS).write_text(json.dumps(content | {"features": FEATURES} | change), encoding="utf-8")
    with pytest.raises(BundleError, match=word):
        load(tmp_path)
