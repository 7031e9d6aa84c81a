"""What runs beside the command: the model registry with its champion, and the ports that the predictor takes."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from feature_checks.contract import MODEL_NAME
from feature_checks.state import state_dir
from pipelines.cli.machine import Finding

PORTS: Final = {"HTTP_PORT": 8080, "GRPC_PORT": 8081, "MLFLOW_PORT": 5000}
"""Environment variables of the ports, and their defaults."""
_NO_ALIAS: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's error codes where no version has the alias."""
_TRAIN: Final = "review-sentiment train registers the first version"


def service_findings() -> Iterator[Finding]:
    """Yield the registry, its champion and the ports.

    Example: `[finding.value for finding in service_findings() if finding.name == "champion"]`.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state_dir() / 'mlflow.db'}"
    yield from registry(uri)
    for variable, default in PORTS.items():
        yield port(variable, int(os.environ.get(variable) or default))


def registry(uri: str) -> Iterator[Finding]:
    """Yield whether the registry at MLflow's tracking URI can be reached, and which version is its champion."""
    if uri.startswith("sqlite:///"):
        yield from _sqlite_registry(Path(uri.removeprefix("sqlite:///")))
    elif uri.startswith(("http://", "https://")):
        yield from _http_registry(uri)
    else:
        expected = "set MLFLOW_TRACKING_URI to http://…, https://… or sqlite:///…"
        yield Finding("missing", "registry", f"MLFLOW_TRACKING_URI is {uri!r}", expected)


def _sqlite_registry(database: Path) -> Iterator[Finding]:
    if not database.is_file():
        yield Finding("optional", "registry", f"{database} does not exist yet", _TRAIN)
        return
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            query = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = 'champion'"
            row = connection.execute(query, [MODEL_NAME]).fetchone()
    except sqlite3.Error as error:
        yield Finding("missing", "registry", f"{database}: {error}", "name MLflow's database in MLFLOW_TRACKING_URI")
        return
    yield Finding("ok", "registry", str(database))
    yield _champion(str(row[0]) if row else None)


def _http_registry(uri: str) -> Iterator[Finding]:
    """Ask as the predictor does, with the credentials that it would use."""
    import httpx

    from serving.models.registry import registry_client
    from serving.settings import Settings

    path = "/api/2.0/mlflow/registered-models/alias"
    with registry_client(Settings(mlflow_tracking_uri=uri)) as client:
        try:
            reply = client.get(path, params={"name": MODEL_NAME, "alias": "champion"}, timeout=5)
            content = reply.json()
        except (httpx.HTTPError, ValueError) as error:
            yield Finding("missing", "registry", f"{uri}: {error}", "start it, or change MLFLOW_TRACKING_URI")
            return
    if reply.status_code == 200 or content.get("error_code") in _NO_ALIAS:
        yield Finding("ok", "registry", uri)
        yield _champion(str(content["model_version"]["version"]) if reply.status_code == 200 else None)
    else:
        remedy = "check MLFLOW_TRACKING_URI and MLFLOW_TRACKING_USERNAME, _PASSWORD or _TOKEN"
        yield Finding("missing", "registry", f"{uri} answered {reply.status_code} {reply.reason_phrase}", remedy)


def _champion(version: str | None) -> Finding:
    if version is None:
        return Finding("optional", "champion", "no version yet", _TRAIN)
    return Finding("ok", "champion", f"version {version}")


def port(variable: str, number: int) -> Finding:
    """Return whether a TCP port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", number))
        except OSError as error:
            remedy = f"end the program that holds it, or set {variable}"
            return Finding("optional", f"port {number}", str(error.strerror), remedy)
    return Finding("ok", f"port {number}", "free")
