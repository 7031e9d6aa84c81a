from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from components.evaluation.behaviour import Case, load_cases, run_cases, self_test_texts
from feature_checks.classifier import Probabilities
from feature_checks.contract import LABELS

CASES = load_cases()


def always(label: int) -> Probabilities:
    row = np.full(3, 0.1, dtype=np.float32)
    row[label] = 0.8
    return row


def test_the_capabilities_of_the_model_card_are_covered() -> None:
    assert {"negation", "intensifiers", "typos", "emoji", "neutral facts"} <= {case.capability for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_a_case_can_pass_and_can_fail(case: Case) -> None:
    expected = LABELS.index(case.expect)
    right, wrong = always(expected), always((expected + 1) % 3)
    good = np.stack([right, right][: len(case.texts())])
    bad = np.stack([right, wrong] if case.other else [wrong])
    assert case.passes(good)
    assert not case.passes(bad)


def test_a_model_that_always_says_neutral_passes_only_what_it_should() -> None:
    def neutral(texts: Sequence[str]) -> Probabilities:
        return np.stack([always(1)] * len(texts))

    results = run_cases(neutral, CASES)
    assert results["neutral facts"].passed == results["neutral facts"].cases
    assert results["negation"].passed == 0
    assert len(results["negation"].failed) == results["negation"].cases


def test_self_test_texts_are_unique_and_every_case_is_in_them() -> None:
    texts = self_test_texts(CASES)
    assert len(texts) == len(set(texts))
    assert set(texts) == {text for case in CASES for text in case.texts()}
