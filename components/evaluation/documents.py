"""Judges how whole reviews are labelled: read in full, cut to what the model reads at once, or averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from components.evaluation import bootstrap
from components.modelling.documents import Review, whole_reviews
from components.results.documents import Documents, Method
from components.results.interval import Interval
from feature_checks.classifier import OnnxClassifier, Probabilities
from feature_checks.documents.reading import document_probabilities
from feature_checks.documents.windows import Rows
from feature_checks.scores import Classes, class_indices, macro_f1


def judge_documents(classifier: OnnxClassifier, frame: pd.DataFrame) -> Documents | None:
    """Return the figures over the whole reviews of the test split; None for data without them.

    Example: `judge_documents(OnnxClassifier(bundle), pd.read_parquet(data))`.
    """
    reviews = whole_reviews(frame, ["test"])
    if len(reviews) < 2:
        return None
    return compare_methods(classifier, reviews)


def compare_methods(classifier: OnnxClassifier, reviews: Sequence[Review]) -> Documents:
    """Return the figures over some reviews."""
    texts = [review.text for review in reviews]
    read, cut = document_probabilities(classifier, texts), classifier.probabilities(texts)
    averaged = averaged_probabilities(classifier, texts)
    truth, groups = class_indices([review.label for review in reviews]), [review.group for review in reviews]

    def gain(before: Probabilities) -> Interval:
        return bootstrap.macro_f1_change_interval(truth, _classes(before), _classes(read), groups)

    return Documents(
        reviews=len(reviews),
        long=sum(text.truncated for text in classifier.encode(texts)),
        read=_method(read, truth, reviews),
        cut=_method(cut, truth, reviews),
        averaged=_method(averaged, truth, reviews),
        over_cut=gain(cut),
        over_averaged=gain(averaged),
    )


def averaged_probabilities(classifier: OnnxClassifier, texts: Sequence[str]) -> Probabilities:
    """Return n x 3 probabilities in which a long text has the mean of its windows, weighted by their tokens."""
    plain = replace(classifier.aggregation, coefficients=(), intercept=())
    rows = Rows.of(texts, classifier.encode(texts), classifier.encode, plain)
    return rows.combine(classifier.batched(rows.encoded))


def _method(probabilities: Probabilities, truth: Classes, reviews: Sequence[Review]) -> Method:
    from scipy.stats import rankdata

    polarity = rankdata(probabilities[:, 2] - probabilities[:, 0])
    ratings = rankdata([review.rating for review in reviews])
    constant = np.ptp(polarity) == 0 or np.ptp(ratings) == 0  # Then a correlation is not defined.
    correlation = 0.0 if constant else float(np.corrcoef(polarity, ratings)[0, 1])
    return Method(macro_f1(truth, _classes(probabilities)), correlation)


def _classes(probabilities: Probabilities) -> Classes:
    classes: Classes = probabilities.argmax(axis=1).astype(np.int64)
    return classes
