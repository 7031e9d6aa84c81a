"""Write the generated parts of the reference pages from the code, so that the two cannot differ.

A page marks such a part by a pair of comments; everything else on the page is written by hand.

python docs/generate_reference.py           # rewrite the pages
python docs/generate_reference.py --check   # exit 1 if a page is out of date, and name it
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from serving.settings import Settings
from serving.telemetry import metrics

REFERENCE: Final = Path(__file__).parent / "reference"
ROOT: Final = Path(__file__).parent.parent
ALERTS: Final = ROOT / "manifests" / "alerts" / "rules.yaml"


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; `|` inside a cell is escaped."""
    head = list(columns)
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def settings() -> str:
    """Return one table for each group of settings, in the order of the fields."""
    fields = [(name, *_group_and_when(name)) for name in Settings.model_fields]
    groups = list(dict.fromkeys(group for _, group, _ in fields))
    ordered = sorted(fields, key=lambda field: groups.index(field[1]))
    parts = []
    for group, members in groupby(ordered, key=lambda field: field[1]):
        rows = [(f"`{name.upper()}`", default_of(name), _description(name), when) for name, _, when in members]
        heading = group[:1].upper() + group[1:]
        parts.append(f"## {heading}\n\n{table(('Variable', 'Default', 'Meaning', 'When to change it'), rows)}")
    return "\n\n".join(parts)


def default_of(name: str) -> str:
    """Return the default of a setting as the page shows it."""
    default = Settings.model_fields[name].default
    return "unset" if default is None else f"`{default}`"


def _description(name: str) -> str:
    return Settings.model_fields[name].description or ""


def _group_and_when(name: str) -> tuple[str, str]:
    extra = Settings.model_fields[name].json_schema_extra
    values: Mapping[str, Any] = extra if isinstance(extra, Mapping) else {}
    return str(values.get("group", "other")), str(values.get("when", ""))


def metric_names() -> dict[str, Any]:
    """Return every metric that `serving.telemetry.metrics` defines, by its exported name."""
    found: dict[str, Any] = {}
    for metric in vars(metrics).values():
        if hasattr(metric, "collect") and not isinstance(metric, type):
            (family,) = metric.collect()
            found[family.name + ("_total" if family.type == "counter" else "")] = metric
    return found


def metric_table() -> str:
    """Return the metrics with their types, labels and help texts."""
    rows = []
    for name, metric in metric_names().items():
        (family,) = metric.collect()
        labels: Iterable[str] = getattr(metric, "label_names", ()) or getattr(metric, "_labelnames", ())
        rows.append((f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation))
    return table(("Metric", "Type", "Labels", "Meaning"), rows)


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules of every group."""
    documents = yaml.safe_load_all(ALERTS.read_text(encoding="utf-8"))
    groups = [group for document in documents if document for group in document["spec"]["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def alert_table() -> str:
    """Return the alerts with severity, delay and summary."""
    rows = [
        (f"`{rule['alert']}`", rule["labels"]["severity"], rule.get("for", "at once"), rule["annotations"]["summary"])
        for rule in alerts()
    ]
    return table(("Alert", "Severity", "After", "Meaning"), rows)


def _toml(path: str) -> str:
    return f"```toml\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n```"


PARTS: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    "settings.md": {"settings": settings},
    "metrics.md": {"metrics": metric_table, "alerts": alert_table},
    "thresholds.md": {
        "gate thresholds": lambda: _toml("feature_checks/thresholds.toml"),
        "drift thresholds": lambda: _toml("monitoring/drift_thresholds.toml"),
    },
}
"""Page → name of each generated part → its content."""


def render(page: str) -> str:
    """Return a page with its generated parts renewed. Raises ValueError where a pair of comments is missing."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    for name, content in PARTS[page].items():
        start, end = f"<!-- generated: {name} -->\n", "<!-- /generated -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        part = f"{start}\n{content()}\n\n{end}"
        text, found = pattern.subn(part.replace("\\", r"\\"), text)
        if found != 1:
            raise ValueError(f"{page}: found {found} parts marked {start.strip()!r}; expected 1")
    return text


def stale() -> list[str]:
    """Return the pages that differ from the code."""
    return [page for page in PARTS if render(page) != (REFERENCE / page).read_text(encoding="utf-8")]


def main() -> None:
    """Rewrite the pages, or with `--check` only compare them."""
    pages = stale()
    if "--check" in sys.argv[1:] and pages:
        sys.exit(f"out of date: {', '.join(pages)}; run  python docs/generate_reference.py")
    for page in pages:
        (REFERENCE / page).write_text(render(page), encoding="utf-8")


if __name__ == "__main__":
    main()
