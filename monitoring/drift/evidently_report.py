"""Evidently's report on two compared windows: interactive plots in HTML, numbers in JSON.

This is the only module that imports Evidently. It registers our own methods and thresholds with Evidently, so that its
report always agrees with our verdict. Evidently gets no review text: a report holds distributions only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from monitoring.drift import detectors
from monitoring.drift.comparison import Comparison
from monitoring.drift.detectors import Detector, Method

SNAPSHOT_FILE: Final = "evidently.json"
PROJECT: Final = "review-sentiment"
BINS: Final = 20


def interactive_report(comparison: Comparison, folder: Path, workspace: str = "") -> str:
    """Write evidently.json to the folder and return Evidently's page, which needs no network.

    If `workspace` is given (a folder or the URL of a running Evidently), the report is also added to it. The window
    must have been judged.
    """
    snapshot = _snapshot(comparison)
    snapshot.save_json(str(folder / SNAPSHOT_FILE))
    if workspace:
        _add_to_workspace(workspace, snapshot)
    return str(snapshot.get_html_str(as_iframe=False))


def _snapshot(comparison: Comparison) -> Any:
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    by_name = {detector.name: detector for detector in detectors.DETECTORS}
    watched = [(by_name[measurement.detector], measurement.threshold) for measurement in comparison.report.measurements]
    methods = {method: _register(method) for method in {detector.method for detector, _ in watched}}
    definition = DataDefinition(
        numerical_columns=[detector.column for detector, _ in watched if _is_numeric(detector)],
        categorical_columns=[detector.column for detector, _ in watched if not _is_numeric(detector)],
    )
    metrics = [
        ValueDrift(column=detector.column, method=methods[detector.method], threshold=threshold, nbinsx=BINS)
        for detector, threshold in watched
    ]
    columns = [detector.column for detector, _ in watched]
    current, reference = (
        Dataset.from_pandas(frame[columns], data_definition=definition)
        for frame in (comparison.current, comparison.reference)
    )
    metadata = {"window": comparison.report.window, "reference": comparison.report.reference}
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
    projects = workspace.search_project(PROJECT)
    project = projects[0] if projects else workspace.create_project(PROJECT)
    workspace.add_run(project.id, snapshot, include_data=False)
