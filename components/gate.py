"""May the candidate replace the champion? Baseline, champion and fidelity decide; thresholds.toml says how much."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from components import metrics, register
from components.evaluate import load_evaluation
from components.metrics import Change, Classes
from components.report import Section, markdown
from components.verify import INT8_PROBABILITIES, load_parity
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import GROUP_ID, LABEL, LABELS, SPLIT, TEXT
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
class Champion:
    """The model that is to be replaced, and how macro-F1 changes from it to the candidate."""

    version: str
    score: ServedScore
    change: Change


@dataclass(frozen=True)
class Decision:
    """Whether the candidate is accepted; when not, every reason."""

    accepted: bool
    reasons: Sequence[str]
    candidate: ServedScore
    baseline_macro_f1: float
    champion: Champion | None = None

    @property
    def verdict(self) -> str:
        """`accepted` or `rejected`, as tags and pipeline conditions carry it."""
        return "accepted" if self.accepted else "rejected"


def gate(evaluation: Path, verification: Path, data: Path, *, output: Path, limits: GateThresholds) -> Decision:
    """Score candidate and current champion on the same test split and decide; write decision.json and decision.md."""
    frame = pd.read_parquet(data)
    test = frame[frame[SPLIT] == "test"]
    truth = metrics.class_indices(test[LABEL].tolist())
    candidate = np.load(verification / INT8_PROBABILITIES).argmax(axis=1).astype(np.int64)
    decision = decide(
        ServedScore.of(truth, candidate),
        baseline_macro_f1=load_evaluation(evaluation).baseline_macro_f1,
        parity_violations=load_parity(verification).violations,
        champion=_compare(candidate, test, scratch=output, level=limits.bound_level),
        limits=limits,
    )
    save(decision, output)
    return decision


def decide(
    candidate: ServedScore,
    *,
    baseline_macro_f1: float,
    parity_violations: Sequence[str],
    champion: Champion | None,
    limits: GateThresholds,
) -> Decision:
    """Return the decision. Pure: a candidate passes when no reason speaks against it."""
    reasons = list(parity_violations)
    needed = baseline_macro_f1 + limits.min_gain_over_baseline
    if candidate.macro_f1 < needed:
        reasons.append(
            f"macro-F1 is {candidate.macro_f1:.3f}; the baseline's {baseline_macro_f1:.3f} plus "
            f"{limits.min_gain_over_baseline} asks for {needed:.3f}"
        )
    if champion:
        reasons += losses(candidate, champion, limits)
    return Decision(not reasons, reasons, candidate, baseline_macro_f1, champion)


def losses(candidate: ServedScore, champion: Champion, limits: GateThresholds) -> list[str]:
    """Return one sentence for each way in which the candidate falls too far behind the champion."""
    change, found = champion.change, []
    if change.macro_f1 < limits.min_macro_f1_change or change.lower_bound <= limits.min_change_bound:
        found.append(
            f"macro-F1 changes by {change.macro_f1:+.3f} from champion version {champion.version}, with a "
            f"{limits.bound_level:.0%} lower bound of {change.lower_bound:+.3f}; needed {limits.min_macro_f1_change} "
            f"or more and a bound above {limits.min_change_bound}"
        )
    for name, champion_f1 in champion.score.class_f1.items():
        loss = champion_f1 - candidate.class_f1[name]
        if loss > limits.max_class_f1_loss:
            found.append(
                f"F1 of {name} is {candidate.class_f1[name]:.3f}, {loss:.3f} below champion version "
                f"{champion.version}; allowed {limits.max_class_f1_loss}"
            )
    return found


def save(decision: Decision, folder: Path) -> None:
    """Write decision.json and decision.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DECISION).write_text(json.dumps(asdict(decision), indent=2), encoding="utf-8")
    (folder / REPORT).write_text(markdown("Gate decision", sections(decision)), encoding="utf-8")


def load_decision(folder: Path) -> Decision:
    """Read what `save` wrote."""
    content = json.loads((folder / DECISION).read_text(encoding="utf-8"))
    if champion := content["champion"]:
        typed = {"score": ServedScore(**champion["score"]), "change": Change(**champion["change"])}
        content["champion"] = Champion(**(champion | typed))
    return Decision(**(content | {"candidate": ServedScore(**content["candidate"])}))


def _compare(candidate: Classes, test: pd.DataFrame, *, scratch: Path, level: float) -> Champion | None:
    """Score the champion on the candidate's own test rows; None without a champion."""
    version = register.version_of("champion")
    if version is None:
        return None
    bundle = bundles.load(register.download_bundle(version, scratch / "champion"))
    probabilities = OnnxClassifier(bundle).probabilities(test[TEXT].tolist())
    return compare(version, probabilities.argmax(axis=1).astype(np.int64), candidate, test, level=level)


def compare(version: str, champion: Classes, candidate: Classes, test: pd.DataFrame, *, level: float) -> Champion:
    """Return the champion's score and the change to the candidate, from the n classes that each predicts."""
    truth, groups = metrics.class_indices(test[LABEL].tolist()), test[GROUP_ID].astype(str).tolist()
    change = metrics.macro_f1_change(truth, champion, candidate, groups, level=level)
    return Champion(version, ServedScore.of(truth, champion), change)


def sections(decision: Decision) -> list[Section]:
    """Return the report's content."""
    champion, scores = decision.champion, [decision.candidate]
    against = "champion (none yet)"
    if champion:
        against = f"champion (version {champion.version})"
        scores.append(champion.score)
    rows = [("macro-F1", *_cells(score.macro_f1 for score in scores))]
    rows += [(f"F1 {name}", *_cells(score.class_f1[name] for score in scores)) for name in LABELS]
    if champion:
        rows.append(("change of macro-F1", f"{champion.change.macro_f1:+.3f}", ""))
        rows.append(("lower bound of the change", f"{champion.change.lower_bound:+.3f}", ""))
    return [
        Section("Verdict", [f"The candidate is {decision.verdict}.", *decision.reasons]),
        Section("As served (INT8), on the test split", columns=("measure", "candidate", against), rows=rows),
        Section("Baseline", [f"VADER macro-F1 {decision.baseline_macro_f1:.3f}"]),
    ]


def _cells(values: Iterable[float]) -> tuple[str, str]:
    found = [f"{value:.3f}" for value in values]
    return found[0], found[1] if len(found) > 1 else "–"
