"""A model version in memory, with the number of requests that it is answering."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from feature_checks.documents.languages import Languages
from feature_checks.documents.languages import load as load_languages
from feature_checks.documents.max_error import MaxErrors
from feature_checks.documents.max_error import load as load_max_errors
from serving.inference.batcher import Batcher
from serving.inference.loading import PreparedModel


@dataclass(eq=False)
class LoadedModel:
    """One loaded version. Once replaced, it is unloaded after its last request is answered."""

    prepared: PreparedModel
    batcher: Batcher
    version: str = field(init=False)
    digest: str = field(init=False)
    """The digest of the bundle and the arithmetic: everything that a score depends on besides the text."""
    languages: Languages = field(init=False)
    """The languages that the model was trained for."""
    max_errors: MaxErrors | None = field(init=False)
    """Which confidence keeps which accepted error; None for a bundle without the table."""
    in_flight: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.version = self.prepared.version
        self.digest = f"{self.prepared.bundle.digest}:{self.prepared.arithmetic}"
        self.idle.set()
        self.languages = load_languages(self.prepared.bundle.folder)
        self.max_errors = load_max_errors(self.prepared.bundle.folder)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the version loaded until the block ends."""
        self.in_flight += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.idle.set()
