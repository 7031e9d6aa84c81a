"""The report of a gate decision, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from components.reporting.pages import Section, Verdict, markdown
from components.results.gate_decision import GateDecision


def text(decision: GateDecision) -> str:
    """Return the report."""
    verdict = Verdict("good" if decision.accepted else "bad", f"The candidate is {decision.verdict}.")
    return markdown("Gate decision", sections(decision), verdict)


def sections(decision: GateDecision) -> list[Section]:
    """Return the report's content."""
    champion, scores = decision.champion, [decision.candidate]
    against = "champion (none yet)"
    if champion:
        against = f"champion (version {champion.version})"
        scores.append(champion.score)
    rows = [("macro-F1", *_cells(score.macro_f1 for score in scores))]
    rows += [(f"F1 of {name}", *_cells(score.class_f1[name] for score in scores)) for name in decision.labels]
    if champion:
        rows.append(("change of macro-F1", f"{champion.change.macro_f1:+.3f}", ""))
        rows.append(("lower bound of the change", f"{champion.change.lower_bound:+.3f}", ""))
    if gain := decision.evidence.new_domain:
        rows.append(("change on held-out feedback", f"{gain.macro_f1:+.3f}", ""))
        rows.append(("lower bound of that change", f"{gain.lower_bound:+.3f}", ""))
    if likelihood := decision.evidence.new_domain_gain:
        rows.append(("gain in their log-probability", f"{likelihood.nats:+.3f}", ""))
        rows.append(("lower bound of that gain", f"{likelihood.lower_bound:+.3f}", ""))
    reasons = list(decision.reasons) or ["Every rule is met."]
    if "neutral" not in decision.labels:
        reasons.append(
            "The data has no neutral rows: the model never predicts neutral, and macro-F1 is the mean of two classes."
        )
    return [
        Section("Reasons", reasons),
        Section("As served (INT8), on the test split", columns=("measure", "candidate", against), rows=rows),
        *_rules(decision),
        Section("Baseline", [f"VADER reaches a macro-F1 of {decision.baseline_macro_f1:.3f}."]),
    ]


def _rules(decision: GateDecision) -> list[Section]:
    if not decision.rules:
        return []
    rows = [
        (rule.name, _figure(rule.measured), _figure(rule.needed), "passed" if rule.passed else "failed")
        for rule in decision.rules
    ]
    best, about = decision.evidence.best, []
    if best:
        about.append(
            f"The best champion so far on these test rows is version {best.version} with macro-F1 "
            f"{best.score.macro_f1:.3f}. This is attempt {decision.evidence.attempt} against it, so the lower bounds "
            f"hold with {100 * best.change.level:.4g}% confidence."
        )
    return [Section("Rules", about, columns=("rule", "measured", "limit", "outcome"), rows=rows)]


def _figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"


def _cells(values: Iterable[float]) -> tuple[str, str]:
    cells = [f"{value:.3f}" for value in values]
    return cells[0], cells[1] if len(cells) > 1 else "–"
