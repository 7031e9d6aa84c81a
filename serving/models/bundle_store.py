"""Bundles on disk: fetched from the registry's artifact store, verified, and limited in number.

STATE_DIR/bundles/
  served.json                  the version that was served last, so that a restart needs no registry
  <version>-<digest>/bundle/…  one registered version
  <version>-<digest>/fp32/…    its FP32 model, if this node needs it
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Final

import httpx

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle, BundleError
from serving.models.registry import ModelVersion, RegistryError, registry_client
from serving.settings import Settings

logger = logging.getLogger(__name__)

BUNDLE: Final = "bundle"
_POINTER: Final = "served.json"
_CHUNK: Final = 1 << 20

_LOCAL_DISK_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

Fetch = Callable[[str, Path], None]
"""Copies the file at an artifact URI to a path. Raises RegistryError."""


class BundleStore:
    """The bundle cache under STATE_DIR. It blocks: call it from a thread.

    Example: `BundleStore(settings).obtain(version).folder`.
    """

    def __init__(self, settings: Settings, fetch: Fetch | None = None) -> None:
        """`fetch` copies one artifact; by default the scheme of the artifact URI decides how."""
        self._folder = settings.state_dir / "bundles"
        self._settings = settings
        self._fetch = fetch or Fetcher(settings)

    def folder(self, version: ModelVersion) -> Path:
        """Return the folder of the version's bundle, which may not have been fetched yet."""
        return self._folder / version.key / BUNDLE

    def last_served(self) -> ModelVersion | None:
        """Return the version that was served last under the same MODEL_URI, if its bundle is still on disk."""
        path = self._folder / _POINTER
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = ModelVersion(**content.pop("served"))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("%s is not readable (%s): the registry is asked instead", path, error)
            return None
        return version if content == self._source() and self.folder(version).is_dir() else None

    def _source(self) -> dict[str, str]:
        return {"model_uri": self._settings.model_uri, "registry": self._settings.mlflow_tracking_uri}

    def obtain(self, version: ModelVersion) -> Bundle:
        """Return the version's verified bundle; it is fetched unless it is on disk.

        Raises BundleError if it must not be served, RegistryError if it cannot be fetched.
        """
        folder = self.folder(version)
        if folder.is_dir():
            try:
                return bundles.load(folder)
            except BundleError as error:
                logger.warning("the cached bundle is damaged and is fetched again: %s", error)
                shutil.rmtree(folder.parent)
        partial = self._folder / f"partial-{version.key}"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            self._download(version, partial / BUNDLE)
            bundles.load(partial / BUNDLE)
            partial.rename(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return bundles.load(folder)

    def _download(self, version: ModelVersion, target: Path) -> None:
        target.mkdir(parents=True)
        self._fetch(_artifact(version, f"{BUNDLE}/{bundles.MANIFEST}"), target / bundles.MANIFEST)
        for name in _file_names(target / bundles.MANIFEST):
            self._fetch(_artifact(version, f"{BUNDLE}/{name}"), target / name)

    def obtain_fp32(self, version: ModelVersion, bundle: Bundle) -> Path:
        """Return the path of the bundle's FP32 model; it is fetched unless it is on disk. Raises as `obtain` does."""
        path = bundle.fp32_path
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            self._fetch(_artifact(version, bundles.FP32_MODEL), partial)
            bundle.manifest.fp32.verify(partial)
            partial.rename(path)
        bundle.manifest.fp32.verify(path)
        return path

    def record_served(self, version: ModelVersion) -> None:
        """Record the version as the one that was served last."""
        content = self._source() | {"served": asdict(version)}
        scratch = self._folder / f"{_POINTER}.new"
        scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
        scratch.replace(self._folder / _POINTER)
        os.utime(self.folder(version).parent)

    def remove_old(self) -> None:
        """Remove the bundles that were served longest ago, so that KEEP_BUNDLES remain."""
        kept = sorted(self._folder.glob(f"*/{BUNDLE}"), key=lambda path: path.parent.stat().st_mtime, reverse=True)
        for folder in kept[self._settings.keep_bundles :]:
            shutil.rmtree(folder.parent)

    def close(self) -> None:
        """Release the connections of the default fetcher."""
        if isinstance(self._fetch, Fetcher):
            self._fetch.close()


def _artifact(version: ModelVersion, path: str) -> str:
    return f"{version.artifact_uri.rstrip('/')}/artifacts/{path}"


def _file_names(manifest: Path) -> list[str]:
    try:
        names = list(json.loads(manifest.read_bytes())["files"])
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{manifest}: not a bundle manifest ({type(error).__name__}: {error})") from error
    if unsafe := [name for name in names if Path(name).name != name]:
        raise BundleError(f"{manifest}: files names {unsafe}; only plain file names are allowed")
    return names


class Fetcher:
    """Copies artifacts: `mlflow-artifacts:` through the tracking server, anything else with fsspec."""

    def __init__(self, settings: Settings) -> None:
        """`settings` name the tracking server and its credentials."""
        self._settings = settings

    @cached_property
    def _client(self) -> httpx.Client:
        # Made when it is first needed: its TLS context takes longer than opening a cached bundle.
        return registry_client(self._settings)

    def __call__(self, uri: str, target: Path) -> None:
        """Copy the file at `uri` to `target`. Raises RegistryError; OSError if the local disk is full or read-only."""
        scheme, _, path = uri.partition(":")
        try:
            if scheme == "mlflow-artifacts":
                self._from_server(path.lstrip("/"), target)
            else:
                _from_filesystem(uri, target)
        except (httpx.HTTPError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _LOCAL_DISK_ERRORS:
                raise
            name = uri.rpartition("/")[2]
            raise RegistryError(
                f"{name}: the artifact cannot be fetched ({type(error).__name__})", f"{uri}: {error}"
            ) from error

    def _from_server(self, path: str, target: Path) -> None:
        with self._client.stream("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}") as response:
            response.raise_for_status()
            with target.open("wb") as file:
                for chunk in response.iter_bytes(_CHUNK):
                    file.write(chunk)

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()


def _from_filesystem(uri: str, target: Path) -> None:
    import fsspec

    with fsspec.open(uri, "rb") as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
