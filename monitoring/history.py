"""Keeps reports, decisions and outcomes of retraining in a folder or at an fsspec URL.

HISTORY/reports/WINDOW.json         the verdict on a window
HISTORY/pages/WINDOW.html.gz        its report as a page
HISTORY/labels/WINDOW.json          number of rows in the label store after that window
HISTORY/decisions/TIME.json         the decisions, as an audit trail
HISTORY/outcomes/TIME.json          what became of each retraining
"""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import fsspec

from monitoring.drift.drift_report import DriftReport
from monitoring.policy import Decision, Retraining


@dataclass(frozen=True)
class Outcome:
    """What became of a retraining."""

    version: str
    """Version of the candidate; empty if the retraining failed."""
    promoted: bool
    """Whether the candidate became the champion."""
    reason: str
    """Why it was or was not promoted."""
    newest: str
    """Newest window when the retraining ended. The cooldown starts after it."""
    ended_at: str
    """Time of the end (UTC, ISO 8601)."""


@dataclass(frozen=True)
class History:
    """The kept reports, decisions and outcomes.

    Example: `History("s3://bucket/history").reports()`.
    """

    url: str
    """Folder or fsspec URL."""

    def add_report(self, report: DriftReport, made_at: datetime) -> DriftReport:
        """Keep a report and return it. If the window was judged before, return that earlier report instead.

        A retry or a late run thus gives the same verdict. A window that could not be judged may be judged later.
        """
        earlier = next((entry for entry in self._read("reports") if entry["report"]["window"] == report.window), None)
        if earlier and earlier["report"]["status"] == "judged":
            return DriftReport.from_dict(earlier["report"])
        made = earlier["made_at"] if earlier else made_at.astimezone(UTC).isoformat(timespec="microseconds")
        self._write_json(f"reports/{report.window}.json", {"made_at": made, "report": report.to_dict()})
        return report

    def reports(self) -> list[DriftReport]:
        """Return the reports in the order of their windows: by their end, or by the first judgement of a file."""
        entries = sorted(
            self._read("reports"), key=lambda entry: _moment(entry["report"].get("end") or entry["made_at"])
        )
        return [DriftReport.from_dict(entry["report"]) for entry in entries]

    def add_page(self, window: str, page: str) -> None:
        """Keep the page of a window's report."""
        self._write(f"pages/{window}.html.gz", gzip.compress(page.encode(), mtime=0))

    def page(self, window: str) -> str | None:
        """Return the page of a window's report, or None if it was not kept."""
        filesystem, root = self._open()
        path = f"{root}/pages/{window}.html.gz"
        return gzip.decompress(filesystem.cat_file(path)).decode() if filesystem.exists(path) else None

    def add_stored_labels(self, window: str, rows: int) -> None:
        """Keep the number of rows that the label store had after a window."""
        self._write_json(f"labels/{window}.json", {"rows": rows})

    def stored_labels(self) -> int:
        """Return the largest number of rows that the label store had."""
        return max((int(entry["rows"]) for entry in self._read("labels")), default=0)

    def add_decision(self, decision: Decision) -> None:
        """Keep a decision."""
        name = decision.decided_at.replace(":", "")
        self._write_json(f"decisions/{name}.json", decision.to_dict())

    def decisions(self) -> list[Decision]:
        """Return the decisions in the order in which they were made."""
        entries = sorted(self._read("decisions"), key=lambda entry: _moment(entry["decided_at"]))
        return [Decision.from_dict(entry) for entry in entries]

    def add_outcome(self, outcome: Outcome) -> None:
        """Keep the outcome of a retraining."""
        self._write_json(f"outcomes/{outcome.ended_at.replace(':', '')}.json", asdict(outcome))

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes in the order in which the retrainings ended."""
        entries = sorted(self._read("outcomes"), key=lambda entry: _moment(entry["ended_at"]))
        return [Outcome(**entry) for entry in entries]

    def last_retraining(self) -> Retraining | None:
        """Return the last retraining: with its outcome, or with its decision while the outcome is unknown."""
        decided = [decision for decision in self.decisions() if decision.action == "RETRAIN"]
        if not decided:
            return None
        last = decided[-1]
        ended = [outcome for outcome in self.outcomes() if _moment(outcome.ended_at) >= _moment(last.decided_at)]
        if not ended:
            return Retraining(last.newest, last.stored_labels)
        return Retraining(ended[-1].newest, last.stored_labels, refused=not ended[-1].promoted)

    def _open(self) -> tuple[Any, str]:
        filesystem, root = fsspec.url_to_fs(self.url)
        filesystem.invalidate_cache()
        return filesystem, root.rstrip("/")

    def _read(self, folder: str) -> list[dict[str, Any]]:
        filesystem, root = self._open()
        return [json.loads(filesystem.cat_file(path)) for path in filesystem.glob(f"{root}/{folder}/*.json")]

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        self._write(name, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())

    def _write(self, name: str, content: bytes) -> None:
        filesystem, root = self._open()
        path = f"{root}/{name}"
        filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        filesystem.pipe_file(path, content)


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
