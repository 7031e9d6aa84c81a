"""Decide whether the candidate may replace the champion, by the rules and thresholds of thresholds.toml.

1. The exported model agrees with the trained one.
2. Macro-F1 beats the VADER baseline by a margin. The model is calibrated, passes enough behavioural cases, and keeps
   the errors that the table in its bundle promises to keep.
3. Macro-F1 does not fall far below the champion's, nor below that of the best champion so far, and neither does the
   lower bound of the change. The bound becomes stricter with each attempt against the same best champion.
4. No class, no slice and not the behavioural cases lose much against the champion, and neither do whole reviews.
5. If the data holds feedback, the labels of feedback that was held out become more probable than under the champion,
   beyond chance, and macro-F1 on these rows does not fall far. The probabilities show a gain on a few hundred rows;
   macro-F1 needs thousands, because only rows whose predicted class changes move it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.evaluation import bootstrap, gate_rules, metrics
from components.evaluation.behaviour import passed_share
from components.evaluation.documents import judge_documents
from components.evaluation.earlier_champions import EarlierChampions, anchor_digest
from components.evaluation.slices import slices
from components.reporting import gate_report
from components.results import documents, files
from components.results import evaluation as evaluations
from components.results import gate_decision as decisions
from components.results import max_error as answers
from components.results import parity as parities
from components.results.documents import Documents
from components.results.gate_decision import Behaviour, Champion, Change, Evidence, GateDecision, ServedScore
from feature_checks.classifier import OnnxClassifier, Probabilities
from feature_checks.contract import GROUP_ID, LABEL, LABELS, SPLIT, TEXT
from feature_checks.scores import Classes, class_indices
from feature_checks.splits import is_feedback
from feature_checks.thresholds import GateThresholds


def gate(evaluation: Path, verification: Path, data: Path, *, output: Path, limits: GateThresholds) -> GateDecision:
    """Score the candidate and earlier champions on the same test rows and decide; write decision.json, decision.md.

    Example: `gate(run / "evaluation", run / "parity", data, output=run / "gate", limits=load().gate).verdict`.
    """
    frame = pd.read_parquet(data)
    test = frame[frame[SPLIT] == "test"]
    feedback = is_feedback(test).to_numpy()
    anchor, new = test[~feedback], test[feedback]
    evaluated = evaluations.load(evaluation)
    labels = tuple(evaluated.labels)
    probabilities = np.load(verification / files.INT8_PROBABILITIES)
    classes = probabilities.argmax(axis=1).astype(np.int64)
    truth = class_indices(anchor[LABEL].tolist())
    with tempfile.TemporaryDirectory() as scratch:  # Earlier champions are no part of the decision.
        earlier = EarlierChampions(Path(scratch), anchor, labels)
        champion, evidence = comparisons(earlier, classes[~feedback], new, probabilities[feedback], limits)
        if champion:
            evidence = replace(
                evidence,
                behaviour=Behaviour(passed_share(evaluated.behaviour), earlier.behaviour(champion.version)),
                document_f1=document_f1(documents.load(verification), earlier.classifier(champion.version), frame),
            )
    evidence = replace(
        evidence,
        feedback_rows=int(is_feedback(frame).sum()),
        new_domain_rows=len(new),
        calibration_error=metrics.expected_calibration_error(truth, probabilities[~feedback]),
        behaviour=evidence.behaviour or Behaviour(passed_share(evaluated.behaviour)),
        answers=answered.limits if (answered := answers.load(verification)) else (),
    )
    decision = decide(
        metrics.served_score(truth, classes[~feedback], labels),
        baseline_macro_f1=evaluated.baseline_macro_f1,
        parity_violations=parities.load(verification).violations,
        champion=champion,
        limits=limits,
        labels=labels,
        evidence=evidence,
    )
    decision = replace(decision, anchor=anchor_digest(anchor))
    output.mkdir(parents=True, exist_ok=True)
    decisions.save(decision, output)
    (output / files.DECISION_REPORT).write_text(gate_report.text(decision), encoding="utf-8")
    return decision


def decide(
    candidate: ServedScore,
    *,
    baseline_macro_f1: float,
    parity_violations: Sequence[str],
    champion: Champion | None,
    limits: GateThresholds,
    labels: Sequence[str] = LABELS,
    evidence: Evidence | None = None,
) -> GateDecision:
    """Return the decision: a candidate is accepted when there is no reason against it. A pure function."""
    evidence = evidence or Evidence()
    rules = gate_rules.rules(candidate, baseline_macro_f1, champion, evidence, limits)
    reasons = [*parity_violations, *(rule.sentence for rule in rules if not rule.passed)]
    return GateDecision(
        not reasons, reasons, candidate, baseline_macro_f1, champion, tuple(labels), evidence, tuple(rules)
    )


def losses(candidate: ServedScore, champion: Champion, limits: GateThresholds) -> list[str]:
    """Return one sentence for each way in which the candidate falls too far below the champion."""
    return [rule.sentence for rule in gate_rules.against_champion(candidate, champion, limits) if not rule.passed]


def compare(
    version: str,
    champion: Classes,
    candidate: Classes,
    test: pd.DataFrame,
    *,
    level: float,
    labels: tuple[str, ...] = LABELS,
) -> Champion:
    """Return the champion's score and the change to the candidate, from the n classes that each predicts."""
    truth = class_indices(test[LABEL].tolist())
    score = metrics.served_score(truth, champion, labels)
    return Champion(version, score, _change(champion, candidate, test, level, labels))


