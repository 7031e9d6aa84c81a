"""Looks up registered models: `models:/name@alias` or `models:/name/version`.

There are two resolvers. One uses MLflow's REST API of an `http(s)://` tracking server. The other, for `sqlite://`,
asks a child process that imports mlflow: importing it here would take seconds of start-up time and hold the
interpreter lock.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from serving.redaction import without_credentials
from serving.settings import Settings

logger = logging.getLogger(__name__)

_MODEL_URI: Final = re.compile(r"models:/+(?P<name>[^@/]+)(?:@(?P<alias>[^@/]+)|/(?P<version>\d+))")
_SECONDS: Final = 10.0


class RegistryError(Exception):
    """The registry cannot be reached, or does not know the model.

    The message is shown to clients: it holds no address, path or credentials. `detail` is for the log.
    """

    def __init__(self, message: str, detail: object = "") -> None:
        """Of `detail`, credentials in URLs are removed."""
        super().__init__(message)
        self.detail = without_credentials(str(detail))


@dataclass(frozen=True)
class ModelUri:
    """A reference to a registered model: exactly one of `alias` and `version` is set."""

    name: str
    alias: str | None
    version: str | None

    @property
    def reference(self) -> str:
        """The reference as MODEL_URI has it."""
        return f"models:/{self.name}@{self.alias}" if self.alias else f"models:/{self.name}/{self.version}"

    @classmethod
    def parse(cls, uri: str) -> ModelUri:
        """Return the parsed reference. Raises RegistryError unless it has one of the two forms."""
        match = _MODEL_URI.fullmatch(uri)
        if match is None:
            raise RegistryError(
                f"MODEL_URI: found {uri!r}; expected models:/name@alias, models:/name/3 or a bundle folder"
            )
        return cls(match["name"], match["alias"], match["version"])


@dataclass(frozen=True)
class ModelVersion:
    """A registered version. Several registries may have the same version number, but not the same artifact URI."""

    version: str
    artifact_uri: str
    """The folder of the logged model's files."""

    @property
    def key(self) -> str:
        """A folder name that no other version has."""
        return f"{self.version}-{hashlib.sha256(self.artifact_uri.encode()).hexdigest()[:12]}"


class Resolver(Protocol):
    """Looks a reference up. It blocks: call it from a thread.

    Example: `resolver_for(settings).resolve(ModelUri.parse("models:/review-sentiment@champion")).version`.
    """

    def resolve(self, uri: ModelUri) -> ModelVersion:
        """Return the version that `uri` means now. Raises RegistryError."""

    def close(self) -> None:
        """End connections and processes."""


def resolver_for(settings: Settings) -> Resolver:
    """Return the resolver for MLFLOW_TRACKING_URI. Raises RegistryError for an unknown scheme."""
    uri = settings.mlflow_tracking_uri
    if uri.startswith(("http://", "https://")):
        return HttpResolver(registry_client(settings))
    if uri.startswith("sqlite:///"):
        return SqliteResolver(uri)
    scheme = uri.partition(":")[0]
    raise RegistryError(
        f"MLFLOW_TRACKING_URI: found the scheme {scheme!r}; expected http://…, https://… or sqlite:///…", uri
    )


def registry_client(settings: Settings) -> httpx.Client:
    """Return an HTTP client for the tracking server, with MLflow's own credentials variables applied."""
    headers, auth = {}, None
    if settings.mlflow_tracking_token:
        headers["Authorization"] = f"Bearer {settings.mlflow_tracking_token.get_secret_value()}"
    elif settings.mlflow_tracking_username and settings.mlflow_tracking_password:
        auth = (settings.mlflow_tracking_username, settings.mlflow_tracking_password.get_secret_value())
    return httpx.Client(base_url=settings.mlflow_tracking_uri.rstrip("/"), headers=headers, auth=auth, timeout=_SECONDS)


class HttpResolver:
    """MLflow's REST API: registered-models/alias and model-versions/get-download-uri."""

    def __init__(self, client: httpx.Client) -> None:
        """`client` has the tracking server as its base URL."""
        self._client = client

    def resolve(self, uri: ModelUri) -> ModelVersion:
        """Return the version that `uri` means now. Raises RegistryError."""
        version = uri.version
        if version is None:
            found = self._get("registered-models/alias", name=uri.name, alias=uri.alias or "")
            version = str(found["model_version"]["version"])
        found = self._get("model-versions/get-download-uri", name=uri.name, version=version)
        return ModelVersion(version, str(found["artifact_uri"]))

    def _get(self, call: str, **parameters: str) -> dict[str, Any]:
        path = f"/api/2.0/mlflow/{call}"
        try:
            response = self._client.get(path, params=parameters)
            content = response.json() if response.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise RegistryError(
                f"the model registry cannot be reached ({type(error).__name__})",
                f"{self._client.base_url}{path}: {error}",
            ) from error
        if response.status_code != httpx.codes.OK:
            detail = content.get("message", response.reason_phrase) if isinstance(content, dict) else content
            raise RegistryError(
                f"the model registry answered {response.status_code} for {parameters}",
                f"{self._client.base_url}{path}: {detail}",
            )
        return dict(content)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class SqliteResolver:
    """Asks a child process (`serving.models.mlflow_child`) that is started at the first look-up and kept."""

    def __init__(self, tracking_uri: str) -> None:
        """`tracking_uri` is `sqlite:///path`."""
        self._tracking_uri = tracking_uri
        self._child: subprocess.Popen[str] | None = None

    def resolve(self, uri: ModelUri) -> ModelVersion:
        """Return the version that `uri` means now. Raises RegistryError."""
        database = Path(self._tracking_uri.removeprefix("sqlite:///"))
        if not database.is_file():
            raise RegistryError("MLFLOW_TRACKING_URI: the database does not exist; register a model first", database)
        answer = self._ask({"name": uri.name, "alias": uri.alias, "version": uri.version})
        if "error" in answer:
            raise RegistryError(
                f"the model registry does not know {uri.reference}", f"{self._tracking_uri}: {answer['error']}"
            )
        return ModelVersion(answer["version"], answer["artifact_uri"])

    def _ask(self, question: dict[str, str | None]) -> dict[str, str]:
        child = self._running_child()
        if child.stdin is None or child.stdout is None:
            raise RegistryError("the model registry cannot be asked", "the MLflow child process has no pipes")
        try:
            child.stdin.write(json.dumps(question) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except OSError as error:
            raise RegistryError("the model registry cannot be asked", f"the MLflow child process: {error}") from error
        if not line:
            raise RegistryError(
                "the model registry cannot be asked",
                f"the MLflow child process ended with code {child.wait()}; its errors are above",
            )
        return dict(json.loads(line))

    def _running_child(self) -> subprocess.Popen[str]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            command = [sys.executable, "-m", "serving.models.mlflow_child", self._tracking_uri]
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
            )
        return self._child

    def close(self) -> None:
        """Kill the child process; it only reads, so nothing can be lost."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
