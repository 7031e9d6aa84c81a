"""Behavioural cases after CheckList (Ribeiro et al., ACL 2020): what any sentiment model should do."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from components.results.evaluation import CapabilityResult
from feature_checks.classifier import Probabilities
from feature_checks.contract import LABELS, Label

CASES: Final = Path(__file__).with_suffix(".jsonl")
TOLERANCE: Final = 0.05
"""A stronger wording may lower the expected class's probability by this much and still pass."""

Predict = Callable[[Sequence[str]], Probabilities]


@dataclass(frozen=True)
class Case:
    """One case: `label` expects a label, `same` an unchanged label, `stronger` no drop of the expected class."""

    capability: str
    kind: Literal["label", "same", "stronger"]
    text: str
    other: str = ""
    expect: Label = "neutral"

    def texts(self) -> list[str]:
        """Return the one or two texts to be scored."""
        return [self.text, self.other] if self.other else [self.text]

    def passes(self, probabilities: Probabilities) -> bool:
        """Whether the rows of `probabilities`, one for each of `texts()`, are what the case expects."""
        expected = LABELS.index(self.expect)
        if self.kind == "label":
            return int(probabilities[0].argmax()) == expected
        if self.kind == "same":
            return int(probabilities[0].argmax()) == int(probabilities[1].argmax())
        return bool(probabilities[1, expected] >= probabilities[0, expected] - TOLERANCE)


def load_cases(path: Path = CASES) -> list[Case]:
    """Read the cases, one JSON object a line."""
    return [Case(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def run_cases(predict: Predict, cases: Sequence[Case]) -> dict[str, CapabilityResult]:
    """Score every case in one call of `predict`; return the result of each capability.

    Example: `run_cases(classifier.probabilities, load_cases())["negation"].passed`.
    """
    texts = [text for case in cases for text in case.texts()]
    probabilities = predict(texts)
    outcome: dict[str, list[tuple[Case, bool]]] = defaultdict(list)
    start = 0
    for case in cases:
        end = start + len(case.texts())
        outcome[case.capability].append((case, case.passes(probabilities[start:end])))
        start = end
    return {
        capability: CapabilityResult(
            passed=sum(passed for _, passed in results),
            cases=len(results),
            failed=tuple(" → ".join(case.texts()) for case, passed in results if not passed),
        )
        for capability, results in outcome.items()
    }


def passed_share(results: Mapping[str, CapabilityResult]) -> float:
    """Return the share of all cases that passed; 1 without cases."""
    cases = sum(result.cases for result in results.values())
    return sum(result.passed for result in results.values()) / cases if cases else 1.0


def pass_share(predict: Predict, cases: Sequence[Case]) -> float:
    """Score every case and return the share that passed."""
    return passed_share(run_cases(predict, cases))


def self_test_texts(cases: Sequence[Case]) -> list[str]:
    """Return the texts of the cases, for the self-test of a serving node: they quote no customer."""
    return list(dict.fromkeys(text for case in cases for text in case.texts()))
