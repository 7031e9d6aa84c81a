"""A long text is divided into windows of whole sentences, without losing a word, and gets one answer."""

from __future__ import annotations

import random

import numpy as np
import pytest

from feature_checks.bundle import Bundle
from feature_checks.classifier import EncodedText, OnnxClassifier
from feature_checks.contract import normalise
from feature_checks.documents.aggregation import Aggregation
from feature_checks.documents.reading import document_probabilities
from feature_checks.documents.windows import Rows, divide
from serving.inference.engine import FakeEngine
from tests.feature_checks.documents.test_sentences import fuzzed


class Recorder:
    """Encodes with one token for each word, and remembers the text of every row."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self._engine = FakeEngine()

    def __call__(self, texts: list[str]) -> list[EncodedText]:
        rows = self._engine.encode(texts)
        self.texts |= {id(row.ids): text for row, text in zip(rows, texts, strict=True)}
        self.kept = [*getattr(self, "kept", []), *rows]
        return rows


def windows_of(text: str, window_tokens: int) -> list[str]:
    recorder = Recorder()
    return [recorder.texts[id(row.ids)] for row in divide(text, recorder, window_tokens)]  # type: ignore[arg-type]


def test_windows_hold_whole_sentences_and_are_filled() -> None:
    sentences = [f"This is sentence number {n}." for n in range(100)]
    windows = windows_of(" ".join(sentences), 32)
    assert " ".join(windows) == " ".join(sentences)
    assert all(window.startswith("This") and window.endswith(".") for window in windows)
    assert {len(window.split()) for window in windows[:-1]} == {30}  # six sentences of five words, and two more tokens


@pytest.mark.parametrize("seed", range(300))
def test_no_word_is_lost_or_doubled_and_every_window_fits(seed: int) -> None:
    choose = random.Random(seed)
    text = normalise(" ".join(fuzzed(choose.randint(0, 10_000)) for _ in range(choose.randint(1, 40))))
    if not text:
        return
    windows = windows_of(text, choose.choice([8, 32, 64, 256]))
    assert "".join("".join(windows).split()) == "".join(text.split())
    assert all(len(window.split(" ")) <= 254 for window in windows)


@pytest.mark.parametrize("text", ["word " * 5_000, "无" * 5_000])
def test_a_sentence_longer_than_the_model_reads_is_cut_only_where_it_must(tiny_bundle: Bundle, text: str) -> None:
    classifier = OnnxClassifier(tiny_bundle)
    rows = divide(text.strip(), classifier.encode, 64)
    assert not any(row.truncated for row in rows)
    assert sum(len(row.ids) - 2 for row in rows) == 5_000


def test_short_texts_have_exactly_the_probabilities_of_the_classifier(tiny_bundle: Bundle) -> None:
    classifier = OnnxClassifier(tiny_bundle)
    texts = [f"Review {n}. It works." for n in range(50)]
    assert document_probabilities(classifier, texts).tobytes() == classifier.probabilities(texts).tobytes()


def test_the_end_of_a_long_text_counts(tiny_bundle: Bundle) -> None:
    classifier = OnnxClassifier(tiny_bundle)
    beginning = "It has two buttons. " * 40
    one, other = beginning + "I love it.", beginning + "It broke."
    cut, read = classifier.probabilities([one, other]), document_probabilities(classifier, [one, other])
    np.testing.assert_array_equal(cut[0], cut[1])
    assert np.abs(read[0] - read[1]).max() > 1e-4
    np.testing.assert_allclose(read.sum(axis=1), 1, atol=1e-6)


def test_each_text_gets_the_answer_of_its_own_rows() -> None:
    engine, aggregation = FakeEngine(), Aggregation()
    texts = ["short", "First part. " * 300, "other", "Second one. " * 400]
    rows = Rows.of(texts, engine.encode(texts), engine.encode, aggregation)
    found = rows.combine(engine.run(rows.encoded))
    for index in (0, 2):
        np.testing.assert_array_equal(found[index], engine.run(engine.encode([texts[index]]))[0])
    for index in (1, 3):
        windows = divide(texts[index], engine.encode, aggregation.window_tokens)
        expected = aggregation.combine(engine.run(windows), [len(row.ids) for row in windows])
        np.testing.assert_array_equal(found[index], expected)
    assert rows.truncated == [False] * 4


def test_a_text_with_a_missing_row_has_no_answer() -> None:
    engine = FakeEngine()
    texts = ["First part. " * 300, "short"]
    rows = Rows.of(texts, engine.encode(texts), engine.encode, Aggregation())
    probabilities = engine.run(rows.encoded)
    probabilities[3] = np.nan
    found = rows.combine(probabilities)
    assert np.isnan(found[0]).all()
    assert not np.isnan(found[1]).any()
