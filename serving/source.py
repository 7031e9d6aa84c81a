"""MODEL_URI → prepared models: from the bundle cache, from the registry, or from a plain bundle folder.

Blocking, and free of KServe: the first model is prepared in a thread while KServe is still being imported.
"""

from __future__ import annotations

import logging
from functools import cached_property, partial
from pathlib import Path
from typing import Final

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle, BundleError
from serving.bundle_store import BundleStore
from serving.loading import Prepared, prepare
from serving.registry import ModelUri, ModelVersion, RegistryError, Resolver, resolver_for
from serving.settings import Settings

logger = logging.getLogger(__name__)

_REGISTERED: Final = "models:/"


class ModelSource:
    """Where models come from."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened before it is needed."""
        self._settings = settings
        self._store = BundleStore(settings)

    @cached_property
    def _resolver(self) -> Resolver:
        return resolver_for(self._settings)

    @property
    def follows(self) -> bool:
        """Tell whether MODEL_URI can come to mean another model: only an alias can."""
        uri = self._settings.model_uri
        return uri.startswith(_REGISTERED) and ModelUri.parse(uri).alias is not None

    def from_disk(self) -> tuple[ModelVersion, Prepared] | None:
        """Return the model that can be served without asking anyone, or None.

        Raises BundleError when the bundle there must not be served.
        """
        if not self._settings.model_uri.startswith(_REGISTERED):
            return self._from_folder()
        version_served = self._store.last_served()
        if version_served is None:
            return None
        bundle = bundles.load(self._store.folder(version_served))
        return version_served, self._prepare(version_served, bundle)

    def resolve(self) -> ModelVersion:
        """Return what MODEL_URI means now. Raises RegistryError or BundleError."""
        uri = self._settings.model_uri
        if uri.startswith(_REGISTERED):
            return self._resolver.resolve(ModelUri.parse(uri))
        return _folder_version(bundles.load(Path(uri)))

    def prepare(self, version: ModelVersion) -> Prepared:
        """Return the version, warm and self-tested, fetched where it is not here.

        Raises BundleError when it must not be served, RegistryError when it cannot be fetched.
        """
        uri = self._settings.model_uri
        if uri.startswith(_REGISTERED):
            return self._prepare(version, self._store.obtain(version))
        return self._from_folder()[1]

    def _from_folder(self) -> tuple[ModelVersion, Prepared]:
        bundle = bundles.load(Path(self._settings.model_uri))
        version = _folder_version(bundle)
        return version, prepare(version.version, bundle, partial(_local_fp32, bundle))

    def _prepare(self, version: ModelVersion, bundle: Bundle) -> Prepared:
        return prepare(version.version, bundle, partial(self._store.obtain_fp32, version, bundle))

    def mark_served(self, version: ModelVersion) -> None:
        """Remember the version as the one that a restart begins with."""
        if self._settings.model_uri.startswith(_REGISTERED):
            self._store.mark_served(version)

    def close(self) -> None:
        """End connections and the child process."""
        if "_resolver" in self.__dict__:
            self._resolver.close()
        self._store.close()


def _folder_version(bundle: Bundle) -> ModelVersion:
    return ModelVersion(bundle.digest[:12], str(bundle.folder))


def _local_fp32(bundle: Bundle) -> Path:
    bundle.manifest.fp32.verify(bundle.fp32_path)
    return bundle.fp32_path


def first_model(source: ModelSource) -> tuple[ModelVersion, Prepared] | None:
    """Return the model to begin with, or None with the reason logged: the registry is asked then."""
    try:
        return source.from_disk()
    except (BundleError, RegistryError) as error:
        logger.warning("the bundle on disk cannot be served: %s", error)
        return None
