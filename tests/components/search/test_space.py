"""What is tried: ranges, the order of the trials, and the same ranges in the manifest for Katib."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from components.search import space
from components.search.space import DEFAULTS, Trial
from components.search.trials import METRIC
from components.train import TrainingSettings
from pipelines.compiling import COMPILED

ROOT = Path(__file__).parents[3]


def trial(number: int, *scores: float, **params: float) -> Trial:
    return Trial(number, params or dict(DEFAULTS), scores, run_id=f"run-{number}")


def test_the_first_trial_has_the_defaults_of_the_training_pipeline() -> None:
    assert space.suggest([], 3, seed=0)[0].params == DEFAULTS
    settings = TrainingSettings()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


def test_every_searched_parameter_is_one_of_the_training_pipeline() -> None:
    document = next(yaml.safe_load_all((COMPILED / "training.yaml").read_text(encoding="utf-8")))
    assert space.space().keys() == DEFAULTS.keys() <= document["root"]["inputDefinitions"]["parameters"].keys()


def test_suggestions_lie_in_the_space_differ_and_are_repeatable() -> None:
    first = space.suggest([], 6, seed=1)
    assert first == space.suggest([], 6, seed=1) != space.suggest([], 6, seed=2)
    assert [one.number for one in first] == list(range(6))
    assert len({tuple(one.params.values()) for one in first}) == 6
    finished = [Trial(one.number, one.params, (0.1 * one.number,), "") for one in first]
    second = space.suggest(finished, 3, seed=1)
    assert [one.number for one in second] == [6, 7, 8]
    assert second == space.suggest(finished[::-1], 3, seed=1)
    for one in (*first, *second):
        for name, distribution in space.space().items():
            assert distribution._contains(distribution.to_internal_repr(one.params[name])), one


def test_later_trials_follow_from_the_results() -> None:
    """Where high learning rates score best, the second round tries higher ones than where low ones do."""
    rates = [1e-5, 3e-5, 1e-4, 3e-4, 4e-4, 5e-4]

    def mean_rate(score: Any) -> float:
        finished = [trial(n, score(rate), learning_rate=rate, epochs=4) for n, rate in enumerate(rates)]
        return sum(one.params["learning_rate"] for one in space.suggest(finished, 8, seed=0)) / 8

    assert mean_rate(lambda rate: rate) > 2 * mean_rate(lambda rate: -rate)


@pytest.mark.parametrize(("total", "parts"), [(4, 2), (5, 2), (12, 2), (7, 3), (1, 2)])
def test_the_rounds_share_the_trials(total: int, parts: int) -> None:
    shares = [space.share(total, part, parts) for part in range(1, parts + 1)]
    assert (sum(shares), max(shares) - min(shares) <= 1) == (total, True)


def test_the_best_trial_has_the_best_mean_not_the_best_seed() -> None:
    lucky, steady = trial(0, 0.9, 0.5, 0.5), trial(1, 0.7, 0.7, 0.7)
    assert space.best_of([lucky, steady]) is steady
    assert space.best_of([trial(3, 0.7), trial(2, 0.7)]).number == 2


def test_a_trial_survives_the_way_from_task_to_task() -> None:
    made = trial(2, 0.5, 0.7, learning_rate=3e-5, epochs=3)
    assert Trial.of_json(made.to_json()) == made
    assert made.mean == pytest.approx(0.6)
    assert trial(0, 0.5).deviation == 0.0


def in_katib(distribution: BaseDistribution) -> dict[str, str]:
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    scale = "logUniform" if distribution.log else "uniform"
    return {"min": str(distribution.low), "max": str(distribution.high), "distribution": scale}


def test_katib_searches_the_same_space_by_the_same_score() -> None:
    path = ROOT / "manifests" / "examples" / "katib-experiment.yaml"
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    types = {"double": FloatDistribution, "int": IntDistribution}
    found = {one["name"]: (types[one["parameterType"]], one["feasibleSpace"]) for one in spec["parameters"]}
    assert found == {name: (type(one), in_katib(one)) for name, one in space.space().items()}
    assert spec["objective"] == {"type": "maximize", "objectiveMetricName": METRIC}
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{trialParameters\.(\w+)\}", text)) == found.keys()
    assert {one["name"]: one["reference"] for one in spec["trialTemplate"]["trialParameters"]} == {
        name: name for name in found
    }
