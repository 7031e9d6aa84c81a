"""The environment → Settings: defaults as documented, errors that name the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pydantic
import pytest
from pydantic import SecretStr

from serving.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets is set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_defaults() -> None:
    settings = Settings()
    assert settings.model_name == "sentiment"
    assert settings.model_uri == "models:/review-sentiment@champion"
    assert settings.mlflow_tracking_uri == "sqlite:///.local/mlflow.db"
    assert (settings.http_port, settings.grpc_port) == (8080, 8081)
    assert settings.rate_limit == "100/minute"
    assert settings.prediction_log == ".local/predictions"
    assert settings.trusted_proxies == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert (settings.max_texts, settings.max_body_bytes) == (10_000, 16 * 1024 * 1024)


def test_state_dir_moves_what_lies_under_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    settings = Settings()
    assert settings.mlflow_tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert settings.prediction_log == f"{tmp_path}/predictions"


def test_the_limiters_redis_is_the_caches_unless_it_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://cache")
    assert Settings().rate_limit_redis_url == SecretStr("redis://cache")
    monkeypatch.setenv("RATE_LIMIT_REDIS_URL", "redis://limiter")
    assert Settings().rate_limit_redis_url == SecretStr("redis://limiter")


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    assert (Settings().http_port, Settings().redis_url, len(Settings().trusted_proxies)) == (8080, None, 2)
    assert os.environ["HTTP_PORT"] == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("http_port", "eighty"), ("http_port", "70000"), ("cache", "maybe"), ("trusted_proxies", "everyone"),
     ("alias_poll_seconds", "0"), ("log_text", "loud")],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name.upper(), value)
    with pytest.raises(pydantic.ValidationError) as caught:
        Settings()
    assert [problem["loc"] for problem in caught.value.errors()] == [(name,)]


def test_every_setting_is_described() -> None:
    assert [name for name, setting in Settings.model_fields.items() if not setting.description] == []


@pytest.mark.parametrize(
    "url", ["rediss://:secr/et@host:6379/0", "redis://:secret@host?ssl_ca_certs=/ca.pem", "secret-host:6379"]
)
def test_a_redis_url_that_no_connection_can_be_made_from_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    variables = os.environ | {"REDIS_URL": url, "STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "serving"]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "REDIS_URL" in result.stderr
    assert "URL-quoted" in result.stderr
    assert "secr" not in result.stderr.replace("'a secret'", "")
