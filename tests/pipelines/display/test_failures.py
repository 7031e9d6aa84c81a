"""A failure in any training step ends the command with the step, the reason and the log, in a few lines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pipelines.compiling import COMPILED
from tests.pipelines.conftest import Trained
from tests.support.waiting import until

STEPS = (
    "ingest", "check", "require-data", "split", "train", "evaluate", "export", "verify", "gate", "reference-window",
    "register", "promote",
)  # fmt: skip
_BODY = re.compile(r'(?P<head>def \w+\(.*?\)(?: -> \w+)?:[^\n]*\n    """[^\n]*"""\n)(?P<body>.*)\Z', re.DOTALL)
_RECORDED = """\
    import json
    from pathlib import Path
    given, recorded = dict(locals()), Path({folder!r})
    for name, artifact in given.items():
        source = recorded / name
        if hasattr(artifact, "path") and source.exists():
            Path(artifact.path).symlink_to(source)
    values = json.loads((recorded / "executor_output.json").read_text()).get("parameterValues", {{}})
    return values.get("Output")
"""
_FAULT = '    raise ValueError("planted: the disk of {name} is full")\n'


def write_pipeline(folder: Path, bodies: Mapping[str, str]) -> Path:
    """Write the committed training pipeline with other bodies for some steps; return the folder."""
    documents = list(yaml.safe_load_all((COMPILED / "training.yaml").read_text(encoding="utf-8")))
    executors: dict[str, Any] = documents[0]["deploymentSpec"]["executors"]
    for name, body in bodies.items():
        command = executors[f"exec-{name}"]["container"]["command"]
        source, count = _BODY.subn(lambda found, body=body: found["head"] + body, command[-1])  # type: ignore[misc]
        assert count == 1
        command[-1] = source
    folder.mkdir()
    (folder / "training.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")
    return folder


def train(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `review-sentiment train` as a child process without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "train", *arguments],
        env={**os.environ, "STATE_DIR": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.timeout(600)  # the first test to ask for a trained model waits for the training
@pytest.mark.parametrize("step", STEPS)
def test_a_failing_step_is_named_with_its_reason_and_log(step: str, trained: Trained, tmp_path: Path) -> None:
    # The steps before the fault give what they gave in a real run.
    recorded = {name: _RECORDED.format(folder=str(trained.run.folder / name)) for name in STEPS}
    compiled = write_pipeline(tmp_path / "compiled", recorded | {step: _FAULT.format(name=step)})
    finished = train(tmp_path / "state", "--compiled", str(compiled))
    lines = finished.stdout.splitlines()
    assert finished.returncode == 1, finished.stdout
    assert len(lines) <= 60
    assert re.search(rf"^  {step} +failed +\d", finished.stdout, flags=re.MULTILINE)
    assert lines[-3] == f"the step '{step}' failed:"
    assert lines[-2] == f"ValueError: planted: the disk of {step} is full"
    log = Path(lines[-1].removeprefix("log: "))
    assert re.fullmatch(rf"\d\d-{step}\.log", log.name)
    assert len(list(log.parent.glob(f"*-{step}.log"))) == 1  # tried once
    assert "Traceback" in log.read_text()


def test_data_without_neutral_rows_is_refused_in_a_few_lines(tmp_path: Path) -> None:
    source = tmp_path / "reviews.csv"
    rows = [f"The kettle number {n} works.,{('positive', 'negative')[n % 2]}" for n in range(300)]
    source.write_text("\n".join(["text,label", *rows]))
    finished = train(tmp_path / "state", str(source))
    assert finished.returncode == 1
    assert len(finished.stdout.splitlines()) <= 20
    assert "neutral" in finished.stdout.split("the step 'require-data' failed:")[1]


def test_a_wrong_parameter_is_named_without_a_stack_trace(tmp_path: Path) -> None:
    finished = train(tmp_path / "state", "--param", "epoch=3")
    assert finished.returncode == 1
    assert "the pipeline has no parameter 'epoch'" in finished.stdout
    assert "Traceback" not in finished.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_every_child_and_gives_the_shells_exit_code(number: int, tmp_path: Path) -> None:
    state = tmp_path / "state"
    sleep = "    import time\n    time.sleep(600)\n"
    compiled = write_pipeline(tmp_path / "compiled", {"ingest": sleep})
    command = [sys.executable, "-m", "pipelines.cli", "train", "--compiled", str(compiled)]
    environment = {**os.environ, "STATE_DIR": str(state)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        until(lambda: list(state.glob("logs/*/01-ingest.log")) and len(working_processes(state)) >= 4, seconds=60)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "stopped" in output
    assert output.splitlines()[-1] == "interrupted; the running step was ended, and nothing runs on"
    assert working_processes(state) == []


def working_processes(state: Path) -> list[str]:
    """Return the commands of the processes whose STATE_DIR is the test's own."""
    working = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STATE_DIR") == str(state) and process.status() != psutil.STATUS_ZOMBIE:
                working.append(" ".join(process.cmdline())[:200])
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return working
