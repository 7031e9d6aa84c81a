"""Earlier champions on the test rows of a candidate: the present one, and the best so far."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.evaluation.behaviour import load_cases, pass_share
from components.registry import artifacts, promotions
from components.registry.client import connect
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier, Probabilities
from feature_checks.contract import GROUP_ID, LABEL, MODEL_NAME, TEXT
from feature_checks.documents.reading import document_probabilities
from feature_checks.scores import Classes, class_indices, macro_f1


def anchor_digest(rows: pd.DataFrame) -> str:
    """Return a short SHA-256 of the test rows' texts, labels and groups, whatever their order.

    Macro-F1 of two models may be compared only on equal rows.
    """
    lines = sorted(rows[[GROUP_ID, TEXT, LABEL]].astype(str).agg("\x1f".join, axis=1))
    return hashlib.sha256("\x1e".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass
class EarlierChampions:
    """Every version that is or was champion, scored on demand.

    Example: `EarlierChampions(Path("scratch"), test, labels).best()`.
    """

    scratch: Path
    """Folder for downloaded bundles."""
    test: pd.DataFrame
    """The n test rows that models are compared on."""
    labels: tuple[str, ...]
    _classifiers: dict[str, OnnxClassifier] = field(default_factory=dict)

    def current(self) -> str | None:
        """Return the champion's version, or None."""
        return promotions.settle() or None

    def best(self) -> str | None:
        """Return the champion so far with the highest macro-F1 on the test rows, or None without a champion."""
        known = self._versions()
        scores = {version: self._score(version, tags) for version, tags in known.items()}
        # Of equal scores the older one: its attempts go on being counted.
        return max(scores, key=lambda version: (scores[version], -int(version))) if scores else None

    def classes(self, version: str, texts: list[str]) -> Classes:
        """Return the class that a version predicts for each text, as it is served."""
        classes: Classes = self.probabilities(version, texts).argmax(axis=1).astype(np.int64)
        return classes

    def probabilities(self, version: str, texts: list[str]) -> Probabilities:
        """Return the n × 3 probabilities of a version, as it is served."""
        return document_probabilities(self.classifier(version), texts)

    def behaviour(self, version: str) -> float:
        """Return the share of the behavioural cases that a version passes."""
        return pass_share(self.classifier(version).probabilities, load_cases())

    def classifier(self, version: str) -> OnnxClassifier:
        """Return a version's INT8 model; it is downloaded once."""
        if version not in self._classifiers:
            folder = artifacts.download_bundle(version, self.scratch / f"version-{version}")
            self._classifiers[version] = OnnxClassifier(bundles.load(folder))
        return self._classifiers[version]

    def attempt(self, best: str | None, days: int) -> int:
        """Return the number (from 1) of this attempt against `best`: one more than the versions judged since."""
        if best is None:
            return 1
        since = 1000 * (datetime.now(UTC) - timedelta(days=days)).timestamp()
        judged = connect().search_model_versions(f"name='{MODEL_NAME}'", max_results=1000)
        later = (
            version
            for version in judged
            if int(version.version) > int(best) and version.tags.get("gate") and version.creation_timestamp >= since
        )
        return 1 + sum(1 for _ in later)

    def _versions(self) -> dict[str, Mapping[str, Any]]:
        """Return the tags of each champion so far that the registry still has."""
        versions = connect().search_model_versions(f"name='{MODEL_NAME}'", max_results=1000)
        tags = {str(version.version): version.tags for version in versions}
        return {version: tags[version] for version in promotions.champions() if version in tags}

    def _score(self, version: str, tags: Mapping[str, Any]) -> float:
        if tags.get(artifacts.ANCHOR) == anchor_digest(self.test) and "macro_f1" in tags:
            return float(tags["macro_f1"])
        truth = class_indices(self.test[LABEL].tolist())
        return macro_f1(truth, self.classes(version, self.test[TEXT].tolist()), self.labels)
