"""Runs the years of all scenarios and seeds in processes of their own, and keeps each finished year in a file."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import pandas as pd
from threadpoolctl import threadpool_limits

from components.train import TrainingSettings
from feature_checks.contract import SPLIT, TEXT
from feature_checks.splits import without_held_out_texts
from monitoring.windows.log_reader import LABELLED_AT
from pipelines.simulation.encoders import Encoder, EncoderName
from pipelines.simulation.linear import LinearLearner
from pipelines.simulation.log import WEEK
from pipelines.simulation.scenarios import SCENARIOS, SETTLED
from pipelines.simulation.year import FIRST_MONDAY, Simulation, Year, score

DRAWN_SEED: Final = 0
"""Seed of the years that are drawn; only these are compared with weekly training, which takes long."""


@dataclass(frozen=True)
class Plan:
    """What is run, and where its files are."""

    output: Path
    """Folder of the results; `years/` below it holds the finished years."""
    cache: Path
    """Folder of the downloaded reviews."""
    vectors: Path
    """Folder of the encoder's vectors."""
    weeks: int = 52
    encoder: EncoderName = "minilm"
    min_gain_over_baseline: float | None = None
    """Replaces the gate's threshold, for an encoder that is weaker than the baseline."""

    def path(self, scenario: str, seed: int) -> Path:
        """Return the file of a finished year."""
        return self.output / "years" / f"{scenario}-{seed}-{self.weeks}w-{self.encoder}.json"


def run_years(
    plan: Plan, scenarios: Sequence[str], seeds: Sequence[int], workers: int
) -> Iterator[tuple[int, int, Year]]:
    """Run what is not finished yet; yield the number of finished years, the number of all, and each finished year.

    Example: `for done, total, year in run_years(plan, ["quiet"], range(20), workers=2): …`
    """
    jobs = [(scenario, seed) for seed in seeds for scenario in scenarios]
    known = [load(plan.path(*job)) for job in jobs if plan.path(*job).is_file()]
    for number, year in enumerate(known, start=1):
        yield number, len(jobs), year
    waiting = [job for job in jobs if not plan.path(*job).is_file()]
    if not waiting:
        return
    prepare(plan)
    done = len(known)
    # Processes that are forked would share the threads of the libraries of this one.
    with ProcessPoolExecutor(min(workers, len(waiting)), get_context("spawn"), _start, (plan,)) as pool:
        for future in as_completed([pool.submit(run_one, plan, *job) for job in waiting]):
            done += 1
            yield done, len(jobs), future.result()


def prepare(plan: Plan) -> None:
    """Compute the encoder's vectors and make an empty registry, once for all years."""
    from pipelines.simulation import population

    Encoder(plan.encoder, plan.vectors).prepare(population.texts(population.load(plan.cache)))
    registry = plan.output / "registry.db"
    if not registry.is_file():
        registry.parent.mkdir(parents=True, exist_ok=True)
        _make_registry(registry)


def run_one(plan: Plan, scenario: str, seed: int) -> Year:
    """Run one year with its own registry in a scratch folder, and keep it."""
    from pipelines.simulation import population

    reviews, encoder = _inputs(plan)
    scratch = Path(tempfile.mkdtemp(prefix="year-", dir=plan.output))
    before = {name: os.environ.get(name) for name in ("STATE_DIR", "MLFLOW_TRACKING_URI")}
    try:
        shutil.copyfile(plan.output / "registry.db", scratch / "mlflow.db")
        os.environ |= {"STATE_DIR": str(scratch), "MLFLOW_TRACKING_URI": f"sqlite:///{scratch / 'mlflow.db'}"}
        trainer = fast_trainer(plan, encoder)
        simulation = Simulation(SCENARIOS[scenario], population.divide(reviews, seed), trainer, scratch, seed)
        year = simulation.run(plan.weeks)
        add_comparisons(year, simulation, trainer.learner)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(scratch)
    save(plan.path(scenario, seed), year)
    return year


def add_comparisons(year: Year, simulation: Simulation, learner: LinearLearner) -> None:
    """Add the comparisons to a finished year whose files are still there."""
    shifted = simulation.scenario.shifted_by
    if shifted is None:
        return
    labelled = simulation.store.rows()
    labels = [_given_by(labelled, week) for week in range(len(year.weeks))]
    settled = min(shifted + SETTLED, len(year.weeks) - 1)
    weeks = range(len(year.weeks)) if year.seed == DRAWN_SEED else [settled]
    scores: dict[int, dict[str, float]] = {}  # Labels are only added, so that an equal number means the same ones.
    for week in weeks:
        if len(labels[week]) not in scores:
            scores[len(labels[week])] = _score_at_once(simulation, learner, labels[week])
    year.at_once = scores[len(labels[settled])]
    year.weekly = [scores[len(known)] for known in labels] if year.seed == DRAWN_SEED else []


def _given_by(labelled: pd.DataFrame, week: int) -> pd.DataFrame:
    """Return the labels that were given by the end of a week."""
    until = (FIRST_MONDAY + (week + 1) * WEEK).isoformat(timespec="milliseconds")
    return labelled[labelled[LABELLED_AT] < until] if len(labelled) else labelled


def _score_at_once(simulation: Simulation, learner: LinearLearner, known: pd.DataFrame) -> dict[str, float]:
    """Return macro-F1 by domain of a model of the first reviews and of all these labels."""
    folder = Path(simulation.folder, "at-once")
    folder.mkdir(exist_ok=True)
    rows = pd.concat([simulation.population.first, known.assign(**{SPLIT: "train"})], ignore_index=True)
    without_held_out_texts(rows).to_parquet(folder / "split.parquet", index=False)
    learner.train(folder / "split.parquet", folder, TrainingSettings())
    return {
        domain: score(measured, learner.probabilities(folder, measured[TEXT].tolist()))
        for domain, measured in simulation.population.measured.items()
    }


def save(path: Path, year: Year) -> None:
    """Write a finished year."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(year.to_dict()), encoding="utf-8")


def load(path: Path) -> Year:
    """Read a finished year."""
    return Year.from_dict(json.loads(path.read_text(encoding="utf-8")))


def fast_trainer(plan: Plan, encoder: Encoder) -> Any:
    """Return the fast trainer of a plan."""
    from dataclasses import replace

    from feature_checks import thresholds
    from pipelines.simulation.trainers import FastTrainer

    limits = thresholds.load().gate
    if plan.min_gain_over_baseline is not None:
        limits = replace(limits, min_gain_over_baseline=plan.min_gain_over_baseline)
    return FastTrainer(LinearLearner(encoder), limits)


_LOADED: dict[Plan, tuple[Any, Encoder]] = {}


def _inputs(plan: Plan) -> tuple[Any, Encoder]:
    """Return the reviews and the encoder; a process reads them once."""
    from pipelines.simulation import population

    if plan not in _LOADED:
        reviews, encoder = population.load(plan.cache), Encoder(plan.encoder, plan.vectors)
        encoder.prepare(population.texts(reviews))
        _LOADED[plan] = reviews, encoder
    return _LOADED[plan]


def _start(plan: Plan) -> None:
    """Prepare a worker: one thread, because there is one worker for each core, and no warnings of libraries.

    Threads of one library wait for one another by spinning. NumPy has read OMP_NUM_THREADS before this is called;
    libraries that are loaded later read it then.
    """
    del plan
    threadpool_limits(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    logging.disable(logging.WARNING)


def _make_registry(path: Path) -> None:
    import mlflow

    partial = path.with_suffix(".partial")
    mlflow.MlflowClient(f"sqlite:///{partial}").search_registered_models()
    partial.replace(path)
