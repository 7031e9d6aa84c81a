"""Fixtures that all tests share: the real reviews, tiny models, and a state folder for each test."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from components.datasets import icwsm2014
from feature_checks.bundle import Bundle
from feature_checks.splits import assign_splits
from tests.support import tiny_models

os.environ.setdefault("DO_NOT_TRACK", "true")


@pytest.fixture(scope="session")
def data_cache() -> Path:
    """Return the clone's own download cache, so that a test run fetches the default data at most once."""
    return Path(".local/data").absolute()


@pytest.fixture(scope="session")
def reviews(data_cache: Path) -> pd.DataFrame:
    """Return the Amazon reviews with their splits."""
    return assign_splits(icwsm2014.load(["amazon"], data_cache))


@pytest.fixture(scope="session")
def small_reviews() -> pd.DataFrame:
    """Return reviews that MiniLM learns in seconds."""
    return tiny_models.easy_reviews()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a fresh STATE_DIR with its own MLflow database."""
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained tiny model as a Hugging Face folder."""
    return tiny_models.write_tiny_bert(tmp_path_factory.mktemp("tiny") / "checkpoint", spread=0.5)


@pytest.fixture(scope="session")
def tiny_base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same with small initial weights, so that it learns `small_reviews` in seconds."""
    return tiny_models.write_tiny_bert(tmp_path_factory.mktemp("base") / "checkpoint", spread=0.05)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path) -> Bundle:
    """Return the tiny model, exported for real."""
    return tiny_models.export_tiny(tiny_checkpoint, tiny_checkpoint.parent / "export")
