"""Writes the results of simulated years: simulation.json, a picture of each scenario and a page for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from feature_checks.report_style import style
from pipelines.simulation.criteria import Criterion, Years, criteria, drifts, trained
from pipelines.simulation.picture import draw
from pipelines.simulation.scenarios import SCENARIOS

RESULTS: Final = "simulation.json"
PAGE: Final = "index.html"


def write(years: Years, output: Path, learner: str) -> list[Criterion]:
    """Write the results to the folder and return the criteria.

    Example: `write({"quiet": [year]}, Path(".local/simulation"), "fast")`.
    """
    output.mkdir(parents=True, exist_ok=True)
    judged = criteria(years) if learner == "fast" else []
    content = {
        "learner": learner,
        "criteria": [criterion.to_dict() for criterion in judged],
        "scenarios": {name: _figures(years, name) for name in years},
    }
    (output / RESULTS).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    pictures = [draw(min(group, key=lambda year: year.seed), output / f"{name}.png")
                for name, group in years.items() if group]  # fmt: skip
    (output / PAGE).write_text(_page(judged, years, pictures), encoding="utf-8")
    return judged


def table(judged: Sequence[Criterion]) -> str:
    """Return the criteria as a Markdown table."""
    lines = ["| Scenario | What | Needed | Found | 95 % interval | Years | Holds |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *("| " + " | ".join(_cells(criterion)) + " |" for criterion in judged)])


def _cells(criterion: Criterion) -> list[str]:
    interval = f"{criterion.low:.3g} to {criterion.high:.3g}"
    holds = "yes" if criterion.holds else "**no**"
    return [criterion.scenario, criterion.what, criterion.needed, f"{criterion.value:.3g}", interval,
            str(criterion.years), holds]  # fmt: skip


def _figures(years: Years, name: str) -> list[dict[str, object]]:
    """Return what happened in each year of a scenario, in short."""
    return [
        {
            "seed": year.seed,
            "retrained_in_weeks": [week + 1 for week in trained(year)],
            "promoted": [year.weeks[week].promoted for week in trained(year)],
            "weeks_with_drift": sum(drifts(year)),
            "macro_f1_first": year.weeks[0].macro_f1,
            "macro_f1_last": year.weeks[-1].macro_f1,
            "macro_f1_at_once": year.at_once,
        }
        for year in years[name]
    ]


def _page(judged: Sequence[Criterion], years: Years, pictures: Sequence[Path]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("Scenario", "What", "Needed", "Found", "Interval", "Years", "Holds"))
    rows = "".join(
        "<tr>" + "".join(f"<td>{cell.strip('*')}</td>" for cell in _cells(criterion)) + "</tr>" for criterion in judged
    )
    drawn = "".join(
        f"<h2>{name}</h2><p>{SCENARIOS[name].summary}</p><p><img src='{path.name}' alt='A simulated year: {name}'"
        " style='max-width:100%'></p>"
        for name, path in zip([name for name in years if years[name]], pictures, strict=True)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Simulated years</title><style>{style()}'
        f"</style></head><body><main><h1>Simulated years</h1><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        f"</table>{drawn}</main></body></html>\n"
    )
