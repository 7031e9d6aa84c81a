"""The choice among finished trials, and what MLflow shows of it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from components.registry.client import connect
from components.registry.lineage import Lineage
from components.search import choice, trials
from components.search.choice import choose, report
from components.search.space import DEFAULTS, Trial, study_of

DEFAULT = Trial(0, dict(DEFAULTS), (0.70, 0.72), "run-0")
BETTER = Trial(1, {"learning_rate": 3e-4, "epochs": 5}, (0.80, 0.81), "run-1")
SLIGHTLY = Trial(2, {"learning_rate": 2e-4, "epochs": 3}, (0.71, 0.72), "run-2")


def test_the_choice_the_trials_and_the_plots_are_in_mlflow(state: Path) -> None:
    data = state / "data.parquet"
    pd.DataFrame({"text": ["a"], "label": ["neutral"], "split": ["train"]}).to_parquet(data)
    run_id = trials.open_search(data, Lineage(source="reviews.csv"), {"trials": 3})
    assert choose([SLIGHTLY, DEFAULT, BETTER], run_id, state / "chosen") == BETTER
    client = connect()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"search.trials": "3", "best.learning_rate": "0.0003", "best.epochs": "5"}
    assert (run.data.metrics["validation_macro_f1"], run.data.tags["data_source"]) == (BETTER.mean, "reviews.csv")
    shown = {path.path for path in client.list_artifacts(run_id, choice.ARTIFACT)}
    assert shown == {
        f"search/{name}"
        for name in ("choice.json", "search.md", "options.txt", *(f"{plot}.png" for plot in choice.PLOTS))
    }
    for plot in choice.PLOTS:
        assert (state / "chosen" / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((state / "chosen" / choice.CHOICE).read_text(encoding="utf-8"))
    assert (content["params"], [one["number"] for one in content["trials"]]) == (BETTER.params, [0, 1, 2])


def test_equal_scores_have_no_importances(tmp_path: Path) -> None:
    choice.draw(study_of([DEFAULT, Trial(1, BETTER.params, DEFAULT.scores, "")], seed=0), tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["history", "slices"]


def test_the_report_says_how_to_train_and_how_much_better_it_is() -> None:
    text = report([DEFAULT, BETTER])
    assert text.startswith("# Trial 1 is the best of 2\n")
    assert "`review-sentiment train --param learning_rate=0.0003 --param epochs=5`" in text
    assert (
        "0.0950 above that of the default settings. The seeds of one setting differ less (standard deviation 0.0141)"
        in text
    )
    assert text.index("| 1 | 0.0003 | 5 | 0.8050 |") < text.index("| 0 | 0.0001 | 4 | 0.7100 |")


def test_a_gain_within_the_noise_of_the_seeds_is_no_reason_to_change() -> None:
    assert "keep the defaults" in report([DEFAULT, SLIGHTLY])
    assert "keep the defaults" not in report([DEFAULT, BETTER])
    assert "It has the default settings." in report([DEFAULT])
    assert "The default settings were not tried." in report([BETTER])
