from __future__ import annotations

import numpy as np
import pytest

from feature_checks.bundle import Bundle
from feature_checks.classifier import PRECISION_MODE, OnnxClassifier, session_options, softmax

TEXTS = ["Great camera.", "It broke.", "A longer sentence about a phone that has two buttons and a strap."]


def test_probabilities_are_rows_that_sum_to_one(tiny_bundle: Bundle) -> None:
    probabilities = OnnxClassifier(tiny_bundle).probabilities(TEXTS)
    assert probabilities.shape == (3, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_order_of_texts_is_kept_through_length_sorting(tiny_bundle: Bundle) -> None:
    fp32 = OnnxClassifier(tiny_bundle, model=tiny_bundle.fp32_path)
    together = fp32.probabilities(TEXTS[::-1], batch_size=2)
    alone = np.concatenate([fp32.probabilities([text]) for text in TEXTS[::-1]])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_texts_give_no_rows(tiny_bundle: Bundle) -> None:
    assert OnnxClassifier(tiny_bundle).probabilities([]).shape == (0, 3)


def test_a_long_text_is_cut_to_max_length_and_keeps_its_closing_token(tiny_bundle: Bundle) -> None:
    classifier = OnnxClassifier(tiny_bundle)
    short, long = classifier.encode(["good", "good " * 500])
    assert (short.truncated, long.truncated) == (False, True)
    assert len(long.ids) == tiny_bundle.manifest.max_length
    assert long.ids[-1] == short.ids[-1]


def test_encoding_normalises_as_training_does(tiny_bundle: Bundle) -> None:
    plain, dirty = OnnxClassifier(tiny_bundle).encode(["great camera", " great\u200b \n camera\x00"])
    assert plain.ids == dirty.ids


def test_softmax_survives_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 0.0, -1000.0]])), [[1, 0, 0]])


@pytest.mark.parametrize(
    ("flags", "slower"), [({"avx2"}, True), ({"avx2", "avx_vnni"}, False), ({"avx512_vnni"}, False), (set(), True)]
)
def test_the_slower_exact_kernels_are_only_for_processors_without_vnni(
    flags: set[str], slower: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With VNNI the mode would change no result and cost a third of the speed."""
    monkeypatch.setattr("feature_checks.classifier.processor_flags", lambda: frozenset(flags))
    options = session_options(1)
    if slower:
        assert options.get_session_config_entry(PRECISION_MODE) == "1"
    else:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry(PRECISION_MODE)
