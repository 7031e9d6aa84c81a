"""The figures, pictures and the command of simulated years."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.simulation import results
from pipelines.simulation.criteria import criteria
from pipelines.simulation.encoders import Encoder
from pipelines.simulation.linear import fit
from pipelines.simulation.scenarios import SCENARIOS
from pipelines.simulation.year import Week, Year

CALM = Week(
    mix={"amazon": 1.0}, status="judged", drift=False, sustained=False, action="OK", reasons=("no drift",),
    stored_labels=0, requested=0, champion="1", candidate="", promoted=False, outcome="", poisoned_rows=0,
    macro_f1={"amazon": 0.7, "tweets": 0.6, "nyt": 0.5, "movies": 0.5},
)  # fmt: skip


def year(name: str, seed: int, changes: Mapping[int, Mapping[str, Any]], at_once: float = 0.7) -> Year:
    weeks = [replace(CALM, **changes.get(number, {})) for number in range(52)]
    return Year(name, seed, weeks, {"tweets": at_once})


def found(years: list[Year]) -> dict[str, bool]:
    return {one.what: one.holds for one in criteria({years[0].scenario: years})}


def test_a_quiet_year_with_retrainings_fails() -> None:
    retrained = {"candidate": "2", "action": "RETRAIN", "drift": True}
    assert found([year("quiet", seed, {}) for seed in range(3)])["retrainings in a year"]
    assert not found([year("quiet", 0, {5: retrained}), year("quiet", 1, {})])["retrainings in a year"]


def test_a_fall_of_the_anchor_fails_however_short() -> None:
    what = "years with the anchor never more than 0.02 below the best ever"
    fallen = {"macro_f1": CALM.macro_f1 | {"amazon": 0.67}}
    assert found([year("late", 0, {})])[what]
    assert not found([year("late", 0, {9: fallen})])[what]


def test_the_new_domain_must_follow_training_at_once_within_four_weeks() -> None:
    what = "gap of tweets to training on all labels at once, 4 weeks after the shift"
    learned: dict[int, dict[str, Any]] = {
        number: {"macro_f1": CALM.macro_f1 | {"tweets": 0.69}} for number in range(14, 52)
    }
    retrained = learned | {13: {"candidate": "2", "promoted": True}}
    assert found([year("sudden", 0, retrained)])[what]
    assert not found([year("sudden", 0, {})])[what]


def test_a_third_retraining_in_the_second_season_fails_and_a_second_one_does_not() -> None:
    what = "years without a third retraining when the season comes back"
    weeks = (14, 18, 40)
    retrained = {number: {"candidate": str(number), "drift": True} for number in weeks}
    assert not found([year("season", 0, retrained)])[what]
    assert found([year("season", 0, {number: retrained[number] for number in weeks[1:]})])[what]


def test_false_alarms_before_a_small_shift_count_as_so_many_a_year() -> None:
    alarms: dict[int, dict[str, Any]] = {number: {"drift": True} for number in (3, 14)}
    years = [year("tenth", seed, alarms if seed == 0 else {14: alarms[14]}) for seed in range(5)]
    (early,) = [one for one in criteria({"tenth": years}) if "before" in one.what]
    assert early.value == pytest.approx(52 / 12 / 5)
    assert early.holds
    assert not found(years[:4])[early.what]


def test_wrong_labels_do_harm_only_where_they_are_trained_on() -> None:
    worse = {"macro_f1": CALM.macro_f1 | {"tweets": 0.57}}
    trained = {"candidate": "2", "poisoned_rows": 9}
    clean = [year("sudden", seed, {}) for seed in range(4)]
    years = [
        year("poisoned", 0, {}),
        year("poisoned", 1, {14: trained}),
        year("poisoned", 2, {51: worse}),
        year("poisoned", 3, {14: trained, 51: worse}),
    ]
    (last,) = [one for one in criteria({"sudden": clean, "poisoned": years}) if "of the user" in one.what]
    assert last.value == 3 / 4
    assert not last.holds


def test_pictures_page_and_figures_are_written(tmp_path: Path) -> None:
    names = ("sudden", "quiet")
    judged = results.write(
        {name: [year(name, 0, {13: {"drift": True, "candidate": "2"}})] for name in names}, tmp_path, "fast"
    )
    content = json.loads((tmp_path / "simulation.json").read_text(encoding="utf-8"))
    assert content["scenarios"]["sudden"][0]["retrained_in_weeks"] == [14]
    assert len(content["criteria"]) == len(judged) > 0
    assert all((tmp_path / f"{name}.png").stat().st_size > 10_000 for name in names)
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("<tr>") == len(judged) + 1
    assert results.table(judged).count("\n") == len(judged) + 1


def test_an_unknown_scenario_is_refused_with_the_known_ones() -> None:
    outcome = CliRunner().invoke(app, ["simulate", "--scenario", "storm"])
    assert outcome.exit_code == 2
    assert "storm" in outcome.output


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_shares_of_every_week_add_up(name: str) -> None:
    for week in range(52):
        assert sum(SCENARIOS[name].mix(week).values()) == pytest.approx(1.0)


def test_vectors_are_computed_once_and_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    texts = ["a fine phone", "a poor phone"]
    Encoder("words", tmp_path).prepare(texts)
    again = Encoder("words", tmp_path)
    again.prepare(texts)
    assert again._encode is None
    assert np.array_equal(again.vectors(texts), Encoder("words", tmp_path / "other").vectors(texts))
    assert [path.suffixes for path in tmp_path.glob("*.npy")] == [[".npy"]]


def test_the_head_learns_soft_labels() -> None:
    inputs = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]] * 20)
    targets = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]] * 20)
    logits = inputs @ fit(inputs, targets)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(shares - targets).max() < 0.1
