"""The alert rules, by promtool: they parse, and each alert fires and ends."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..render import MANIFESTS, tool

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("alert_cases*.yaml"))
HOW = "apt-get install prometheus (Debian, Ubuntu), or https://prometheus.io/download/"
SPEC: dict[str, Any] = yaml.safe_load((MANIFESTS / "alerts" / "rules.yaml").read_text(encoding="utf-8"))["spec"]
CASE = re.compile(r'alertname="(\w+)", severity="(\w+)"')


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("promtool", HOW), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The rules as Prometheus reads them: what the operator takes out of the PrometheusRule."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(SPEC), encoding="utf-8")
    return path


def test_the_rules_are_valid(rules: Path) -> None:
    done = promtool("check", "rules", "--lint-fatal", str(rules))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_end(cases: Path, rules: Path) -> None:
    copied = rules.with_name(cases.name)
    copied.write_text(cases.read_text(encoding="utf-8"), encoding="utf-8")
    done = promtool("test", "rules", str(copied))
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_with_another_threshold_is_noticed(rules: Path) -> None:
    text = rules.read_text(encoding="utf-8")
    assert "90 * 86400" in text
    rules.write_text(text.replace("90 * 86400", "180 * 86400"), encoding="utf-8")
    copied = rules.with_name("cases.yaml")
    copied.write_text((HERE / "alert_cases.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    done = promtool("test", "rules", str(copied))
    assert done.returncode != 0
    assert "SentimentChampionOld" in done.stdout + done.stderr


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_has_ended() -> None:
    fired: dict[tuple[str, str], int] = {}
    ended = set()
    for path in CASES:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            seen = set()
            for check in test["promql_expr_test"]:
                (match,) = [CASE.search(check["expr"])]
                assert match is not None
                alert = (match[1], match[2])
                if check["exp_samples"]:
                    seen.add(alert)
                    fired[alert] = check["exp_samples"][0]["value"]
                elif alert in seen:
                    ended.add(alert)
    alerts = {
        (rule["alert"], rule["labels"]["severity"])
        for group in SPEC["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert set(fired) == alerts
    assert ended == alerts
