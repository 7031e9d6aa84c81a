"""A short simulated year through the real windows, detectors, label store, policy, gate and registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.registry import aliases
from feature_checks import thresholds
from monitoring.history import History
from monitoring.windows.label_store import LabelStore
from pipelines.simulation import population
from pipelines.simulation.encoders import Encoder
from pipelines.simulation.linear import LinearLearner
from pipelines.simulation.scenarios import SCENARIOS, Mix
from pipelines.simulation.trainers import FastTrainer
from pipelines.simulation.year import POISONER, Simulation, Year

SHIFT = 2
WEEKS = 10
LENIENT: dict[str, Any] = {
    "min_gain_over_baseline": -1.0, "max_calibration_error": 1.0, "min_new_domain_gain": -1.0,
    "min_macro_f1_change": -1.0, "min_change_bound": -1.0, "max_class_f1_loss": 1.0, "max_slice_loss": 1.0,
}  # fmt: skip
"""Hashed words know less than the baseline, and a few weeks give few labels. The gate has tests of its own."""


@pytest.fixture(scope="module")
def reviews(data_cache: Path) -> pd.DataFrame:
    """Product reviews and tweets."""
    return population.load(data_cache, ("amazon", "tweets"))


@pytest.fixture(scope="module")
def encoder(reviews: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The encoder that needs no model."""
    encoder = Encoder("words", tmp_path_factory.mktemp("vectors"))
    encoder.prepare(reviews["text"].tolist())
    return encoder


def mix(week: int) -> Mix:
    return {"tweets": 1.0} if week >= SHIFT else {"amazon": 1.0}


def simulate(reviews: pd.DataFrame, encoder: Encoder, folder: Path, name: str = "sudden", weeks: int = WEEKS) -> Year:
    limits = replace(thresholds.load().gate, **LENIENT)
    trainer = FastTrainer(LinearLearner(encoder), limits)
    scenario = replace(SCENARIOS[name], mix=mix)
    return Simulation(scenario, population.divide(reviews, 0), trainer, folder / "year", seed=0).run(weeks)


def test_a_shift_is_seen_labelled_and_trained_for_once(reviews: pd.DataFrame, encoder: Encoder, state: Path) -> None:
    year = simulate(reviews, encoder, state)
    trained = SHIFT + 3  # A week of labels is about 190, and 400 are needed.
    assert [week.drift for week in year.weeks] == [False] * SHIFT + [True] * 4 + [False] * (WEEKS - trained - 1)
    assert [week.action for week in year.weeks[: trained + 1]] == ["OK"] * SHIFT + ["WATCH"] * 3 + ["RETRAIN"]
    assert [bool(week.requested) for week in year.weeks[: trained + 1]] == [False] * SHIFT + [True] * 4
    assert [number for number, week in enumerate(year.weeks) if week.candidate] == [trained]
    retrained = year.weeks[trained]
    assert (retrained.candidate, retrained.promoted, aliases.champion()) == ("2", True, "2")
    assert retrained.stored_labels > 400
    assert [decision.action for decision in History(str(state / "year" / "history")).decisions()] == [
        week.action for week in year.weeks
    ]
    assert Year.from_dict(year.to_dict()) == year


def test_without_labels_nothing_is_trained_and_labels_are_asked_for(
    reviews: pd.DataFrame, encoder: Encoder, state: Path
) -> None:
    year = simulate(reviews, encoder, state, "none", weeks=SHIFT + 3)
    assert not any(week.candidate for week in year.weeks)
    assert year.weeks[-1].requested > 100
    assert "please label the rows" in year.weeks[-1].reasons[-1]


def test_one_users_wrong_labels_are_set_apart_and_not_trained_on(
    reviews: pd.DataFrame, encoder: Encoder, state: Path
) -> None:
    year = simulate(reviews, encoder, state, "poisoned", weeks=SHIFT + 5)
    assert [week.poisoned_rows for week in year.weeks if week.candidate] == [0]
    quarantined = LabelStore(str(state / "year" / "labelled.parquet")).quarantined()
    assert (quarantined["labelled_by"] == POISONER).sum() > 60


def test_an_error_page_instead_of_texts_is_not_judged(reviews: pd.DataFrame, encoder: Encoder, state: Path) -> None:
    limits = replace(thresholds.load().gate, **LENIENT)
    scenario = replace(SCENARIOS["upstream"], fault=lambda week: "error_page" if week == 1 else "")
    people = population.divide(reviews, 1)
    year = Simulation(scenario, people, FastTrainer(LinearLearner(encoder), limits), state / "year", seed=1).run(2)
    assert [week.status for week in year.weeks] == ["judged", "invalid"]
    assert year.weeks[1].action == "WATCH"


def test_what_is_sent_was_never_trained_on_nor_is_it_measured(reviews: pd.DataFrame) -> None:
    for seed in (0, 1):
        people = population.divide(reviews, seed)
        trained = set(people.first.loc[people.first["split"] == "train", "group_id"])
        for domain, rows in people.traffic.items():
            assert not trained & set(rows["group_id"])
            assert not set(people.measured[domain]["group_id"]) & set(rows["group_id"])
    first = [set(population.divide(reviews, seed).first["row_id"]) for seed in (0, 1)]
    assert first[0] != first[1]
