"""The command line, from files and from a log to a verdict and a decision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from feature_checks.bundle import Bundle
from feature_checks.contract import LABELS
from feature_checks.prediction_record import FEEDBACK
from monitoring import drift_thresholds as thresholds
from monitoring.__main__ import app
from monitoring.calibration.partitions import read_reviews

Pair = tuple[pd.DataFrame, pd.DataFrame]


def run(*arguments: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if code == 0 else result.stderr


@pytest.fixture
def files(tmp_path: Path, amazon: Pair, tweets: pd.DataFrame) -> dict[str, Path]:
    """Files with nothing but texts, one of each kind."""
    paths = {name: tmp_path / name for name in ("reference.jsonl", "current.parquet", "tweets.jsonl", "empty.jsonl")}
    amazon[0][["text"]].to_json(paths["reference.jsonl"], orient="records", lines=True)
    amazon[1][["text"]].to_parquet(paths["current.parquet"])
    tweets[["text"]].to_json(paths["tweets.jsonl"], orient="records", lines=True)
    paths["empty.jsonl"].touch()
    return paths


def test_two_files_give_a_verdict_and_leave_the_reports(files: dict[str, Path], tmp_path: Path) -> None:
    for name, drift in (("current.parquet", False), ("tweets.jsonl", True)):
        out = tmp_path / name.partition(".")[0]
        verdict = run("report", "--reference", files["reference.jsonl"], "--current", files[name], "--output", out)
        assert verdict["drift"] is drift
        assert verdict["reasons"]
        assert (out / "report.html").stat().st_size > 1_000_000
        assert json.loads((out / "report.json").read_text(encoding="utf-8"))["drift"] is drift


def test_an_empty_file_is_a_verdict_too(files: dict[str, Path], tmp_path: Path) -> None:
    verdict = run(
        "report", "--reference", files["reference.jsonl"], "--current", files["empty.jsonl"], "--output", tmp_path
    )
    assert (verdict["drift"], verdict["status"]) == (False, "too_few_rows")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--current", "none.jsonl"], "none.jsonl: not readable"),
        ([], "expected exactly one of them"),
        (["--current", "a.jsonl", "--log", "log"], "expected exactly one of them"),
        (["--log", "log"], "expected exactly one of them"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    files: dict[str, Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    error = run("report", "--reference", files["reference.jsonl"], "--output", tmp_path, *arguments, code=2)
    assert message in error
    assert len(error.splitlines()) == 1


def test_drift_in_the_log_twice_is_retraining(
    tmp_path: Path,
    tiny_bundle: Bundle,
    reviews: pd.DataFrame,
    tweets: pd.DataFrame,
    log_row: Callable[..., dict[str, Any]],
    write_log: Callable[..., str],
) -> None:
    reviews.to_parquet(tmp_path / "reviews.parquet")
    reference = tmp_path / "reference.parquet"
    command: list[str | Path] = [
        "reference",
        "--bundle",
        tiny_bundle.folder,
        "--data",
        tmp_path / "reviews.parquet",
        "--output",
        reference,
    ]
    assert run(*command)["rows"] == (reviews["split"] == "validation").sum()
    cut = read_reviews(str(reference), str(reference))
    assert len(cut) == 2 * (reviews["split"] == "validation").sum()
    assert {"label", "confidence", "group_id"} <= set(cut.columns)
    for day, texts in (("2026-11-21", tweets["text"][:250]), ("2026-11-22", tweets["text"][250:])):
        rows = [
            log_row(f"{day}-{index}", text=text, label=LABELS[index % 3], timestamp=f"{day}T10:00:00.000+00:00")
            for index, text in enumerate(texts)
        ]
        log = write_log(rows, date=day)
        time = f"{day}T11:00:00.000+00:00"
        labels = [
            {"request_id": f"{day}-{index}", "item": 0, "timestamp": time, "label": "neutral"} for index in range(210)
        ]
        write_log(labels, date=day, kind=FEEDBACK)
    history, mlflow = tmp_path / "history", f"sqlite:///{tmp_path / 'mlflow.db'}"
    kept: list[str | Path] = [
        "--history",
        history,
        "--mlflow",
        mlflow,
        "--workspace",
        tmp_path / "ws",
        "--labelled",
        tmp_path / "new.parquet",
        "--label-requests",
        tmp_path / "requests.jsonl",
    ]
    decisions = []
    for end in ("2026-11-21T12:00:00+00:00", "2026-11-22T12:00:00"):
        window = ["--log", log, "--hours", "24", "--end", end]
        verdict = run("report", "--reference", reference, *window, "--output", tmp_path / "out", *kept)
        assert verdict["drift"], verdict
        assert verdict["current_total"] == 250
        decisions.append(run("decide", "--history", history))
    assert [decision["action"] for decision in decisions] == ["WATCH", "RETRAIN"]
    assert run("decide", "--history", history)["action"] == "WATCH"
    assert len(list(tmp_path.glob("mlartifacts/*/artifacts/report/report.html"))) == 2
    assert len(pd.read_parquet(tmp_path / "new.parquet")) == 420
    assert len((tmp_path / "requests.jsonl").read_text(encoding="utf-8").splitlines()) == 40  # those without a label
    outcome = run("outcome", "--history", history, "--version", "2", "--promoted", "--reason", "the gate accepted it")
    assert (outcome["version"], outcome["promoted"]) == ("2", True)
    site = run("site", "--history", history, "--output", tmp_path / "site")["site"]
    assert len(list(Path(site).parent.glob("reports/*.html"))) == 2
    assert (tmp_path / "ws").is_dir()


def test_calibration_and_claim_are_commands(tmp_path: Path, reviews: pd.DataFrame, tweets: pd.DataFrame) -> None:
    chosen, output = tmp_path / "thresholds.toml", tmp_path / "measured.json"
    shutil.copyfile(thresholds.DEFAULT, chosen)
    data, other = tmp_path / "reviews.parquet", tmp_path / "tweets.parquet"
    reviews[["text", "label", "group_id"]].assign(confidence=0.5).to_parquet(data)
    tweets.assign(group_id="t", confidence=0.9).to_parquet(other)
    common: list[str | Path] = ["--data", data, "--family", "prediction", "--thresholds", chosen, "--output", output]
    common += ["--sizes", "1500", "500"]
    measured = run("calibrate", *common)
    assert measured["partitions"] == 200
    assert thresholds.load(chosen).detectors["label"].margin == pytest.approx(measured["margins"]["label"], abs=1e-4)
    result = CliRunner().invoke(app, [str(one) for one in ("claim", *common, "--other", f"tweets={other}")])
    assert "| 100% tweets | 40 of 40 | 100.0% | 91.2% to 100.0% |" in result.stdout
    assert len(json.loads(output.read_text(encoding="utf-8"))) == 4


@pytest.mark.parametrize(
    ("columns", "said"), [(["text"], "expected 'group_id'"), (["text", "group_id"], "expected more rows")]
)
def test_unusable_calibration_data_is_refused(
    columns: list[str], said: str, tmp_path: Path, reviews: pd.DataFrame
) -> None:
    data, chosen = tmp_path / "reviews.parquet", tmp_path / "thresholds.toml"
    shutil.copyfile(thresholds.DEFAULT, chosen)
    reviews[columns].head(100).to_parquet(data)
    for command in (["calibrate"], ["claim", "--other", f"tweets={data}"]):
        result = CliRunner().invoke(app, [*command, "--data", str(data), "--thresholds", str(chosen)])
        assert (result.exit_code, said in result.stderr) == (2, True)
    assert chosen.read_bytes() == thresholds.DEFAULT.read_bytes()
