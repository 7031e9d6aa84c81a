"""The sections of the site of the drift history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from monitoring.drift.drift_report import DriftReport
from monitoring.drift.verdicts import verdict_of
from monitoring.history import Outcome
from monitoring.pages.document import (
    Html,
    State,
    escape,
    heading,
    items,
    link,
    paragraph,
    table,
    tag,
    verdict,
)
from monitoring.policy import Action, Decision
from monitoring.site_plots import accuracy, detectors, performance, versions

REPORTS: Final = "reports"
ACTION_STATES: Final[dict[Action, State]] = {"OK": "good", "WATCH": "watch", "RETRAIN": "bad"}
_SYMBOLS: Final[dict[State, str]] = {"good": "✓", "watch": "?", "bad": "!"}


@dataclass(frozen=True)
class Content:
    """What the site shows, oldest first."""

    reports: Sequence[DriftReport]
    decisions: Sequence[Decision]
    outcomes: Sequence[Outcome]
    linked: frozenset[str]
    """Names of the windows whose reports are part of the site."""

    @property
    def retrained(self) -> frozenset[str]:
        """Return the windows whose decision was to retrain."""
        return frozenset(decision.newest for decision in self.decisions if decision.action == "RETRAIN")


def sections(content: Content) -> list[Html]:
    """Return the sections of the site, the newest verdict first."""
    if not content.reports:
        return [verdict("watch", "No window has been judged yet.")]
    return [
        *_summary(content),
        heading("Verdicts"),
        paragraph("One square for each window, oldest first: ✓ no drift, ! drift, ? not judged. A frame: retraining."),
        _strip(content),
        heading("Detectors"),
        paragraph("The dashed line is the threshold; red dots are alarms. Dotted lines mark a new model version."),
        *detectors(content.reports),
        heading("Macro-F1"),
        *performance(content.reports),
        heading("Expected accuracy"),
        *accuracy(content.reports),
        heading("Retrainings"),
        *_retrainings(content),
        heading("Decisions"),
        *_decisions(content),
        heading("Windows"),
        _windows(content),
    ]


def _summary(content: Content) -> list[Html]:
    newest = content.reports[-1]
    state, sentence = verdict_of(newest)
    lines = [verdict(state, f"Newest window {newest.window}. {sentence}."), items(newest.reasons)]
    if content.decisions:
        decision = content.decisions[-1]
        reasons = "; ".join(decision.reasons)
        lines.append(paragraph(Html(f"Latest decision: {_action(decision.action)} {escape(reasons)}.")))
    return lines


def _strip(content: Content) -> Html:
    return Html(f'<ol class="strip">{"".join(_square(report, content) for report in content.reports)}</ol>')


def _square(report: DriftReport, content: Content) -> str:
    state, sentence = verdict_of(report)
    retrained = report.window in content.retrained
    words = escape(f"{report.window}: {sentence}{'. Retraining was decided' if retrained else ''}")
    classes = f"{state} retrained" if retrained else state
    return (
        f'<li><a class="{classes}" href="#{quote(_anchor(report.window))}" title="{words}">'
        f'<span aria-hidden="true">{_SYMBOLS[state]}</span><span class="hidden">{words}</span></a></li>'
    )


def _retrainings(content: Content) -> list[Html]:
    if not content.outcomes:
        return [paragraph("The outcome of no retraining has been recorded.")]
    rows = [
        (
            _minute(outcome.ended_at),
            outcome.version or "none",
            tag("good", "promoted") if outcome.promoted else "not promoted",
            outcome.reason,
        )
        for outcome in reversed(content.outcomes)
    ]
    return [table("Retrainings, newest first", ("Time (UTC)", "Version", "Result", "Reason"), rows)]


def _decisions(content: Content) -> list[Html]:
    if not content.decisions:
        return [paragraph("No decision has been recorded.")]
    rows = [
        (_minute(decision.decided_at), decision.newest, _action(decision.action),
         "; ".join(decision.reasons))
        for decision in reversed(content.decisions)
    ]  # fmt: skip
    return [table("Decisions, newest first", ("Time (UTC)", "Newest window", "Decision", "Reasons"), rows)]


def _windows(content: Content) -> Html:
    reports = list(reversed(content.reports))
    rows = [
        (
            _report_link(report.window, content),
            _verdict_tag(report),
            "; ".join(report.reasons),
            versions(report),
            report.current_total,
            report.labelled_rows,
        )
        for report in reports
    ]
    columns = ("Window", "Verdict", "Reasons", "Model version", "Rows", "Labels")
    return table("Windows, newest first", columns, rows, ids=[_anchor(report.window) for report in reports])


def _report_link(window: str, content: Content) -> Html:
    return link(f"{REPORTS}/{quote(window)}.html", window) if window in content.linked else escape(window)


def _verdict_tag(report: DriftReport) -> Html:
    state, sentence = verdict_of(report)
    return tag(state, sentence.partition(":")[0])


def _action(action: Action) -> Html:
    return tag(ACTION_STATES[action], action)


def _minute(moment: str) -> Html:
    return Html(f'<span class="nowrap">{escape(f"{moment[:10]} {moment[11:16]}")}</span>')


def _anchor(window: str) -> str:
    return f"window-{window}"
