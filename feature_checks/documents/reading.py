"""Scores whole texts outside the server, with the windows and the aggregation that the server uses."""

from __future__ import annotations

from collections.abc import Sequence

from feature_checks.classifier import BATCH_SIZE, OnnxClassifier, Probabilities
from feature_checks.contract import normalise
from feature_checks.documents.windows import Rows


def document_probabilities(
    classifier: OnnxClassifier, texts: Sequence[str], batch_size: int = BATCH_SIZE
) -> Probabilities:
    """Return the n x 3 probabilities of texts of any length, each read in full.

    A text that the model reads at once has the probabilities of `classifier.probabilities`.

    Example: `document_probabilities(OnnxClassifier(bundle), [review]).argmax(axis=1)`.
    """
    normalised = [normalise(text) for text in texts]
    rows = Rows.of(normalised, classifier.encode(normalised), classifier.encode, classifier.aggregation)
    return rows.combine(classifier.batched(rows.encoded, batch_size))
