"""One line a step, on a terminal and elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.display.figures import figure_of
from pipelines.display.screen import Screen, TerminalScreen, screen_for
from tests.pipelines.conftest import Trained


class PlantedError(Exception):
    """A failure of a step."""


def use(screen: Screen) -> None:
    with screen.step("score") as step:
        step.fraction = 0.5
        screen.update(step)
        step.figure = "500 requests"
    with pytest.raises(PlantedError), screen.step("gate"):
        raise PlantedError
    with pytest.raises(KeyboardInterrupt), screen.step("train"):
        raise KeyboardInterrupt
    screen.note("logs here")
    screen.output("noise")


def columns(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_without_a_terminal_each_step_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    use(Screen())
    score, gate, train, note = columns(capsys.readouterr().out)
    assert (score[:2], score[3:]) == (["score", "done"], ["s", "500", "requests"])
    assert (gate[:2], train[:2], note) == (["gate", "failed"], ["train", "stopped"], ["logs", "here"])


def test_the_running_step_is_named_before_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().begin("train")
    assert capsys.readouterr().out.split() == ["train"]


def test_verbose_shows_what_the_steps_print(capsys: pytest.CaptureFixture[str]) -> None:
    use(Screen(verbose=True))
    assert ["noise"] in columns(capsys.readouterr().out)


def test_a_terminal_keeps_one_line_a_step() -> None:
    file = io.StringIO()
    use(TerminalScreen(Console(file=file, force_terminal=True, width=60, highlight=False)))
    kept = [line for line in file.getvalue().split("\n") if "500 requests" in line and "done" in line]
    assert len(kept) == 1
    assert "\x1b[?25h" in file.getvalue()  # the cursor is shown again


def test_a_long_reason_stays_in_its_column() -> None:
    file = io.StringIO()
    screen = TerminalScreen(Console(file=file, force_terminal=False, width=60))
    with screen.step("gate") as step:
        step.figure = "rejected: " + "a reason of many words, " * 4
    lines = file.getvalue().splitlines()
    start = next(number for number, line in enumerate(lines) if "rejected" in line)
    first, second = lines[start : start + 2]
    assert first.index("rejected") == len(second) - len(second.lstrip())


def test_output_without_a_terminal_is_plain() -> None:
    assert type(screen_for(verbose=False)) is Screen


@pytest.mark.timeout(600)  # the first test to ask for a trained model waits for the training
def test_every_step_of_a_training_run_has_a_figure(trained: Trained) -> None:
    folder: Path = trained.run.folder
    figures = {step: figure_of(step, folder / step) for step in trained.run.tasks}
    without = {step for step, figure in figures.items() if not figure}
    assert without == {"train", "require-data"}  # the loss that the first prints; the second only passes or fails
    assert figures["ingest"] == "480 rows"
    assert figures["split"] == "train 240, validation 120, test 120"
    assert figures["gate"] == "accepted"
    assert figures["register"] == "version 1"


def test_steps_that_run_in_parallel_have_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipelines.display.runner import _RunningPipeline
    from pipelines.display.step_logs import StepEnded, StepStarted

    (tmp_path / "outputs" / "run").mkdir(parents=True)
    for screen in (Screen(), TerminalScreen(Console(force_terminal=True, width=100))):
        running = _RunningPipeline(tmp_path / "outputs", tmp_path, screen)
        for number in range(2):
            (tmp_path / f"{number}.log").write_text("ValueError: planted\n")
            running.show(StepStarted("trial", tmp_path / f"{number}.log"))
        running.show(StepEnded("trial", succeeded=True))
        running.show(StepEnded("trial", succeeded=False))
        assert capsys.readouterr().out.count("trial") >= 2
        assert running.failure().what == "the step 'trial'"
        assert "planted" in running.failure().reason
        assert running.step is None
