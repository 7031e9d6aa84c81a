"""The gate's decision about a candidate, as `gate` writes it and later steps read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.results import files
from components.results.max_error import LimitResult, parse_limit
from feature_checks.contract import LABELS


@dataclass(frozen=True)
class ServedScore:
    """Macro-F1 and the F1 of each class of a model as it is served (INT8), on the test split."""

    macro_f1: float
    class_f1: Mapping[str, float]


@dataclass(frozen=True)
class Change:
    """One model's macro-F1 minus another's over the same rows, and the one-sided lower confidence bound of that."""

    macro_f1: float
    lower_bound: float
    level: float = 0.95
    """Confidence of the bound."""

    def __str__(self) -> str:
        """Return the change as reports show it."""
        return f"{self.macro_f1:+.3f}, with a {100 * self.level:.4g}% lower bound of {self.lower_bound:+.3f}"


@dataclass(frozen=True)
class LikelihoodGain:
    """How much more probability one model gives to the true labels than another over the same rows."""

    nats: float
    """Mean over the rows of log p(after) - log p(before) of the true label."""
    lower_bound: float
    """One-sided lower confidence bound of that mean."""
    level: float = 0.95
    """Confidence of the bound."""

    def __str__(self) -> str:
        """Return the gain as reports show it."""
        return f"{self.nats:+.3f} nats, with a {100 * self.level:.4g}% lower bound of {self.lower_bound:+.3f}"


@dataclass(frozen=True)
class Champion:
    """An earlier model, and how macro-F1 changes from it to the candidate."""

    version: str
    score: ServedScore
    change: Change


@dataclass(frozen=True)
class Behaviour:
    """Shares of the behavioural cases that pass."""

    candidate: float
    champion: float | None = None
    """None while there is no champion yet."""


@dataclass(frozen=True)
class Evidence:
    """What the gate knows besides the comparison with the champion; what is absent is not judged."""

    best: Champion | None = None
    """The best champion so far on this test split; None while there is no champion yet."""
    attempt: int = 1
    """Number of this attempt against the best champion so far."""
    feedback_rows: int = 0
    """Rows of feedback in the data."""
    new_domain_rows: int = 0
    """Those of them that are held out for the gate."""
    new_domain: Change | None = None
    """Change from the champion on them; None without such rows or without a champion."""
    new_domain_gain: LikelihoodGain | None = None
    """Gain in the probability of their labels over the champion; None as above, and in older decisions."""
    calibration_error: float | None = None
    """Expected calibration error of the candidate as served, on the test split."""
    behaviour: Behaviour | None = None
    document_f1: tuple[float, float] | None = None
    """Macro-F1 of candidate and champion on whole test reviews; None for data without them or without a champion."""
    answers: Sequence[LimitResult] = ()
    """Coverage and error for each accepted error that the gate looks at; empty for a bundle without the table."""
    slice_losses: Mapping[str, Change] = field(default_factory=dict)
    """For each part of the test split, the champion's macro-F1 minus the candidate's."""


@dataclass(frozen=True)
class Rule:
    """One rule of the gate: what was measured, what is needed, and the outcome."""

    name: str
    measured: float
    needed: float
    """The limit that `measured` must reach, or may not exceed."""
    passed: bool
    sentence: str
    """The outcome for people, with the figures."""

    @property
    def gap(self) -> float:
        """Return the distance between what was measured and the limit."""
        return abs(self.measured - self.needed)


@dataclass(frozen=True)
class GateDecision:
    """Whether the candidate is accepted; if not, every reason."""

    accepted: bool
    reasons: Sequence[str]
    candidate: ServedScore
    baseline_macro_f1: float
    champion: Champion | None = None
    """None while there is no champion yet."""
    labels: Sequence[str] = LABELS
    """The labels that occur in the data: macro-F1 is their mean. Without `neutral`, the model never predicts it."""
    evidence: Evidence = field(default_factory=Evidence)
    rules: Sequence[Rule] = ()
    """Every rule that was applied, passed or failed."""
    anchor: str = ""
    """Digest of the test rows that models are compared on; figures of one digest can be compared."""

    @property
    def verdict(self) -> str:
        """`accepted` or `rejected`, as tags and pipeline conditions carry it."""
        return "accepted" if self.accepted else "rejected"

    @property
    def compared_with(self) -> str:
        """The champion's version that the gate compared with; "" where there was none."""
        return self.champion.version if self.champion else ""

    def metrics(self) -> dict[str, float]:
        """Return the comparison with the champions as metrics, each with its bound."""
        changes = {
            "change_from_champion": self.champion.change if self.champion else None,
            "change_from_best": self.evidence.best.change if self.evidence.best else None,
            "new_domain_gain": self.evidence.new_domain,
        }
        known = {name: (change.macro_f1, change.lower_bound) for name, change in changes.items() if change}
        if gain := self.evidence.new_domain_gain:
            known["new_domain_likelihood_gain"] = (gain.nats, gain.lower_bound)
        return {f"gate_{name}": value for name, (value, _) in known.items()} | {
            f"gate_{name}_lower_bound": bound for name, (_, bound) in known.items()
        }


def save(decision: GateDecision, folder: Path) -> None:
    """Write the decision to `folder`, which must exist."""
    (folder / files.DECISION).write_text(json.dumps(asdict(decision), indent=2, allow_nan=False), encoding="utf-8")


def load(folder: Path) -> GateDecision:
    """Read what `save` wrote."""
    content = json.loads((folder / files.DECISION).read_text(encoding="utf-8"))
    evidence = content.get("evidence") or {}
    typed = {
        "candidate": ServedScore(**content["candidate"]),
        "champion": _champion(content["champion"]),
        "rules": tuple(Rule(**rule) for rule in content.get("rules", ())),
        "evidence": Evidence(**(evidence | _typed_evidence(evidence))),
    }
    return GateDecision(**(content | typed))


def _typed_evidence(content: Mapping[str, Any]) -> dict[str, Any]:
    behaviour, change, gain = (content.get(name) for name in ("behaviour", "new_domain", "new_domain_gain"))
    return {
        "best": _champion(content.get("best")),
        "behaviour": Behaviour(**behaviour) if behaviour else None,
        "new_domain": Change(**change) if change else None,
        "new_domain_gain": LikelihoodGain(**gain) if gain else None,
        "document_f1": tuple(content["document_f1"]) if content.get("document_f1") else None,
        "answers": tuple(parse_limit(limit) for limit in content.get("answers", ())),
        "slice_losses": {name: Change(**loss) for name, loss in content.get("slice_losses", {}).items()},
    }


def _champion(content: Mapping[str, Any] | None) -> Champion | None:
    if not content:
        return None
    typed = {"score": ServedScore(**content["score"]), "change": Change(**content["change"])}
    return Champion(**{**content, **typed})
