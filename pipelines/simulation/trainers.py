"""What trains, judges, registers and promotes a candidate in a simulated year: quickly, or as the pipeline does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from components import gate
from components.evaluation import baseline, behaviour, metrics
from components.evaluation.behaviour import load_cases
from components.evaluation.earlier_champions import EarlierChampions, anchor_digest
from components.modelling.base_models import DEFAULT_BASE_MODEL
from components.registry import aliases, artifacts
from components.registry.client import connect
from components.results.gate_decision import Behaviour, GateDecision
from components.train import TrainingSettings
from feature_checks import thresholds
from feature_checks.classifier import Probabilities
from feature_checks.contract import LABEL, LABELS, MODEL_NAME, SPLIT, TEXT
from feature_checks.scores import Classes, class_indices
from feature_checks.splits import anchor_test, is_feedback
from feature_checks.thresholds import GateThresholds
from monitoring.windows.reference import reference_rows, reference_window
from pipelines.simulation.linear import LinearLearner


class Trainer(Protocol):
    """Trains candidates and scores texts with registered versions."""

    def candidate(self, data: Path, folder: Path) -> str:
        """Train on the data set, judge, register and, if accepted, promote; return the version."""
        ...

    def probabilities(self, version: str, texts: list[str]) -> Probabilities:
        """Return the n × 3 probabilities of a version."""
        ...

    def reference(self, version: str) -> Path:
        """Return the reference window that belongs to a version, as a Parquet file."""
        ...


@dataclass
class FastTrainer:
    """A linear head on a frozen encoder through the real gate and registry.

    Only what takes minutes is left out: fine-tuning, the export to ONNX and its verification.

    Example: `FastTrainer(LinearLearner(encoder)).candidate(Path("split.parquet"), Path("first"))` is `"1"`.
    """

    learner: LinearLearner
    limits: GateThresholds = field(default_factory=lambda: thresholds.load().gate)
    _folders: dict[str, Path] = field(default_factory=dict)

    def candidate(self, data: Path, folder: Path) -> str:
        """Train on the data set, judge, register and, if accepted, promote; return the version."""
        champion = aliases.version_of("champion")
        base = str(self._folders[champion]) if champion else DEFAULT_BASE_MODEL
        self.learner.train(data, folder, TrainingSettings(base_model=base))
        frame = pd.read_parquet(data)
        decision = self._judge(folder, frame)
        version = _register(folder, decision)
        self._folders[version] = folder
        rows = reference_rows(frame)
        window = reference_window(rows, self.probabilities(version, rows[TEXT].tolist()))
        window.to_parquet(self.reference(version), index=False)
        if decision.accepted:
            aliases.promote(version, "auto")
        return version

    def probabilities(self, version: str, texts: list[str]) -> Probabilities:
        """Return the n × 3 probabilities of a version."""
        return self.learner.probabilities(self._folders[version], texts)

    def reference(self, version: str) -> Path:
        """Return the reference window that belongs to a version."""
        return self._folders[version] / "reference.parquet"

    def _judge(self, folder: Path, frame: pd.DataFrame) -> GateDecision:
        """Return the gate's decision, from the same comparisons as the step of the pipeline."""
        test = frame[frame[SPLIT] == "test"]
        new, anchor = test[is_feedback(test)], anchor_test(frame)
        texts, truth = anchor[TEXT].tolist(), class_indices(anchor[LABEL].tolist())
        scores = self.learner.probabilities(folder, texts)
        scores_new = self.learner.probabilities(folder, new[TEXT].tolist())
        earlier = KnownChampions(folder, anchor, LABELS, score=self.probabilities)
        champion, evidence = gate.comparisons(earlier, _classes(scores), new, scores_new, self.limits)
        passed = behaviour.pass_share(lambda cases: self.learner.probabilities(folder, list(cases)), load_cases())
        decision = gate.decide(
            metrics.served_score(truth, _classes(scores)),
            baseline_macro_f1=metrics.served_score(truth, baseline.vader_predictions(texts)).macro_f1,
            parity_violations=(),
            champion=champion,
            limits=self.limits,
            evidence=replace(
                evidence,
                feedback_rows=int(is_feedback(frame).sum()),
                new_domain_rows=len(new),
                calibration_error=metrics.expected_calibration_error(truth, scores),
                behaviour=Behaviour(passed, earlier.behaviour(champion.version) if champion else None),
            ),
        )
        return replace(decision, anchor=anchor_digest(anchor))


@dataclass
class _Scored:
    """A version as the gate scores it."""

    score: Callable[[str, list[str]], Probabilities]
    version: str

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """Return the n × 3 probabilities."""
        return self.score(self.version, list(texts))


@dataclass
class KnownChampions(EarlierChampions):
    """The earlier champions of a simulated year, which are no bundles."""

    score: Callable[[str, list[str]], Probabilities] = field(kw_only=True)

    def classifier(self, version: str) -> Any:
        """Return what scores texts with a version."""
        return _Scored(self.score, version)

    def probabilities(self, version: str, texts: list[str]) -> Probabilities:
        """Return the n × 3 probabilities of a version."""
        return self.score(version, texts)


def _classes(probabilities: Probabilities) -> Classes:
    classes: Classes = np.asarray(probabilities).argmax(axis=1).astype(np.int64)
    return classes


def _register(folder: Path, decision: GateDecision) -> str:
    client = connect()
    if not client.search_registered_models(f"name='{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME)
    tags = {
        "gate": decision.verdict,
        "gate_reasons": json.dumps(list(decision.reasons)),
        aliases.COMPARED_WITH: decision.compared_with or aliases.NOBODY,
        artifacts.ANCHOR: decision.anchor,
        "macro_f1": f"{decision.candidate.macro_f1:.4f}",
    }
    return str(client.create_model_version(MODEL_NAME, source=folder.absolute().as_uri(), tags=tags).version)
