"""Where reports and decisions are kept: a folder or fsspec URL, one JSON object each.

HISTORY/reports/WINDOW.json        written again when a window is judged again
HISTORY/decisions/TIME.json        the audit trail
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import fsspec

from monitoring.policy import Decision
from monitoring.report import DriftReport


@dataclass(frozen=True)
class History:
    """The kept reports and decisions at a folder or fsspec URL."""

    url: str

    def add_report(self, report: DriftReport, made_at: datetime) -> None:
        """Keep a report; one of the same window is replaced and keeps its place in the order."""
        earlier = {entry["report"]["window"]: entry["made_at"] for entry in self._read("reports")}
        made = earlier.get(report.window, made_at.isoformat(timespec="microseconds"))
        self._write(f"reports/{report.window}.json", {"made_at": made, "report": report.to_dict()})

    def reports(self) -> list[DriftReport]:
        """Return the reports in the order in which their windows were first judged."""
        entries = sorted(self._read("reports"), key=lambda entry: str(entry["made_at"]))
        return [DriftReport.from_dict(entry["report"]) for entry in entries]

    def add_decision(self, decision: Decision) -> None:
        """Keep a decision."""
        name = decision.decided_at.replace(":", "")
        self._write(f"decisions/{name}.json", decision.to_dict())

    def last_retraining(self) -> datetime | None:
        """Return when retraining was last decided."""
        times = [entry["decided_at"] for entry in self._read("decisions") if entry["action"] == "RETRAIN"]
        return max(map(datetime.fromisoformat, times), default=None)

    def _read(self, folder: str) -> list[dict[str, Any]]:
        filesystem, root = fsspec.url_to_fs(self.url)
        filesystem.invalidate_cache()
        paths = filesystem.glob(f"{root.rstrip('/')}/{folder}/*.json")
        return [json.loads(filesystem.cat_file(path)) for path in paths]

    def _write(self, name: str, content: dict[str, Any]) -> None:
        filesystem, root = fsspec.url_to_fs(self.url)
        path = f"{root.rstrip('/')}/{name}"
        filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        filesystem.pipe_file(path, (json.dumps(content, indent=2) + "\n").encode())
