"""A compared pair of windows → Evidently's report: pictures in HTML, numbers in JSON. The only importer of Evidently.

Methods and thresholds are ours, registered with Evidently, so the report and the verdict cannot disagree. No review
text is handed over: a report holds distributions only.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from monitoring import detectors
from monitoring.detectors import Detector, Method
from monitoring.report import Compared, DriftReport

HTML: Final = "report.html"
SNAPSHOT: Final = "evidently.json"
PROJECT: Final = "review-sentiment"
BINS: Final = 20


def write(compared: Compared, folder: Path, workspace: str = "") -> Path:
    """Write report.html, report.json and (for judged windows) evidently.json; return the HTML's path.

    With a workspace, a folder or the URL of a running Evidently, the report is added to it for Evidently's pages.
    The HTML opens without network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    compared.report.save(folder)
    path = folder / HTML
    if not compared.report.measurements:
        path.write_text(_page(compared.report), encoding="utf-8")
        return path
    snapshot = _snapshot(compared)
    snapshot.save_json(str(folder / SNAPSHOT))
    content = snapshot.get_html_str(as_iframe=False)
    path.write_text(content.replace("<body>", f"<body>{_summary(compared.report)}", 1), encoding="utf-8")
    if workspace:
        _add_to_workspace(workspace, snapshot)
    return path


def _snapshot(compared: Compared) -> Any:
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    by_name = {one.name: one for one in detectors.DETECTORS}
    watched = [(by_name[one.detector], one.threshold) for one in compared.report.measurements]
    methods = {method: _register(method) for method in {one.method for one, _ in watched}}
    definition = DataDefinition(
        numerical_columns=[one.column for one, _ in watched if _is_numeric(one)],
        categorical_columns=[one.column for one, _ in watched if not _is_numeric(one)],
    )
    metrics = [
        ValueDrift(column=one.column, method=methods[one.method], threshold=threshold, nbinsx=BINS)
        for one, threshold in watched
    ]
    columns = [one.column for one, _ in watched]
    current, reference = (
        Dataset.from_pandas(frame[columns], data_definition=definition)
        for frame in (compared.current, compared.reference)
    )
    metadata = {"window": compared.report.window, "reference": compared.report.reference}
    return Report(metrics, include_tests=True, metadata=metadata).run(current, reference)


def _is_numeric(detector: Detector) -> bool:
    return detector.method != "jensen_shannon"


def _register(method: Method) -> str:
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    kind = ColumnType.Categorical if method == "jensen_shannon" else ColumnType.Numerical
    test = StatTest(name=method, display_name=method.replace("_", " "), allowed_feature_types=[kind])
    register_stattest(test, _evidently_function(detectors.METHODS[method]))
    return method


def _evidently_function(score_of: Callable[[Any, Any], float]) -> Callable[..., tuple[float, bool]]:
    def compare(reference: pd.Series[Any], current: pd.Series[Any], _: object, threshold: float) -> tuple[float, bool]:
        score = score_of(reference, current)
        return score, score >= threshold

    return compare


def _add_to_workspace(where: str, snapshot: Any) -> None:
    from evidently.ui.workspace import RemoteWorkspace, Workspace

    workspace = RemoteWorkspace(where) if where.startswith(("http://", "https://")) else Workspace.create(where)
    found = workspace.search_project(PROJECT)
    project = found[0] if found else workspace.create_project(PROJECT)
    workspace.add_run(project.id, snapshot, include_data=False)


def _page(report: DriftReport) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Drift report</title></head>'
        f"<body>{_summary(report)}</body></html>\n"
    )


def _summary(report: DriftReport) -> str:
    verdict = {"judged": "Drift" if report.drift else "No drift", "too_few_rows": "Too few rows"}
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in report.reasons)
    return (
        '<section style="font-family:sans-serif;margin:2em"><h1>'
        f"{verdict.get(report.status, 'Invalid window')}</h1><ul>{items}</ul>"
        f"<p>Window {html.escape(report.window)}: {report.current_rows} of {report.current_total} rows, against "
        f"{html.escape(report.reference)}: {report.reference_rows} of {report.reference_total} rows. "
        f"{_performance(report)} Not measured: {', '.join(report.not_measured) or 'nothing'}.</p></section>"
    )


def _performance(report: DriftReport) -> str:
    values = (report.macro_f1_reference, report.macro_f1_current)
    then, now = ("unknown" if value is None else f"{value:.3f}" for value in values)
    return f"Macro-F1 then {then}, now {now} ({report.labelled_rows} labelled rows)."
