"""Draws one simulated year: traffic, verdicts, retrainings and macro-F1 by domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.simulation.scenarios import ANCHOR, SCENARIOS
from pipelines.simulation.year import Week, Year

COLORS: Final = {"amazon": "#4361a8", "tweets": "#d17a22", "nyt": "#3f8f5b", "movies": "#8d5aa5"}
VERDICTS: Final = {"no drift": "#8fc7a1", "drift": "#d9534f", "sustained drift": "#e6a15c", "not judged": "#b5b5b5"}


def draw(year: Year, path: Path) -> Path:
    """Write the picture of a year as PNG and return its path.

    Example: `draw(year, Path("sudden.png"))`.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (traffic, verdicts, scores) = pyplot.subplots(
        3, 1, figsize=(9, 7), sharex=True, height_ratios=(2, 0.7, 4), layout="constrained"
    )
    _traffic(traffic, year)
    _verdicts(verdicts, year)
    _scores(scores, year)
    figure.suptitle(f"{year.scenario}: {SCENARIOS[year.scenario].summary} (seed {year.seed})", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def domains(year: Year) -> list[str]:
    """Return the domains of a year's traffic, the anchor first."""
    return [ANCHOR, *sorted({name for week in year.weeks for name in week.mix} - {ANCHOR})]


def verdict(week: Week) -> str:
    """Return the verdict of a week in words, a key of VERDICTS."""
    if week.status != "judged":
        return "not judged"
    if not week.drift:
        return "no drift"
    return "sustained drift" if week.sustained and "sustained" in week.reasons[0].partition(":")[2][:12] else "drift"


def _traffic(axes: Any, year: Year) -> None:
    weeks = np.arange(1, len(year.weeks) + 1)
    shares = [[week.mix.get(name, 0.0) for week in year.weeks] for name in domains(year)]
    axes.stackplot(weeks, shares, labels=domains(year), colors=[COLORS[name] for name in domains(year)], step="mid")
    axes.set(ylabel="traffic", ylim=(0, 1), xlim=(0.5, len(weeks) + 0.5))
    axes.legend(loc="upper left", fontsize=8, ncols=4)


def _verdicts(axes: Any, year: Year) -> None:
    for number, week in enumerate(year.weeks, start=1):
        axes.bar(number, 1, width=0.9, color=VERDICTS[verdict(week)])
        if week.candidate:
            axes.text(number, 0.5, "✓" if week.promoted else "✗", ha="center", va="center", fontsize=11, weight="bold")
    for name, color in VERDICTS.items():
        axes.bar(0, 0, color=color, label=name)
    axes.set(ylabel="verdict", ylim=(0, 1), yticks=[])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.05), fontsize=7, ncols=4, frameon=False,
                title="✓ retrained and promoted, ✗ retrained and refused", title_fontsize=7)  # fmt: skip


def _scores(axes: Any, year: Year) -> None:
    weeks = np.arange(1, len(year.weeks) + 1)
    for name in domains(year):
        values = np.array([week.macro_f1[name] for week in year.weeks])
        axes.step(weeks, values, where="mid", color=COLORS[name], linewidth=2, label=f"{name}: champion")
        never = np.full(len(weeks), year.weeks[0].macro_f1[name] if not year.weeks[0].candidate else np.nan)
        axes.plot(weeks, never, color=COLORS[name], linestyle=":", label=f"{name}: never retrained")
        if year.weekly:
            weekly = [scores[name] for scores in year.weekly]
            axes.plot(weeks, weekly, color=COLORS[name], linewidth=0.9, alpha=0.6, label=f"{name}: retrained weekly")
        if name == ANCHOR:
            axes.step(weeks, np.maximum.accumulate(values), where="mid", color="#777777", linestyle="--",
                      linewidth=1, label="amazon: best ever")  # fmt: skip
    axes.set(ylabel="macro-F1", xlabel="week")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, -0.42), fontsize=7, ncols=4, frameon=False)
