"""The reference pages say what the code does."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import generate_reference
from feature_checks.prediction_record import FeedbackRecord, PredictionRecord
from serving.api.openapi.document import openapi_document
from serving.settings import Settings
from tests.support.documents import DOCS, DOCUMENTS, ROOT, name_of

REFERENCE = DOCS / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)


def test_generated_parts_are_up_to_date() -> None:
    assert generate_reference.stale() == [], "run  python docs/generate_reference.py"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_in_a_group(name: str) -> None:
    extra = Settings.model_fields[name].json_schema_extra
    assert isinstance(extra, Mapping), f"{name} has no group"
    assert extra["group"]
    assert str(extra["when"]).strip()
    row = f"| `{name.upper()}` | {generate_reference.default_of(name)} | {Settings.model_fields[name].description} |"
    assert row in page("settings.md")


OTHER_VARIABLES = {
    *("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "BASE_IMAGE", "CRD_SCHEMAS", "DOCKER_ENGINE", "DOCKER_HOST"),
    *("EVIDENTLY_PORT", "GIT_REVISION", "KF_PIPELINES_COOKIE", "KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_TOKEN"),
    *("MLFLOW_PORT", "PIP_EXTRA_INDEX_URL"),
}
"""Variables that are not settings of the predictor."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_variables_and_metrics_that_are_named_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    known = {name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    assert set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", text)) <= known
    assert set(re.findall(r"`(sentiment_[a-z_]+)", text)) <= set(generate_reference.metric_names())


def test_every_metric_and_alert_is_listed() -> None:
    text = page("metrics.md")
    names = list(generate_reference.metric_names())
    assert "sentiment_requests_total" in names
    assert first_cells(section(text, "Metrics")) == names
    assert first_cells(section(text, "Alerts")) == [rule["alert"] for rule in generate_reference.alerts()]


def parameters(pipeline: str) -> dict[str, Any]:
    path = ROOT / "manifests" / "pipelines" / f"{pipeline}.yaml"
    document = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    found: dict[str, Any] = document["root"]["inputDefinitions"]["parameters"]
    return found


@pytest.mark.parametrize("pipeline", ["training", "monitoring", "search"])
def test_every_pipeline_parameter_is_listed_with_its_default(pipeline: str) -> None:
    text = section(page("pipeline-parameters.md"), pipeline.capitalize())
    listed = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, flags=re.MULTILINE))
    assert listed == {name: default_cell(definition) for name, definition in parameters(pipeline).items()}


def default_cell(definition: Mapping[str, Any]) -> str:
    """Return the default as the page writes it."""
    if "defaultValue" not in definition:
        return "(required)"
    value = definition["defaultValue"]
    if definition["parameterType"] == "NUMBER_INTEGER":
        value = int(value)
    return f"`{value}`" if value != "" else "(empty)"


def test_every_route_is_listed() -> None:
    text = page("http-api.md")
    for path in openapi_document("sentiment")["paths"]:
        assert f"`{path}`" in text, path


@pytest.mark.parametrize(("heading", "record"), [("Predictions", PredictionRecord), ("Feedback", FeedbackRecord)])
def test_every_field_of_the_log_is_listed(heading: str, record: type[PredictionRecord | FeedbackRecord]) -> None:
    text = section(page("prediction-log.md"), heading)
    assert sorted(first_cells(text)) == sorted(field.name for field in dataclasses.fields(record))


def test_the_fields_of_a_drift_report_are_those_of_the_how_to() -> None:
    from monitoring.drift.detectors import DETECTORS
    from monitoring.drift.drift_report import DriftReport

    text = (DOCS / "how-to" / "review-a-drift-report.md").read_text(encoding="utf-8")
    fields, detectors = section(text, "Read it").split("| Detector |")
    assert set(first_cells(fields)) <= {field.name for field in dataclasses.fields(DriftReport)}
    cells = [row.split("|")[1] for row in detectors.splitlines() if row.startswith("| `")]
    named = re.findall(r"`(\w+)`", " ".join(cells))
    assert named == [detector.name for detector in DETECTORS]


def test_prose_has_the_numbers_of_the_gate_and_the_policy() -> None:
    from feature_checks import thresholds
    from monitoring import drift_thresholds

    gate, verify, policy = thresholds.load().gate, thresholds.load().verify, drift_thresholds.load().policy
    data = (DOCS / "how-to" / "own-data.md").read_text(encoding="utf-8")
    drift = " ".join((DOCS / "how-to" / "review-a-drift-report.md").read_text(encoding="utf-8").split())
    assert f"by at least {gate.min_gain_over_baseline} macro-F1" in data
    assert f"at least {verify.min_label_agreement:.1%}".replace("%", " %") in data
    assert f"no class loses more than {gate.max_class_f1_loss} F1" in data
    assert f"changes by −{-gate.min_macro_f1_change} or more" in data
    assert f"above −{-gate.min_change_bound}" in data
    words = " ".join(data.split())
    assert f"calibration error is at most {gate.max_calibration_error}" in words
    assert f"at least {gate.min_behaviour_share:.0%}".replace("%", " %") + " of the behavioural cases pass" in words
    assert f"cases that pass falls by at most {gate.max_behaviour_loss}" in words
    assert f"no slice of at least {gate.min_slice_rows} rows" in words
    assert f"loses more than {gate.max_slice_loss} macro-F1 beyond chance" in words
    assert f"mean gain in log-probability is above {gate.min_new_domain_gain:g}." in words
    assert f"macro-F1 on the same rows is above −{-gate.min_new_domain_change_bound}" in words
    assert f"at least {gate.min_new_domain_rows} held-out labels" in words
    first, second = (f"{gate.attempt_level(attempt):.1%}".replace("%", " %") for attempt in (1, 2))
    assert f"{first} for the first, {second} for the second" in words
    assert f"the last {gate.attempt_days} days" in words
    feedback, labels = (
        drift_thresholds.load().feedback,
        (DOCS / "how-to" / "label-feedback.md").read_text(encoding="utf-8"),
    )
    assert f"more than {feedback.max_user_labels} labels of one user in a day" in labels
    assert f"than {100 * feedback.max_excess:.0f} percentage points" in labels
    assert f"a confidence of {feedback.unconfirmed_confidence} or more" in labels
    numbers = {2: "Two", 3: "three"}
    assert f"{numbers[policy.alarms]} of the last {numbers[policy.windows]} judged windows" in drift
    assert f"At least {policy.cooldown_windows} windows were judged" in drift
    assert f"At least {policy.min_new_labels} new labelled rows" in drift
