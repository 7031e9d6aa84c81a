"""The search pipeline with four short trials of a tiny model, run by the command on kfp.local."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.registry.client import connect
from components.registry.lineage import data_digest
from components.search import space
from components.search.choice import ARTIFACT, PLOTS
from components.search.space import DEFAULTS
from feature_checks.contract import MODEL_NAME
from pipelines.compiling import COMPILED
from tests.pipelines.conftest import own_state
from tests.support.launcher_rules import problems

TRIALS, SEEDS = 4, 2


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory, split_reviews: pd.DataFrame, tiny_base_model: Path
) -> Iterator[tuple[Path, str]]:
    """Return the state folder and the output of a search. Its test rows have a text of their own."""
    state = tmp_path_factory.mktemp("search")
    marked = split_reviews["text"].where(split_reviews["split"] != "test", "HELD OUT " + split_reviews["text"])
    split_reviews.assign(text=marked).to_csv(state / "reviews.csv", index=False)
    given = {"base_model": tiny_base_model, "trials": TRIALS, "seeds": SEEDS, "max_rows": 32}
    options = [word for name, value in given.items() for word in ("--param", f"{name}={value}")]
    with own_state(state):
        command = [sys.executable, "-m", "pipelines.cli", "search", str(state / "reviews.csv"), *options]
        done = subprocess.run(
            command, env={**os.environ, "STATE_DIR": str(state)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        yield state, done.stdout


def folder(state: Path) -> Path:
    (run,) = (state / "pipelines").glob("search-*/review-sentiment-search-*")
    return run


def choice(state: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder(state) / "choose" / "choice" / "choice.json").read_text())
    return content


@pytest.mark.timeout(1800)
def test_the_best_of_all_trials_is_chosen(searched: tuple[Path, str]) -> None:
    state, output = searched
    trials = choice(state)["trials"]
    assert [trial["number"] for trial in trials] == list(range(TRIALS))
    assert trials[0]["params"] == DEFAULTS
    assert all(len(trial["scores"]) == SEEDS for trial in trials)
    means = [sum(trial["scores"]) / SEEDS for trial in trials]
    assert choice(state)["validation_macro_f1"] == pytest.approx(max(means))
    assert choice(state)["trial"] == means.index(max(means))
    first = [space.Trial(**{**trial, "scores": tuple(trial["scores"])}) for trial in trials[: TRIALS // 2]]
    later = [suggestion.params for suggestion in space.suggest(first, TRIALS - TRIALS // 2, seed=0)]
    assert [trial["params"] for trial in trials[TRIALS // 2 :]] == later
    params = " ".join(f"--param {name}={value:.6g}" for name, value in choice(state)["params"].items())
    assert output.splitlines()[-1].replace("\n", "").endswith(params)
    assert output.count("trial") >= TRIALS


def test_mlflow_has_a_run_for_the_search_each_trial_and_each_training(searched: tuple[Path, str]) -> None:
    state, _ = searched
    client = connect()
    experiment = client.get_experiment_by_name(MODEL_NAME)
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    parents = {run_id: run.data.tags.get("mlflow.parentRunId") for run_id, run in runs.items()}
    (search,) = (run_id for run_id, parent in parents.items() if parent is None)
    trials = [run_id for run_id, parent in parents.items() if parent == search]
    assert sorted(runs[run_id].data.metrics["validation_macro_f1"] for run_id in trials) == pytest.approx(
        sorted(sum(trial["scores"]) / SEEDS for trial in choice(state)["trials"])
    )
    assert sorted(parents.values(), key=str).count(search) == TRIALS
    for trial in trials:
        trainings = [runs[run_id] for run_id, parent in parents.items() if parent == trial]
        assert {run.data.params["train.seed"] for run in trainings} == {str(seed) for seed in range(SEEDS)}
        assert {run.data.params["train.epochs"] for run in trainings} == {runs[trial].data.params["train.epochs"]}
    assert all(run.info.status == "FINISHED" for run in runs.values())
    # The search adds the data set that its trials name, because two of them at once could not both add it.
    digests = {each.dataset.digest for run in runs.values() for each in run.inputs.dataset_inputs}
    assert digests == {each.dataset.digest for each in runs[search].inputs.dataset_inputs}
    assert len(digests) == 1
    shown = {Path(path.path).name for path in client.list_artifacts(search, ARTIFACT)}
    assert {f"{plot}.png" for plot in PLOTS} <= shown | {"importances.png"}
    assert client.search_registered_models() == []


def test_no_task_of_the_search_sees_the_test_split(searched: tuple[Path, str]) -> None:
    state, _ = searched
    held_out = pd.read_csv(state / "reviews.csv").query("split == 'test'")["text"].tolist()
    # Only the tasks before the search hold those rows, and the step that leaves them out reads the last of these.
    before = ("ingest/data", "split/split_data", "check/report")
    assert problems(folder(state), COMPILED / "search.yaml", held_out, before) == []
    data = pd.read_parquet(folder(state) / "open-search" / "search_data")
    assert set(data["split"]) == {"train", "validation"}
    assert not data["text"].str.startswith("HELD OUT").any()
    client = connect()
    experiment = client.get_experiment_by_name(MODEL_NAME)
    digests = {run.data.tags.get("data_digest") for run in client.search_runs([experiment.experiment_id])}
    assert digests == {data_digest(data), None}  # trials have no data of their own, but trainings below them
