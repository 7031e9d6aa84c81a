"""Chooses the best trial on the validation split, and shows all of them in MLflow."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.registry.client import connect
from components.search.space import DEFAULTS, Trial, best_of, study_of
from components.search.trials import METRIC, failing

if TYPE_CHECKING:
    from optuna import Study

CHOICE: Final = "choice.json"
REPORT: Final = "search.md"
OPTIONS: Final = "options.txt"
"""File with the options of `review-sentiment train` for the choice."""
ARTIFACT: Final = "search"
"""Folder of the search's run in MLflow."""
PLOTS: Final = ("history", "slices", "importances")
_SHARED: Final = 2
"""Fewest finished trials with different scores from which Optuna can tell what a parameter matters."""


def choose(trials: Sequence[Trial], search_run: str, output: Path) -> Trial:
    """Write the choice, a report and the plots to `output` and to the search's MLflow run, and end the run.

    Returns the trial with the highest mean macro-F1 on the validation split.

    Example: `choose(trials, run_id, Path("chosen")).params`.
    """
    with failing(search_run):
        best = _written(trials, output)
        _log(best, search_run, output)
    connect().set_terminated(search_run)
    return best


def _written(trials: Sequence[Trial], output: Path) -> Trial:
    """Write the files of the choice; return the best trial."""
    best = best_of(trials)
    output.mkdir(parents=True, exist_ok=True)
    (output / REPORT).write_text(report(trials), encoding="utf-8")
    (output / OPTIONS).write_text(" ".join(options_of(best)), encoding="utf-8")
    details = {"params": best.params, "trial": best.number, METRIC: best.mean, f"{METRIC}_deviation": best.deviation}
    content = details | {"trials": [vars(trial) for trial in sorted(trials, key=lambda trial: trial.number)]}
    (output / CHOICE).write_text(json.dumps(content, indent=1), encoding="utf-8")
    draw(study_of(trials, seed=0), output)
    return best


def _log(best: Trial, search_run: str, output: Path) -> None:
    client = connect()
    client.log_artifacts(search_run, str(output), ARTIFACT)
    for name, value in best.params.items():
        client.log_param(search_run, f"best.{name}", value)
    client.log_metric(search_run, METRIC, best.mean)
    client.log_metric(search_run, f"{METRIC}_deviation", best.deviation)


def report(trials: Sequence[Trial]) -> str:
    """Return the trials as Markdown, the best first."""
    best = best_of(trials)
    names = list(best.params)
    rows = [
        f"| {trial.number} | {' | '.join(f'{trial.params[name]:.3g}' for name in names)} "
        f"| {trial.mean:.4f} | {trial.deviation:.4f} | {len(trial.scores)} |"
        for trial in sorted(trials, key=lambda trial: (-trial.mean, trial.number))
    ]
    head = f"| Trial | {' | '.join(names)} | Macro-F1 on validation | Standard deviation | Seeds |"
    return "\n".join([
        f"# Trial {best.number} is the best of {len(trials)}",
        "",
        _comparison(trials, best),
        "",
        f"Train with it: `review-sentiment train {' '.join(options_of(best))}`",
        "",
        head,
        f"| {' | '.join(['---'] * (len(names) + 4))} |",
        *rows,
        "",
    ])  # fmt: skip


def options_of(best: Trial) -> list[str]:
    """Return the options of `review-sentiment train` for the settings of a trial."""
    return [f"--param {name}={value:.6g}" for name, value in best.params.items()]


def _comparison(trials: Sequence[Trial], best: Trial) -> str:
    default = next((trial for trial in trials if trial.params == DEFAULTS), None)
    if default is None or default is best:
        return "It has the default settings." if default else "The default settings were not tried."
    difference, noise = best.mean - default.mean, max(best.deviation, default.deviation)
    spread = f"standard deviation {noise:.4f}"
    words = f"Its macro-F1 on the validation split is {difference:.4f} above that of the default settings"
    if difference <= noise:
        return f"{words}. The seeds of one setting differ as much ({spread}): keep the defaults."
    return f"{words}. The seeds of one setting differ less ({spread})."


def draw(study: Study, output: Path) -> None:
    """Write Optuna's plots as PLOT.png: scores in their order, scores over each parameter, parameter importances.

    The importances need two different scores and are left out otherwise.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from optuna.visualization import matplotlib as plots

    drawings: dict[str, Callable[..., Any]] = {
        "history": plots.plot_optimization_history,
        "slices": plots.plot_slice,
    }
    if len({trial.value for trial in study.trials}) >= _SHARED:
        drawings["importances"] = plots.plot_param_importances
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls all its plots experimental
        for name, plot in drawings.items():
            _save(plot(study, target_name="macro-F1 on validation"), output / f"{name}.png")


def _save(axes: Any, path: Path) -> None:
    import numpy as np
    from matplotlib import pyplot, ticker

    for axis in np.ravel(axes):
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())  # on a log scale the labels between would overlap
    figure = np.ravel(axes)[0].figure
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)