def comparisons(
    earlier: EarlierChampions,
    candidate: Classes,
    new: pd.DataFrame,
    candidate_new: Probabilities,
    limits: GateThresholds,
) -> tuple[Champion | None, Evidence]:
    """Compare the candidate with the champion and the best champion so far; None without a champion.

    `candidate`: the n classes that it predicts for the test rows. `candidate_new`: its m × 3 probabilities for the
    rows `new`, which are held-out feedback.
    """
    version, best = earlier.current(), earlier.best()
    if version is None or best is None:
        return None, Evidence()
    attempt = earlier.attempt(best, limits.attempt_days)
    level, labels, test = limits.attempt_level(attempt), earlier.labels, earlier.test
    texts = test[TEXT].tolist()
    classes = {name: earlier.classes(name, texts) for name in {version, best}}
    champion, first = (
        compare(name, classes[name], candidate, test, level=level, labels=labels) for name in (version, best)
    )
    losses = _slice_losses(test, classes[version], candidate, labels, limits)
    evidence = Evidence(best=first, attempt=attempt, slice_losses=losses)
    if len(new):
        before = earlier.probabilities(version, new[TEXT].tolist())
        evidence = replace(evidence, **_on_new_domain(before, candidate_new, new, level, labels))
    return champion, evidence


def _on_new_domain(
    before: Probabilities, after: Probabilities, new: pd.DataFrame, level: float, labels: tuple[str, ...]
) -> dict[str, Any]:
    """Return what changes on the m held-out rows of feedback, from m × 3 probabilities, as fields of the evidence."""
    truth, groups = class_indices(new[LABEL].tolist()), new[GROUP_ID].astype(str).tolist()
    found, now = (np.asarray(model).argmax(axis=1).astype(np.int64) for model in (before, after))
    return {
        "new_domain": _change(found, now, new, level, labels),
        "new_domain_gain": bootstrap.likelihood_gain(truth, before, after, groups, level=level),
    }


def _slice_losses(
    test: pd.DataFrame, champion: Classes, candidate: Classes, labels: tuple[str, ...], limits: GateThresholds
) -> dict[str, Change]:
    """Return how far the candidate is below the champion on each slice that is large enough."""
    return {
        name: _change(candidate[rows], champion[rows], test[rows], limits.bound_level, labels)
        for name, rows in slices(test)
        if limits.min_slice_rows <= rows.sum() < len(test)
    }


def _change(
    before: Classes, after: Classes, test: pd.DataFrame, level: float, labels: tuple[str, ...] = LABELS
) -> Change:
    truth, groups = class_indices(test[LABEL].tolist()), test[GROUP_ID].astype(str).tolist()
    return bootstrap.macro_f1_change(truth, before, after, groups, level=level, labels=labels)


def document_f1(
    candidate: Documents | None, champion: OnnxClassifier, frame: pd.DataFrame
) -> tuple[float, float] | None:
    """Return macro-F1 of candidate and champion on the whole reviews of the test split; None for data without them."""
    judged = judge_documents(champion, frame) if candidate else None
    return (candidate.read.macro_f1, judged.read.macro_f1) if candidate and judged else None
