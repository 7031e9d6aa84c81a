"""kfp.local's output, as it is printed, becomes events and one log file a step."""

from __future__ import annotations

from pathlib import Path

from pipelines.display.reasons import reason_of
from pipelines.display.step_logs import OutputLine, StepEnded, StepProgress, StepStarted, split_output

CYAN, GREEN, RESET = "\x1b[96m", "\x1b[92m", "\x1b[0m"
OUTPUT = [
    "warming up\n",
    f"10:00:00.123 - INFO - Executing task {CYAN}'ingest'{RESET}\n",
    "10:00:00.124 - INFO - Streamed logs:\n",
    "    10:00:01.000 - INFO - Executing task 'planted'\n",
    "    progress: 0.25 loss 1.250\n",
    "       \x1b[Aprogress: 1.000 loss 0.031\n",
    f"10:00:02.000 - INFO - Task {CYAN}'ingest'{RESET} finished with status {GREEN}SUCCESS{RESET}\n",
    f"10:00:03.000 - INFO - Executing task {CYAN}'check'{RESET}\n",
    "    Traceback (most recent call last):\n",
    '      File "ingest.py", line 1, in <module>\n',
    "    ValueError: an earlier error that was handled\n",
    "    Traceback (most recent call last):\n",
    '      File "check.py", line 3, in check\n',
    "        raise DataCheckError(report)\n",
    "    components.errors.DataCheckError: the data check failed:\n",
    "      - label: every class must occur\n",
    "    \n",
    f"10:00:09.000 - ERROR - Task {CYAN}'check'{RESET} finished with status FAILURE\n",
    "------------------\n",
]


def test_events_follow_the_steps_and_not_what_a_step_prints(tmp_path: Path) -> None:
    events = [event for event in split_output(OUTPUT, tmp_path) if not isinstance(event, OutputLine)]
    assert events == [
        StepStarted("ingest", tmp_path / "01-ingest.log"),
        StepProgress(0.25, "loss 1.250"),
        StepProgress(1.0, "loss 0.031"),
        StepEnded("ingest", succeeded=True),
        StepStarted("check", tmp_path / "02-check.log"),
        StepEnded("check", succeeded=False),
    ]


def test_every_line_is_in_exactly_one_log_without_colours(tmp_path: Path) -> None:
    list(split_output(OUTPUT, tmp_path))
    logs = {path.name: path.read_text() for path in sorted(tmp_path.iterdir())}
    assert list(logs) == ["00-run.log", "01-ingest.log", "02-check.log"]
    assert logs["00-run.log"] == "warming up\n------------------\n"
    assert "planted" in logs["01-ingest.log"]
    assert sum(text.count("\n") for text in logs.values()) == len(OUTPUT)
    assert "\x1b" not in "".join(logs.values())


def test_the_reason_is_the_last_errors_message_without_its_type_and_traceback(tmp_path: Path) -> None:
    list(split_output(OUTPUT, tmp_path))
    assert reason_of(tmp_path / "02-check.log") == "the data check failed:\n  - label: every class must occur"


def test_a_built_in_error_keeps_its_name(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Traceback (most recent call last):\n  File \"x.py\", line 1, in x\nKeyError: 'text'\n")
    assert reason_of(log) == "KeyError: 'text'"


def test_a_killed_step_shows_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("    loading\n    training\n    epoch 1\n    epoch 2\n\n10:00:09.000 - ERROR - Task 'train' …\n")
    reason = reason_of(log)
    assert reason.startswith("The process ended without an error message.")
    assert reason.endswith("  training\n  epoch 1\n  epoch 2")


def test_a_usage_error_is_shown_without_the_usage(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Usage: run local [OPTIONS]\nTry it\n\nError: Invalid value: the pipeline has no parameter 'x'\n")
    assert reason_of(log) == "the pipeline has no parameter 'x'"


def test_a_long_reason_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    message = "\n".join(f"line {number}" for number in range(400))
    log.write_text(f'Traceback (most recent call last):\n  File "x.py", line 1, in x\na.b.Error: {message}\n')
    reason = reason_of(log).splitlines()
    assert (reason[0], len(reason)) == ("line 0", 13)
    assert "the log has the whole message" in reason[-1]


def test_trials_that_run_in_parallel_share_a_log_until_both_have_ended(tmp_path: Path) -> None:
    started, ended = (
        "10:00:00.0 - INFO - Executing task 'trial'\n",
        "10:00:09.0 - INFO - Task 'trial' finished with status",
    )
    lines = [started, started, "    one\n", f"{ended} SUCCESS\n", "    other\n", f"{ended} FAILURE\n", "----\n"]
    events = [event for event in split_output(lines, tmp_path) if not isinstance(event, OutputLine)]
    assert [event.name for event in events if isinstance(event, StepStarted | StepEnded)] == ["trial"] * 4
    logs = {path.name: path.read_text() for path in sorted(tmp_path.iterdir())}
    assert logs["00-run.log"] == "----\n"
    assert [line in logs["02-trial.log"] for line in ("    one\n", "    other\n")] == [True, True]
