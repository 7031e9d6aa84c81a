"""Examples that the documents mark as runnable are run, and every curl command is sent to a real predictor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle
from feature_checks.documents import max_error
from feature_checks.documents.max_error import MaxErrors
from tests.support.documents import Block, Command, blocks, commands
from tests.support.live_server import LiveServer, live

RUNNABLE = [block for block in blocks("bash") if block.runnable]
CURLS = [command for block in blocks("bash") for command in commands(block) if command.program == "curl"]
PREDICTOR = "localhost:8080"


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny model with a table of accepted errors, which training adds."""
    folder = tmp_path_factory.mktemp("with_table") / "bundle"
    shutil.copytree(tiny_bundle.folder, folder)
    max_error.save(MaxErrors((0.1,), (0.9,), 0.95, 41, 467), folder)
    return bundles.seal(folder, tiny_bundle.manifest)


@pytest.fixture(scope="module")
def variables(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a reader: the environment is active and a tiny model is there."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    state = tmp_path_factory.mktemp("state")
    return os.environ | {"PATH": path, "MODEL_URI": str(bundle.folder), "STATE_DIR": str(state)}


@pytest.fixture(scope="module")
def folder(small_reviews: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("reader")
    small_reviews.to_csv(folder / "reviews.csv", index=False)
    shuffled = small_reviews.sample(frac=1, random_state=0)
    for name, part in (("last_month", shuffled[:240]), ("today", shuffled[240:])):
        part[["text"]].to_json(folder / f"{name}.jsonl", orient="records", lines=True)
    return folder


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_example_runs(block: Block, folder: Path, variables: dict[str, str]) -> None:
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    run = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_there_are_examples() -> None:
    assert len(RUNNABLE) >= 5
    assert len(CURLS) >= 4


@pytest.fixture(scope="module")
def predictor(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A predictor that accepts feedback."""
    with live(tmp_path_factory.mktemp("predictor"), MODEL_URI=str(bundle.folder), FEEDBACK="on") as server:
        yield server


@pytest.mark.parametrize("command", CURLS, ids=str)
def test_curl_command_is_answered(command: Command, predictor: LiveServer) -> None:
    """Send what curl would send; curl itself need not be installed."""
    arguments = list(command.words[1:])
    url = next(word for word in arguments if word.startswith(PREDICTOR))
    arguments.remove(url)
    options = list(zip(arguments[::2], arguments[1::2], strict=True))
    (content,) = (value for option, value in options if option == "-d")
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    assert len(headers) == len(options) - 1
    reply = httpx.post(predictor.http + url.removeprefix(PREDICTOR), content=content, headers=headers, timeout=30)
    assert reply.status_code in {200, 202}, reply.text
    assert "error" not in reply.json()
