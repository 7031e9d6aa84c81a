"""Removes rejected versions of the registered model after a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from components.registry import promotions
from components.registry.client import connect
from feature_checks.contract import MODEL_NAME


def rejected_versions(days: float) -> list[str]:
    """Return the rejected versions that are older than `days` and have no alias, oldest first.

    A version that is or was champion is never among them. The gate counts rejected versions as attempts for
    `attempt_days` (thresholds.toml), so younger ones should stay.

    Example: `rejected_versions(365)`.
    """
    limit = 1000 * (datetime.now(UTC) - timedelta(days=days)).timestamp()
    # A search returns versions without their aliases.
    kept = {*promotions.champions(), *map(str, connect().get_registered_model(MODEL_NAME).aliases.values())}
    found = connect().search_model_versions(f"name='{MODEL_NAME}'", max_results=1000)
    numbers = [
        int(version.version)
        for version in found
        if version.tags.get("gate") == "rejected"
        and version.creation_timestamp < limit
        and str(version.version) not in kept
    ]
    return [str(number) for number in sorted(numbers)]


def remove(version: str) -> None:
    """Delete a version and its training run. `mlflow gc` frees the run's artifacts."""
    client = connect()
    run_id = client.get_model_version(MODEL_NAME, version).run_id
    client.delete_model_version(MODEL_NAME, version)
    if run_id:
        client.delete_run(run_id)
