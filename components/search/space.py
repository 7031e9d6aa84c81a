"""What the search may choose, and which settings are tried next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

DEFAULTS: Final[Mapping[str, float]] = {"learning_rate": 1e-4, "epochs": 4}
"""The training pipeline's own settings: the first trial, so that every other is compared with them."""


def space() -> dict[str, BaseDistribution]:
    """Return the range of each parameter of the training pipeline that is searched.

    manifests/examples/katib-experiment.yaml has the same ranges for Katib.
    """
    from optuna.distributions import FloatDistribution, IntDistribution

    return {"learning_rate": FloatDistribution(1e-5, 5e-4, log=True), "epochs": IntDistribution(2, 6)}


@dataclass(frozen=True)
class Suggestion:
    """The settings of one trial."""

    number: int
    """Counts the trials of a search from 0."""
    params: dict[str, float]
    search_run: str = ""
    """The MLflow run of the search, if there is one."""


@dataclass(frozen=True)
class Trial:
    """A finished trial."""

    number: int
    params: dict[str, float]
    scores: tuple[float, ...]
    """Macro-F1 on the validation split, one for each seed."""
    run_id: str
    """The MLflow run."""

    @property
    def mean(self) -> float:
        """The mean of the scores: what the search maximises."""
        return fmean(self.scores)

    @property
    def deviation(self) -> float:
        """The standard deviation of the scores over the seeds; 0 for one seed."""
        return stdev(self.scores) if len(self.scores) > 1 else 0.0

    def to_json(self) -> str:
        """Return the trial as JSON, as one pipeline task hands it to another."""
        return json.dumps(vars(self))

    @classmethod
    def of_json(cls, text: str) -> Trial:
        """Read what `to_json` has written."""
        values: dict[str, Any] = json.loads(text)
        return cls(**values | {"scores": tuple(values["scores"])})


def suggest(finished: Sequence[Trial], count: int, seed: int, search_run: str = "") -> list[Suggestion]:
    """Return the settings of `count` trials that run at the same time.

    The first trials of a search are DEFAULTS and random settings. Later ones follow from those that are finished, by
    Optuna's tree-structured Parzen estimator (Bergstra et al., *Algorithms for hyper-parameter optimization*, 2011).
    Equal arguments give equal settings.

    Example: `suggest([], 4, seed=0)[0].params` is DEFAULTS.
    """
    study = study_of(finished, seed)
    if not finished:
        study.enqueue_trial(dict(DEFAULTS))
    asked = [study.ask(space()) for _ in range(count)]
    return [Suggestion(trial.number, dict(trial.params), search_run) for trial in asked]


def study_of(finished: Sequence[Trial], seed: int) -> Study:
    """Return an Optuna study in memory with the finished trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    later = optuna.samplers.TPESampler(n_startup_trials=0, seed=seed + len(finished))
    sampler = later if finished else optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in sorted(finished, key=lambda trial: trial.number):
        study.add_trial(optuna.create_trial(params=trial.params, distributions=space(), value=trial.mean))
    return study


def share(total: int, part: int, parts: int) -> int:
    """Return how many of `total` trials belong to round `part`, counted from 1, of `parts` rounds.

    Example: `[share(5, part, 2) for part in (1, 2)]` is `[2, 3]`.
    """
    return total * part // parts - total * (part - 1) // parts


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest mean on the validation split; of equal ones the first."""
    return max(trials, key=lambda trial: (trial.mean, -trial.number))
