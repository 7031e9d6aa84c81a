"""Finds and loads the model that MODEL_URI means, from the bundle cache, the registry or a plain bundle folder.

Everything here blocks, and nothing imports KServe: the first model is loaded in a thread while KServe is imported.
"""

from __future__ import annotations

import logging
from functools import cached_property, partial
from pathlib import Path
from typing import Final

from feature_checks import bundle as bundles
from feature_checks.bundle import Bundle, BundleError
from serving.inference.loading import PreparedModel, load_model
from serving.models.bundle_store import BundleStore
from serving.models.registry import ModelUri, ModelVersion, RegistryError, Resolver, resolver_for
from serving.settings import Settings

logger = logging.getLogger(__name__)

_REGISTERED: Final = "models:/"


class ModelSource:
    """Finds and loads models.

    Example: `source = ModelSource(Settings())`, then `source.load(source.resolve())`.
    """

    def __init__(self, settings: Settings) -> None:
        """Connections are opened when they are first needed."""
        self._settings = settings
        self._store = BundleStore(settings)

    @cached_property
    def _resolver(self) -> Resolver:
        return resolver_for(self._settings)

    @property
    def follows(self) -> bool:
        """Whether MODEL_URI may mean another model later: only an alias may."""
        return self.registered and ModelUri.parse(self._settings.model_uri).alias is not None

    @property
    def registered(self) -> bool:
        """Whether MODEL_URI names a model in the registry."""
        return self._settings.model_uri.startswith(_REGISTERED)

    def from_disk(self) -> tuple[ModelVersion, PreparedModel] | None:
        """Return the model that can be served without the registry, or None.

        Raises BundleError if its bundle must not be served.
        """
        if not self.registered:
            return self._from_folder()
        version_served = self._store.last_served()
        if version_served is None:
            return None
        bundle = bundles.load(self._store.folder(version_served))
        return version_served, self._load(version_served, bundle)

    def resolve(self) -> ModelVersion:
        """Return what MODEL_URI means now. Raises RegistryError or BundleError."""
        uri = self._settings.model_uri
        if self.registered:
            return self._resolver.resolve(ModelUri.parse(uri))
        return _folder_version(bundles.load(Path(uri)))

    def load(self, version: ModelVersion) -> PreparedModel:
        """Return the version, warmed up and self-tested; its bundle is fetched unless it is on disk.

        Raises BundleError if it must not be served, RegistryError if it cannot be fetched.
        """
        if self.registered:
            return self._load(version, self._store.obtain(version))
        return self._from_folder()[1]

    def _from_folder(self) -> tuple[ModelVersion, PreparedModel]:
        bundle = bundles.load(Path(self._settings.model_uri))
        version = _folder_version(bundle)
        return version, load_model(version.version, bundle, partial(_local_fp32, bundle))

    def _load(self, version: ModelVersion, bundle: Bundle) -> PreparedModel:
        return load_model(version.version, bundle, partial(self._store.obtain_fp32, version, bundle))

    def record_served(self, version: ModelVersion) -> None:
        """Record the version as the one that a restart begins with, and remove old bundles."""
        if self.registered:
            self._store.record_served(version)
            self._store.remove_old()

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


def first_model(source: ModelSource) -> tuple[ModelVersion, PreparedModel] | None:
    """Return the model to begin with; None, with the reason logged, if the registry must be asked first."""
    try:
        return source.from_disk()
    except (BundleError, RegistryError) as error:
        logger.warning("the bundle on disk cannot be served: %s", error)
        return None
