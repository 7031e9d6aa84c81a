"""A simulated year with the steps of the training pipeline: fine-tuning, export, verification, gate and registry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from components import evaluate, export, gate, register, train, verify
from components.check import check
from components.registry import aliases, artifacts
from components.results.candidate import CandidateFolders
from components.train import TrainingSettings
from feature_checks import bundle as bundles
from feature_checks import thresholds
from feature_checks.classifier import OnnxClassifier, Probabilities
from feature_checks.state import state_dir
from monitoring.windows.reference import write_reference_window
from pipelines.simulation import population
from pipelines.simulation.scenarios import SCENARIOS
from pipelines.simulation.year import Simulation, Year
from pipelines.simulation.years import Plan, load, save

FIRST_EPOCHS = 4.0
AGAIN_EPOCHS = 2.0
"""A retraining starts from the champion, as in the monitoring pipeline."""


@dataclass
class RealTrainer:
    """The steps of the training pipeline, called one after the other.

    Example: `RealTrainer().candidate(Path("split.parquet"), Path("first"))` is `"1"`.
    """

    epochs: tuple[float, float] = (FIRST_EPOCHS, AGAIN_EPOCHS)
    """Of the first training, and of a retraining."""
    _folders: dict[str, Path] = field(default_factory=dict)
    _classifiers: dict[str, OnnxClassifier] = field(default_factory=dict)

    def candidate(self, data: Path, folder: Path) -> str:
        """Train on the data set, judge, register and, if accepted, promote; return the version."""
        limits, champion = thresholds.load(), aliases.version_of("champion")
        registered = f"models:/review-sentiment/{champion}" if champion else "default"
        names = ("model", "exported", "evaluation", "verification", "gate", "check", "reference")
        folders = CandidateFolders(*(folder / name for name in names))
        settings = TrainingSettings(registered, self.epochs[champion is not None])
        check(data, folders.check, limits.check)
        run = train.train(data, folders.model, settings)
        evaluate.evaluate(folders.model, data, folders.evaluation)
        export.export_candidate(folders.model, folders.evaluation, data, folders.check, output=folders.export)
        verify.verify(folders.export, folders.evaluation, data, output=folders.verification, limits=limits.verify)
        decision = gate.gate(folders.evaluation, folders.verification, data, output=folders.gate, limits=limits.gate)
        bundle = folders.export / "bundle"
        write_reference_window(bundle, data, folders.reference_window / "reference.parquet")
        version = register.register(folders, run_id=run)
        if decision.accepted:
            aliases.promote(version, "auto")
        self._folders[version] = folders.reference_window
        self._classifiers[version] = OnnxClassifier(bundles.load(bundle))
        return version

    def probabilities(self, version: str, texts: list[str]) -> Probabilities:
        """Return the n × 3 probabilities of a version as it is served."""
        return self._classifiers[version].probabilities(texts)

    def reference(self, version: str) -> Path:
        """Return the reference window as the registry has it."""
        return artifacts.download_reference_window(version, self._folders[version] / "registered")


def run_real(scenario: str, seed: int, weeks: int, output: Path, tell: Callable[[str], None]) -> Year:
    """Run one year with real training, keep it and return it. Training takes minutes.

    Example: `run_real("sudden", 0, 52, Path("simulation"), print)`.
    """
    plan = Plan(output, state_dir() / "data", output, weeks)
    path = output / "years" / f"{scenario}-{seed}-{weeks}w-real.json"
    if path.is_file():
        return load(path)
    scratch = output / f"real-{scenario}-{seed}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    os.environ |= {"STATE_DIR": str(scratch), "MLFLOW_TRACKING_URI": f"sqlite:///{scratch / 'mlflow.db'}"}
    reviews = population.load(plan.cache)
    year = Simulation(SCENARIOS[scenario], population.divide(reviews, seed), RealTrainer(), scratch, seed).run(
        weeks, lambda number, week: tell(f"week {number + 1}: {week.action}, version {week.champion}")
    )
    save(path, year)
    return year
