"""May the candidate replace the champion? Baseline, champion and fidelity decide; thresholds.toml says how much."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from components import metrics, register
from components.evaluate import load_evaluation
from components.metrics import Classes
from components.report import Section, markdown
from components.verify import INT8_PROBABILITIES, load_parity
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import LABEL, SPLIT, TEXT
from feature_checks.thresholds import GateThresholds

DECISION: Final = "decision.json"
REPORT: Final = "decision.md"


@dataclass(frozen=True)
class ServedScore:
    """Macro-F1 and per-class F1 of a model as it is served (INT8), on the test split."""

    macro_f1: float
    class_f1: Mapping[str, float]

    @classmethod
    def of(cls, truth: Classes, predicted: Classes) -> ServedScore:
        """Score predicted classes."""
        classes = {name: score.f1 for name, score in metrics.class_scores(truth, predicted).items()}
        return cls(metrics.macro_f1(truth, predicted), classes)


@dataclass(frozen=True)
class Decision:
    """Whether the candidate is accepted; when not, every reason."""

    accepted: bool
    reasons: Sequence[str]
    candidate: ServedScore
    baseline_macro_f1: float
    champion: ServedScore | None = None
    champion_version: str = ""

    @property
    def verdict(self) -> str:
        """`accepted` or `rejected`, as tags and pipeline conditions carry it."""
        return "accepted" if self.accepted else "rejected"


def gate(evaluation: Path, verification: Path, data: Path, *, output: Path, limits: GateThresholds) -> Decision:
    """Score candidate and current champion on the same test split and decide; write decision.json and decision.md."""
    frame = pd.read_parquet(data)
    test = frame[frame[SPLIT] == "test"]
    truth = metrics.class_indices(test[LABEL].tolist())
    int8 = np.load(verification / INT8_PROBABILITIES)
    version, champion = _score_champion(test[TEXT].tolist(), truth, output)
    decision = decide(
        ServedScore.of(truth, int8.argmax(axis=1).astype(np.int64)),
        baseline_macro_f1=load_evaluation(evaluation).baseline_macro_f1,
        parity_violations=load_parity(verification).violations,
        champion=champion,
        champion_version=version,
        limits=limits,
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / DECISION).write_text(json.dumps(asdict(decision), indent=2), encoding="utf-8")
    (output / REPORT).write_text(markdown("Gate decision", sections(decision)), encoding="utf-8")
    return decision


def decide(
    candidate: ServedScore,
    *,
    baseline_macro_f1: float,
    parity_violations: Sequence[str],
    champion: ServedScore | None,
    limits: GateThresholds,
    champion_version: str = "",
) -> Decision:
    """Return the decision. Pure: a candidate passes when no reason speaks against it."""
    reasons = list(parity_violations)
    needed = baseline_macro_f1 + limits.min_gain_over_baseline
    if candidate.macro_f1 < needed:
        reasons.append(
            f"macro-F1 is {candidate.macro_f1:.3f}; the baseline's {baseline_macro_f1:.3f} plus "
            f"{limits.min_gain_over_baseline} asks for {needed:.3f}"
        )
    for name, champion_f1 in champion.class_f1.items() if champion else ():
        loss = champion_f1 - candidate.class_f1[name]
        if loss > limits.max_class_f1_loss:
            reasons.append(
                f"F1 of {name} is {candidate.class_f1[name]:.3f}, {loss:.3f} below champion version "
                f"{champion_version}; allowed {limits.max_class_f1_loss}"
            )
    return Decision(not reasons, reasons, candidate, baseline_macro_f1, champion, champion_version)


def load_decision(folder: Path) -> Decision:
    """Read what `gate` wrote."""
    content = json.loads((folder / DECISION).read_text(encoding="utf-8"))
    champion = ServedScore(**content["champion"]) if content["champion"] else None
    return Decision(**(content | {"candidate": ServedScore(**content["candidate"]), "champion": champion}))


def _score_champion(texts: Sequence[str], truth: Classes, scratch: Path) -> tuple[str, ServedScore | None]:
    version = register.version_of("champion")
    if version is None:
        return "", None
    folder = register.download_bundle(version, scratch / "champion")
    probabilities = OnnxClassifier(bundles.load(folder)).probabilities(texts)
    return version, ServedScore.of(truth, probabilities.argmax(axis=1).astype(np.int64))


def sections(decision: Decision) -> list[Section]:
    """Return the report's content."""
    champion = decision.champion
    rows = [
        ("macro-F1", f"{decision.candidate.macro_f1:.3f}", f"{champion.macro_f1:.3f}" if champion else "–"),
        *(
            (f"F1 {name}", f"{score:.3f}", f"{champion.class_f1[name]:.3f}" if champion else "–")
            for name, score in decision.candidate.class_f1.items()
        ),
    ]
    against = f"champion (version {decision.champion_version})" if champion else "champion (none yet)"
    return [
        Section("Verdict", [f"The candidate is {decision.verdict}.", *decision.reasons]),
        Section("As served (INT8), on the test split", columns=("measure", "candidate", against), rows=rows),
        Section("Baseline", [f"VADER macro-F1 {decision.baseline_macro_f1:.3f}"]),
    ]
