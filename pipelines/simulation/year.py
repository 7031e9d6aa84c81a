"""One simulated year: each week traffic, a window, a verdict, a decision, perhaps a retraining, and labels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from components.registry import aliases
from feature_checks.contract import LABEL, LABELS, ROW_ID, TEXT, Label
from feature_checks.scores import class_indices, macro_f1
from feature_checks.splits import without_held_out_texts
from monitoring import drift_thresholds, steps
from monitoring.drift.comparison import Check
from monitoring.drift.label_requests import ask_for_labels
from monitoring.prediction_log.lines_engine import LinesEngine
from monitoring.windows.file_reader import from_file
from monitoring.windows.label_store import LabelStore
from monitoring.windows.log_reader import LABELLED_BY
from monitoring.windows.window import Window
from pipelines.simulation.log import HOURS, WEEK, GivenLabel, SimulatedLog
from pipelines.simulation.population import Population, week_of, with_fault
from pipelines.simulation.scenarios import Scenario
from pipelines.simulation.trainers import Trainer

FIRST_MONDAY: Final = datetime(2026, 1, 5, tzinfo=UTC)
ROWS: Final = 500
"""Predictions of a week."""
USERS: Final = 20
"""People who give labels."""
POISONER: Final = "poisoner"
ENGINE: Final = LinesEngine()
"""Reads five hundred predictions in less time than DuckDB needs to start, with the same result."""
_WRONG: Final[dict[str, Label]] = {"negative": "positive", "neutral": "positive", "positive": "negative"}


@dataclass(frozen=True)
class Week:
    """What happened in one week."""

    mix: dict[str, float]
    status: str
    drift: bool
    sustained: bool
    action: str
    reasons: tuple[str, ...]
    stored_labels: int
    requested: int
    """Rows for which labels were asked for."""
    champion: str
    """Version that served the week."""
    candidate: str
    """Version that was trained at the end of the week; empty without a retraining."""
    promoted: bool
    outcome: str
    poisoned_rows: int
    """Rows of the candidate's data that have a label of the user who gives wrong ones."""
    macro_f1: dict[str, float]
    """Macro-F1 of the version that is champion after the week, on the test rows of each domain."""


