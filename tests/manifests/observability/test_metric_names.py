"""Every metric that an alert or a panel asks for is one that the server exports, with the labels it asks for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from serving.telemetry import metrics
from serving.telemetry.loop_metrics import LoopCounter, LoopHistogram

from ..render import MANIFESTS

NAME = re.compile(r"\bsentiment_[a-z_]+")
SELECTOR = re.compile(r"\b(sentiment_[a-z_]+)\{([^}]*)\}")
PROMETHEUS_ADDS = {"namespace", "pod", "le", "inferenceservice"}
KNATIVE = {"http_server_request_duration_seconds_count"}
"""What Knative exports itself: its queue-proxy and activator, by OpenTelemetry's names."""


def exported() -> set[str]:
    """Names of the samples that a scrape can hold, of metrics without observations too."""
    names = set()
    for family in REGISTRY.collect():
        suffixes = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",), "gauge": ("",)}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, ())}
    return names


def label_names() -> dict[str, set[str]]:
    """Label names by metric, of ours."""
    found = {}
    for value in vars(metrics).values():
        if isinstance(value, LoopCounter | LoopHistogram):
            found[value.name.removesuffix("_total")] = set(value.label_names)
        elif hasattr(value, "_labelnames"):
            found[value._name] = set(value._labelnames)
    return found


def queries() -> dict[str, str]:
    """Every query of the dashboard and the rules, by where it stands."""
    dashboard = json.loads((MANIFESTS / "dashboards" / "sentiment.json").read_text(encoding="utf-8"))
    found = {
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    rules: dict[str, Any] = yaml.safe_load((MANIFESTS / "alerts" / "rules.yaml").read_text(encoding="utf-8"))
    for group in rules["spec"]["groups"]:
        for number, rule in enumerate(group["rules"]):
            found[f"rule {rule.get('alert', rule.get('record'))} {number}"] = rule["expr"]
    return found


@pytest.mark.parametrize("where", queries())
def test_a_query_names_what_is_exported(where: str) -> None:
    query, recorded = queries()[where], "sentiment:"
    names = set(NAME.findall(query))
    assert names or recorded in query or any(name in query for name in KNATIVE)
    assert names <= exported()


@pytest.mark.parametrize("where", queries())
def test_a_query_selects_by_labels_that_exist(where: str) -> None:
    for name, selector in SELECTOR.findall(queries()[where]):
        base = re.sub(r"_(bucket|count|sum|total)$", "", name)
        known = label_names().get(base, set()) | PROMETHEUS_ADDS
        assert set(re.findall(r"(\w+)\s*[=!]~?", selector)) <= known, name


def test_recorded_series_are_recorded() -> None:
    text = " ".join(queries().values())
    recorded = {where.split()[1] for where in queries() if where.startswith("rule sentiment:")}
    assert set(re.findall(r"sentiment:\w+:\w+", text)) <= recorded


def test_panels_do_not_overlap() -> None:
    dashboard = json.loads((MANIFESTS / "dashboards" / "sentiment.json").read_text(encoding="utf-8"))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def test_a_metric_that_nobody_exports_is_noticed() -> None:
    assert "sentiment_log_lines_dropped_total" not in exported()
    assert {"sentiment_dropped_log_lines_total", "sentiment_request_seconds_bucket", "sentiment_ready"} <= exported()
