"""The command that simulates years of traffic."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipelines.simulation.year import Year


class LearnerName(StrEnum):
    """What trains the models of a simulated year."""

    fast = "fast"
    real = "real"


class EncoderChoice(StrEnum):
    """The frozen encoder of the fast learner."""

    minilm = "minilm"
    words = "words"


def simulate(
    scenario: list[str] = typer.Option([], help="Scenario, as often as needed; by default all.", show_default=False),
    seeds: int = typer.Option(20, min=1, help="Years of each scenario."),
    weeks: int = typer.Option(52, min=1, help="Weeks of a year."),
    output: Path | None = typer.Option(
        None, help="Folder for the results; by default STATE_DIR/simulation.", show_default=False
    ),
    learner: LearnerName = typer.Option(LearnerName.fast, help="fast: a linear head; real: the training pipeline's."),
    encoder: EncoderChoice = typer.Option(EncoderChoice.minilm, help="Encoder of the fast learner."),
    workers: int = typer.Option(0, min=0, help="Processes; by default one for each core.", show_default=False),
) -> None:
    """Run simulated years of traffic through the real monitoring, gate and registry, and draw them.

    Each week five hundred texts of four domains go through a prediction log, a drift report and a decision. People
    label what they are asked for, candidates are trained, gated and promoted. The results are simulation.json, a
    picture of each scenario and index.html. Finished years are kept: run the same command again to resume.

    Scenarios: quiet, sudden, slow, season, late, few, none, poisoned, upstream, tenth.

    \b
    Example:
      review-sentiment simulate
      review-sentiment simulate --scenario quiet --scenario sudden --seeds 5
      review-sentiment simulate --scenario sudden --seeds 1 --learner real
    """
    from feature_checks.state import state_dir
    from pipelines.simulation import results
    from pipelines.simulation.scenarios import SCENARIOS

    names = scenario or list(SCENARIOS)
    if unknown := sorted(set(names) - set(SCENARIOS)):
        raise typer.BadParameter(f"found the scenarios {unknown}; expected some of {list(SCENARIOS)}")
    folder = (output or state_dir() / "simulation").absolute()
    if learner == LearnerName.real:
        years = _real_years(names, seeds, weeks, folder)
    else:
        years = _fast_years(names, seeds, weeks, folder, encoder.value, workers or os.cpu_count() or 1)
    groups = defaultdict(list)
    for year in sorted(years, key=lambda year: (names.index(year.scenario), year.seed)):
        groups[year.scenario].append(year)
    for criterion in results.write(groups, folder, learner.value):
        found = f"{criterion.value:.3g} ({criterion.low:.3g} to {criterion.high:.3g})"
        mark = "holds" if criterion.holds else "FAILS"
        typer.echo(f"{mark}  {criterion.scenario}: {criterion.what}: {found}; needed: {criterion.needed}")
    typer.echo(f"results {folder / results.PAGE}")


def _fast_years(names: Sequence[str], seeds: int, weeks: int, folder: Path, encoder: str, workers: int) -> list[Year]:
    from rich.progress import Progress

    from feature_checks.state import state_dir
    from pipelines.simulation.years import Plan, run_years

    weak = -1.0 if encoder == "words" else None
    plan = Plan(folder, state_dir() / "data", state_dir() / "simulation" / "vectors", weeks, encoder, weak)  # type: ignore[arg-type]
    years = []
    with Progress() as progress:
        task = progress.add_task("preparing", total=None)
        for done, total, year in run_years(plan, names, range(seeds), workers):
            progress.update(task, completed=done, total=total, description=f"{done} of {total} years")
            years.append(year)
    return years


def _real_years(names: Sequence[str], seeds: int, weeks: int, folder: Path) -> list[Year]:
    from pipelines.simulation.real import run_real

    return [run_real(name, seed, weeks, folder, typer.echo) for name in names for seed in range(seeds)]
