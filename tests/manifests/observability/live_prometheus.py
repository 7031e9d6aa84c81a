"""A real Prometheus that scrapes a running predictor and evaluates the rules."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.ports import free_port
from tests.support.waiting import until

from ..render import MANIFESTS, tool

HOW = "apt-get install prometheus (Debian, Ubuntu)"
NAMESPACE = "review-sentiment-prod"
SCRAPE_SECONDS = 1
RULES = MANIFESTS / "alerts" / "rules.yaml"
LABELS = {"namespace": NAMESPACE, "inferenceservice": "sentiment", "pod": "sentiment-1"}
"""What the operator's relabelling adds to every series on a cluster."""
SENTENCES = (
    "The zoom is superb.",
    "It broke after two days and nobody answers.",
    "The manual has forty pages.",
    "Sound and picture are better than I had hoped for.",
    "The battery does not last an evening.",
)
"""Of every label, so that the panels about answers move."""


@dataclass(frozen=True)
class Prometheus:
    """Its address."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query. Raises AssertionError with Prometheus's own words."""
        return self._get("query", {"query": expression})

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the series of a range query: `values` are pairs of a Unix time and a number as text."""
        limits = {"start": str(start), "end": str(end), "step": str(step)}
        return self._get("query_range", {"query": expression} | limits)

    def rule_groups(self) -> list[dict[str, Any]]:
        """Return the groups of loaded rules, each rule with the health of its last evaluation."""
        groups: list[dict[str, Any]] = httpx.get(f"{self.url}/api/v1/rules", timeout=30).json()["data"]["groups"]
        return groups

    def _get(self, path: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        reply = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        content = reply.json()
        assert content["status"] == "success", f"{parameters['query']}: {content.get('error')}"
        result: list[dict[str, Any]] = content["data"]["result"]
        return result


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run Prometheus on loopback with the rules of the manifests; it scrapes `target` (host:port) every second."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8").replace("PARAMETER", NAMESPACE))["spec"]
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [{"job_name": "predictor", "static_configs": [{"targets": [target], "labels": LABELS}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [tool("prometheus", HOW), f"--config.file={folder / 'prometheus.yaml'}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    running = Prometheus(f"http://{address}")
    try:
        until(lambda: _ready(running.url), 60)
        yield running
    finally:
        process.terminate()
        process.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard."""
    dashboard = json.loads((MANIFESTS / "dashboards" / "sentiment.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = dashboard["panels"]
    return found


async def light_load(url: str, seconds: float, rate: float = 12.0) -> dict[int, int]:
    """Send V2 requests of one to eight texts from two users, a third of them repeated; return how many had each status.

    The busy user sends three quarters of them, so that a limit can be chosen that refuses only that user's.
    """
    statuses: dict[int, int] = {}
    end, number = time.monotonic() + seconds, 0
    async with httpx.AsyncClient(timeout=30) as client:
        while time.monotonic() < end:
            first = number if number % 3 else number // 9
            texts = [f"Review {first}: {SENTENCES[(first + part) % len(SENTENCES)]}" for part in range(1 + number % 8)]
            tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
            user = {"X-User-Id": "busy" if number % 4 else "calm"}
            reply = await client.post(url, json={"inputs": [tensor]}, headers=user)
            statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
            number += 1
            await asyncio.sleep(1 / rate)
    return statuses


def filled(expression: str, interval: str = "15s") -> str:
    """Return a panel's expression with the dashboard's variables filled in."""
    return expression.replace("$__rate_interval", interval).replace("$namespace", NAMESPACE)
