"""Whole reviews: how they are put together from sentences, what is learned from them, and how that is judged."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.evaluation import gate_rules
from components.evaluation.documents import compare_methods, judge_documents
from components.export import fit_documents
from components.gate import document_f1
from components.modelling.documents import MIN_REVIEWS, fit_aggregation, whole_reviews
from components.reporting.model_card import document_sections
from components.results import documents
from components.results.documents import Documents, Method
from components.results.gate_decision import Champion, Change, Evidence, ServedScore
from components.results.interval import Interval
from components.verify import document_violations
from feature_checks import thresholds
from feature_checks.classifier import EncodedText, OnnxClassifier, Probabilities
from feature_checks.documents import aggregation
from feature_checks.documents.aggregation import Aggregation
from serving.inference.engine import FakeEngine

SENTENCES = {-2.0: "It is terrible.", 0.0: "It has two buttons.", 2.0: "It is excellent."}
PROBABILITIES = {"terrible.": [0.9, 0.08, 0.02], "excellent.": [0.02, 0.08, 0.9]}


class WordClassifier(OnnxClassifier):
    """Knows three sentences: polar words make polar windows, in proportion to their number."""

    def __init__(self) -> None:
        self.aggregation = Aggregation(window_tokens=8)
        self._engine = FakeEngine()
        self._known: dict[tuple[int, ...], list[float]] = {}

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        rows = self._engine.encode(texts)
        for row, text in zip(rows, texts, strict=True):
            polar = [PROBABILITIES[word] for word in text.split()[:254] if word in PROBABILITIES]
            self._known[tuple(row.ids)] = np.mean(polar, axis=0).tolist() if polar else [0.05, 0.9, 0.05]
        return rows

    def run(self, batch: Sequence[EncodedText]) -> Probabilities:
        return np.array([self._known[tuple(text.ids)] for text in batch], dtype=np.float32)


def reviews_of(number: int, split: str, length: int = 100) -> pd.DataFrame:
    """Reviews of mostly neutral sentences, whose few polar ones stand at the end and make half of the labels."""
    choose, rows = random.Random(f"{split}{number}"), []
    for review in range(number):
        polarity, polar = choose.choice([-2.0, 2.0]), choose.choice([length // 20, length // 3])
        ratings = [0.0] * (length - polar) + [polarity] * polar
        rows += [(SENTENCES[rating], rating, f"{split}-{review}", split) for rating in ratings]
    return pd.DataFrame(rows, columns=["text", "rating", "group_id", "split"])


def test_a_review_is_its_rows_in_their_order_with_the_mean_of_their_ratings() -> None:
    frame = pd.DataFrame(
        {
            "text": ["It  broke.", "One row only.", "I like it.", "Not rated."],
            "rating": [-2.0, 3.0, 1.0, None],
            "group_id": ["a", "b", "a", "a"],
            "split": ["train", "train", "train", "train"],
        }
    )
    (review,) = whole_reviews(frame, ["train"])
    assert (review.group, review.text, review.rating, review.label) == ("a", "It broke. I like it.", -0.5, "negative")
    assert whole_reviews(frame, ["test"]) == []
    assert whole_reviews(frame.drop(columns="rating"), ["train"]) == []


def test_the_fitted_coefficients_find_what_the_mean_and_the_beginning_do_not() -> None:
    classifier = WordClassifier()
    classifier.aggregation = fit_aggregation(classifier, whole_reviews(reviews_of(150, "train"), ["train"]))
    found = compare_methods(classifier, whole_reviews(reviews_of(60, "test"), ["test"]))
    assert (found.reviews, found.long) == (60, 60)
    assert found.read.macro_f1 > 0.6
    assert found.averaged.macro_f1 < 0.3
    assert found.cut.macro_f1 < 0.3
    assert found.over_averaged.low > 0.2
    assert found.read.correlation > 0.6


@pytest.mark.parametrize("number", [0, MIN_REVIEWS - 1])
def test_too_few_reviews_leave_the_mean(number: int) -> None:
    classifier = WordClassifier()
    assert fit_aggregation(classifier, whole_reviews(reviews_of(number, "train"), ["train"])) == classifier.aggregation


def test_the_bundle_gets_the_coefficients(tmp_path: Path) -> None:
    frame = pd.concat([reviews_of(60, "train"), reviews_of(20, "test")])
    judged = fit_documents(WordClassifier(), frame, tmp_path)
    assert judged is not None
    assert judged.reviews == 20
    assert np.shape(aggregation.load(tmp_path).coefficients) == (3, 5)
    documents.save(judged, tmp_path)
    assert documents.load(tmp_path) == judged


def test_data_without_whole_reviews_has_no_figures(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a"], "label": ["neutral"], "group_id": ["a"], "split": ["test"]})
    assert judge_documents(WordClassifier(), frame) is None
    documents.save(None, tmp_path)
    assert documents.load(tmp_path) is None
    assert document_sections(None) == []


def figures(read: float, averaged: float) -> Documents:
    same = Interval(0.0, 0.0)
    return Documents(50, 20, Method(read, 0.8), Method(0.5, 0.7), Method(averaged, 0.7), same, same)


def test_coefficients_worse_than_the_mean_are_refused() -> None:
    limits = thresholds.load().verify
    assert document_violations(None, limits) == []
    assert document_violations(figures(0.66, 0.7), limits) == []
    (sentence,) = document_violations(figures(0.6, 0.7), limits)
    assert "0.6000" in sentence
    assert "0.7000" in sentence


def test_a_candidate_much_worse_than_the_champion_on_whole_reviews_is_refused() -> None:
    limits, champion = thresholds.load().gate, WordClassifier()
    champion.aggregation = fit_aggregation(champion, whole_reviews(reviews_of(150, "train"), ["train"]))
    frame = reviews_of(60, "test")
    assert document_f1(None, champion, frame) is None
    score = ServedScore(0.7, {})
    compared = Champion("3", score, Change(0.0, 0.0))
    outcomes = {}
    for read in (0.2, 0.99):
        evidence = Evidence(document_f1=document_f1(figures(read, 0.2), champion, frame))
        rules = gate_rules.rules(score, 0.5, compared, evidence, limits)
        outcomes[read] = next(rule for rule in rules if rule.name == "whole reviews")
    assert outcomes[0.99].passed
    assert not outcomes[0.2].passed
    assert "champion version 3" in outcomes[0.2].sentence


def test_the_card_shows_the_three_ways() -> None:
    (section,) = document_sections(figures(0.7, 0.6))
    assert [row[0] for row in section.rows] == ["read in full", "cut", "averaged"]
    assert "20 of the 50 reviews" in section.paragraphs[0]