@dataclass
class Year:
    """The weeks of one year, and the comparisons that they are judged by."""

    scenario: str
    seed: int
    weeks: list[Week] = field(default_factory=list)
    at_once: dict[str, float] = field(default_factory=dict)
    """Macro-F1 by domain of a model that is trained on all labels of four weeks after the shift at once."""
    weekly: list[dict[str, float]] = field(default_factory=list)
    """Macro-F1 by domain of a model that is trained anew every week; empty where it was not asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Return the year as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Year:
        """Return the year that `to_dict` returned, also after JSON."""
        weeks = [Week(**(week | {"reasons": tuple(week["reasons"])})) for week in content["weeks"]]
        return cls(**(content | {"weeks": weeks}))


@dataclass
class Simulation:
    """The state of a year that runs.

    Example: `Simulation(SCENARIOS["quiet"], population, trainer, Path("year"), seed=0).run(52)`.
    """

    scenario: Scenario
    population: Population
    trainer: Trainer
    folder: Path
    seed: int
    _due: dict[int, list[GivenLabel]] = field(default_factory=lambda: defaultdict(list))
    _references: dict[str, Window] = field(default_factory=dict)
    _measured: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.log = SimulatedLog(self.folder / "log")
        self.history = str(self.folder / "history")
        self.store = LabelStore(str(self.folder / "labelled.parquet"))
        self.thresholds = drift_thresholds.load()
        self.truth: dict[str, Label] = {}
        self.labelled: set[str] = set()

    def run(self, weeks: int, tell: Callable[[int, Week], None] | None = None) -> Year:
        """Train the first champion, then run the weeks; `tell` gets each finished one.

        Raises PromotionError if the gate refuses the first model.
        """
        self.train("first")
        year = Year(self.scenario.name, self.seed)
        for number in range(weeks):
            year.weeks.append(self.week(number))
            if tell:
                tell(number, year.weeks[-1])
        return year

    def week(self, number: int) -> Week:
        """Run one week and return what happened."""
        mix, version = dict(self.scenario.mix(number)), aliases.champion()
        start = FIRST_MONDAY + number * WEEK
        self._serve(number, mix, version, start)
        window = steps.champion_window(str(self.log.folder), hours=HOURS, rows=0, model_version=version,
                                       now=start + WEEK, engine=ENGINE)  # fmt: skip
        comparison = steps.judge(self._reference(version), window, self.history, self.thresholds, self._check(number))
        requests = ask_for_labels(comparison.current, window.random_part)
        steps.store_labels(window, self.store.url, log=str(self.log.folder), history=self.history, engine=ENGINE)
        decision = steps.decide(self.history, self.thresholds, run=f"week-{number}")
        asked = comparison.report.drift  # People label after an alert that a window has drifted.
        if asked:
            self._answer(number, requests)
        candidate, promoted, outcome, poisoned = "", False, "", 0
        if decision.action == "RETRAIN":
            poisoned = int((self.store.rows()[LABELLED_BY] == POISONER).sum())
            candidate = self.train(f"week-{number}")
            promoted, outcome = aliases.promotion_outcome(candidate)
            steps.record_outcome(self.history, version=candidate, promoted=promoted, reason=outcome)
        report = comparison.report
        return Week(
            mix=mix, status=report.status, drift=report.drift, sustained=report.is_sustained, action=decision.action,
            reasons=decision.reasons, stored_labels=decision.stored_labels,
            requested=len(requests) if asked else 0, champion=version,
            candidate=candidate, promoted=promoted, outcome=outcome, poisoned_rows=poisoned,
            macro_f1=self.measure(aliases.champion()),
        )  # fmt: skip

    def train(self, name: str) -> str:
        """Train, judge and register a candidate on the first reviews and all stored labels; return its version."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        self.training_rows().to_parquet(folder / "split.parquet", index=False)
        return self.trainer.candidate(folder / "split.parquet", folder / "model")

    def training_rows(self) -> pd.DataFrame:
        """Return the data set of a training: the first reviews and the stored labels."""
        labelled = self.store.rows()
        if labelled.empty:
            return self.population.first
        return without_held_out_texts(pd.concat([self.population.first, labelled], ignore_index=True))

    def measure(self, version: str) -> dict[str, float]:
        """Return macro-F1 of a version on the test rows of each domain."""
        if version not in self._measured:
            self._measured[version] = {
                domain: score(rows, self.trainer.probabilities(version, rows[TEXT].tolist()))
                for domain, rows in self.population.measured.items()
            }
        return self._measured[version]

    def _serve(self, number: int, mix: dict[str, float], version: str, start: datetime) -> None:
        rows = with_fault(week_of(self.population, mix, ROWS, self.random, self.labelled), self.scenario.fault(number))
        self.log.add_labels(self._due.pop(number, []), start)
        self.log.add_predictions(rows, self.trainer.probabilities(version, rows[TEXT].tolist()), version, start)
        self.truth = {f"feedback:{start:%Y%m%d}-{item}:0": label for item, label in enumerate(rows[LABEL])}

    def _reference(self, version: str) -> Window:
        if version not in self._references:
            path = str(self.trainer.reference(version))
            self._references[version] = from_file(path, self.thresholds.window.reference_rows)
        return self._references[version]

    def _check(self, number: int) -> Check | None:
        """Return the check of a week's windows: the real one takes half of a year's time.

        It is run for the first week and for every week with a fault. The other windows hold texts as they were read.
        """
        if number == 0 or self.scenario.fault(number):
            return None
        return lambda reference, current: None  # noqa: ARG005

    def _answer(self, number: int, requests: pd.DataFrame) -> None:
        """Note the labels that people will give for the requested rows, and when."""
        texts = dict(zip(requests[ROW_ID], requests[TEXT], strict=True))
        for row_id in texts:
            if self.random.random() >= self.scenario.answered:
                continue
            label, user = self.truth[row_id], f"user-{int(_chance(row_id) * USERS)}"
            if _chance(row_id) < self.scenario.poisoned:
                label, user = _WRONG[label], POISONER
            self.labelled.add(str(texts[row_id]))
            self._due[number + self.scenario.delay].append(GivenLabel(row_id.split(":")[1], label, user))


def score(rows: pd.DataFrame, probabilities: Any) -> float:
    """Return macro-F1 of n × 3 probabilities on labelled rows."""
    predicted = np.asarray(probabilities).argmax(axis=1).astype(np.int64)
    return round(macro_f1(class_indices(rows[LABEL].tolist()), predicted, LABELS), 4)


def _chance(value: str) -> float:
    return int(hashlib.sha256(value.encode()).hexdigest()[:8], 16) / 16**8
