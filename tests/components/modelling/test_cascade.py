from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from components.modelling.cascade import FIRST_STAGE, Cascade, stage_folders
from feature_checks.classifier import softmax

SECOND = np.array([[5.0, 0.0, 0.0]], dtype=np.float32)


def first_stage(*confidences: float) -> NDArray[np.float32]:
    """Return logits of a positive answer with each confidence."""
    return np.array([np.log([(1 - one) / 2, (1 - one) / 2, one]) for one in confidences], dtype=np.float32)


def test_the_second_stage_reads_what_the_first_one_is_not_confident_of() -> None:
    read: list[int] = []

    def second(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        read.extend(rows.tolist())
        return np.repeat(SECOND, len(rows), axis=0)

    first = first_stage(0.9, 0.5, 0.71, 0.65)
    logits = Cascade(confidence=0.7, margin=0.1).logits(first, second)
    assert read == [1, 3]
    np.testing.assert_array_equal(logits[[0, 2]], first[[0, 2]])
    np.testing.assert_array_equal(logits[1], SECOND[0])
    np.testing.assert_allclose(logits[3], (first[3] + SECOND[0]) / 2, atol=1e-5)


def test_a_confident_first_stage_needs_no_second_one() -> None:
    def second(_: NDArray[np.intp]) -> NDArray[np.float32]:
        raise AssertionError("the second stage was asked")

    first = first_stage(0.9, 0.8)
    np.testing.assert_array_equal(Cascade(0.7, 0.1).logits(first, second), first)


@pytest.mark.parametrize("limit", [0.7, 0.6], ids=["from here on the first stage", "from here on the second stage"])
def test_an_answer_does_not_jump_where_the_confidence_passes_a_limit(limit: float) -> None:
    first = first_stage(limit - 1e-4, limit + 1e-4)
    below, above = softmax(Cascade(0.7, 0.1).logits(first, lambda rows: np.repeat(SECOND, len(rows), axis=0)))
    np.testing.assert_allclose(below, above, atol=0.01)


def test_a_model_folder_says_whether_it_has_two_stages(tmp_path: Path) -> None:
    assert Cascade.of(tmp_path) is None
    assert stage_folders(tmp_path) == [tmp_path]
    (tmp_path / FIRST_STAGE).mkdir()
    cascade = Cascade(0.7, 0.1)
    cascade.save(tmp_path)
    assert Cascade.of(tmp_path) == cascade
    assert stage_folders(tmp_path) == [tmp_path / FIRST_STAGE, tmp_path]
