"""The back ends of a cluster, real and on loopback, shared by the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from s3fs import S3FileSystem

from tests.backends.stack import Backends, backends


@pytest.fixture(scope="session")
def backends_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """Return PostgreSQL, S3, MLflow and Redis, running."""
    with backends(tmp_path_factory.mktemp("backends")) as running:
        yield running


@pytest.fixture
def cluster(backends_of_session: Backends, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backends]:
    """Return them with the environment leading to them."""
    for name, setting in backends_of_session.variables.items():
        monkeypatch.setenv(name, setting)
    S3FileSystem.clear_instance_cache()
    yield backends_of_session
    S3FileSystem.clear_instance_cache()
