"""A search that fails does not go on in MLflow as if it were running."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from components.registry.client import connect
from components.registry.lineage import Lineage
from components.search import trials
from components.search.choice import choose
from components.search.space import DEFAULTS, Suggestion
from components.search.trials import PARENT
from components.train import TrainingSettings
from feature_checks.contract import MODEL_NAME


@pytest.fixture
def data(state: Path) -> Path:
    path = state / "data.parquet"
    pd.DataFrame({"text": ["a"], "label": ["neutral"], "split": ["train"]}).to_parquet(path)
    return path


@pytest.fixture
def search_run(data: Path) -> str:
    run_id = trials.open_search(data, Lineage(), {"trials": 1})
    assert status(run_id) == "RUNNING"
    return run_id


def status(run_id: str) -> str:
    return str(connect().get_run(run_id).info.status)


def test_a_failed_trial_ends_its_run_and_that_of_the_search(state: Path, data: Path, search_run: str) -> None:
    suggestion = Suggestion(0, dict(DEFAULTS), search_run)
    with pytest.raises(ValueError, match="no-such-model"):
        trials.run_trial(suggestion, data, TrainingSettings(str(state / "no-such-model")), seeds=1)
    client = connect()
    experiment = client.get_experiment_by_name(MODEL_NAME)
    assert experiment is not None
    (trial,) = client.search_runs([experiment.experiment_id], f"tags.`{PARENT}` = '{search_run}'")
    assert (trial.info.status, status(search_run)) == ("FAILED", "FAILED")


def test_a_choice_that_fails_ends_the_run_of_the_search(state: Path, search_run: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        choose([], search_run, state / "chosen")
    assert status(search_run) == "FAILED"
