"""The same run on two sets of back ends (SQLite, files, memory; PostgreSQL, S3, Redis): only variables differ."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pandas as pd
import psycopg
import pytest
from redis import Redis

from tests.backends import flow
from tests.backends.flow import Outcome
from tests.backends.stack import Backends

REDIS_HITS = 'sentiment_cache_lookups_total{tier="redis"}'
REDIS_DECISIONS = 'sentiment_rate_limit_decisions_total{decision="allowed",source="redis"}'


@pytest.fixture
def enough_reviews(small_reviews: pd.DataFrame) -> pd.DataFrame:
    """Reviews enough for a reference window."""
    texts = small_reviews["text"].str.replace("The ", "My ")
    return pd.concat([small_reviews, small_reviews.assign(text=texts, group_id="my-" + small_reviews["group_id"])])


@pytest.mark.timeout(600)
def test_the_job_on_sqlite_files_and_memory(state: Path, enough_reviews: pd.DataFrame, tiny_base_model: Path) -> None:
    outcome = flow.run(state / "job", enough_reviews, tiny_base_model)
    check(outcome)
    assert (state / "mlflow.db").is_file()
    assert list((state / "predictions").rglob("predictions-*.jsonl"))
    assert count(outcome.metrics, REDIS_HITS) == count(outcome.metrics, REDIS_DECISIONS) == 0


@pytest.mark.timeout(600)
def test_the_same_job_on_postgresql_s3_and_redis(
    state: Path, cluster: Backends, enough_reviews: pd.DataFrame, tiny_base_model: Path
) -> None:
    outcome = flow.run(state / "job", enough_reviews, tiny_base_model)
    check(outcome)
    assert not (state / "mlflow.db").exists()
    assert not (state / "predictions").exists()
    with psycopg.connect(cluster.database) as database:
        found = database.execute("select alias, version from registered_model_aliases where alias = 'champion'")
        assert found.fetchall() == [("champion", 1)]
    s3 = fsspec.filesystem("s3")
    assert [path for path in s3.find("models/artifacts") if path.endswith("bundle/bundle.json")]
    assert s3.find("reviews/predictions-drift/history")
    assert count(outcome.metrics, REDIS_HITS) >= 10
    assert count(outcome.metrics, REDIS_DECISIONS) > 100
    assert count(outcome.metrics, "sentiment_redis_failures_total") == 0
    for name in ("REDIS_URL", "RATE_LIMIT_REDIS_URL"):
        with Redis.from_url(cluster.variables[name]) as client:
            assert client.dbsize() > 0


def check(outcome: Outcome) -> None:
    """Check what must hold on every set of back ends."""
    assert (outcome.alias, outcome.version, outcome.served_version) == ("champion", "1", "1")
    assert outcome.accuracy > 0.9
    assert outcome.repeated_equal
    assert outcome.rate_limit_headers == {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}
    assert (outcome.watched["status"], outcome.watched["drift"]) == ("judged", False), outcome.watched["reasons"]
    assert (outcome.labelled, outcome.action) == ("", "OK")


def count(metrics: str, name: str) -> float:
    """Return the sum of the samples whose line begins with `name`."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith(name))
