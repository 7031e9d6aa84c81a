"""Each data set of a user trains to a gated and registered model with one command."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.registry import artifacts
from components.registry.client import connect
from components.registry.explanation import explain
from feature_checks import bundle as bundles
from feature_checks.classifier import OnnxClassifier
from feature_checks.contract import MODEL_NAME
from tests.support import own_data

SETS = {
    "two-class CSV": (own_data.two_class_csv, ["neutral=none"]),
    "five-star JSONL": (own_data.five_star_jsonl, ["text_column=Customer Comment", "rating_column=Grade"]),
    "folder of Parquet with duplicates": (own_data.parquet_folder_with_duplicates, []),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.timeout(600)
def test_one_command_trains_a_users_data_set_to_a_gated_champion(
    name: str, state: Path, tiny_base_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write, params = SETS[name]
    source = write(tmp_path)
    quick = [f"base_model={tiny_base_model}", "epochs=3", "learning_rate=2e-3"]
    options = [word for param in (*params, *quick) for word in ("--param", param)]
    command = [sys.executable, "-m", "pipelines.cli", "train", source, *options]
    result = subprocess.run(
        command, env={**os.environ, "STATE_DIR": str(state)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    champion = connect().get_model_version_by_alias(MODEL_NAME, "champion")
    assert (str(champion.version), champion.tags["gate"]) == ("1", "accepted")
    # `explain` prints the command that trains the same again, as a shell reads it, and nothing else.
    capfd.readouterr()
    (line,) = (line for line in explain("1").splitlines() if "review-sentiment train" in line)
    words = shlex.split(line)
    assert words[:3] == ["review-sentiment", "train", source]
    assert {*params, *quick[:1], "promotion=manual"} <= set(words)
    assert capfd.readouterr() == ("", "")
    if "neutral=none" in params:
        bundle = bundles.load(artifacts.download_bundle("1", tmp_path / "bundle"))
        probabilities = OnnxClassifier(bundle).probabilities(["It comes in a brown box.", "It was made in March."])
        assert np.all(probabilities[:, 1] == 0)
        assert champion.tags["labels"] == "negative,positive"
        assert champion.description.count("never predicts neutral") == 2
