"""The routes that say something about the server and its model: health, metadata, index, OpenAPI."""

from __future__ import annotations

from serving import metadata
from serving.errors import NotReady
from serving.exchange import Exchange, Reply, json_reply
from serving.openapi import docs_page, openapi_document
from serving.predictor import Predictor
from serving.settings import Settings


class StatusPages:
    """One handler a route."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        """Speaks for `predictor`."""
        self._predictor = predictor
        self._document = openapi_document(settings.model_name)

    async def root(self, _: Exchange) -> Reply:
        """V1 liveness."""
        return json_reply({"status": "alive"})

    async def live(self, _: Exchange) -> Reply:
        """V2 liveness: the process answers."""
        return json_reply({"live": True})

    async def ready(self, _: Exchange) -> Reply:
        """V2 readiness. Raises NotReady unless the model would answer and the server means to stay."""
        self._require_ready()
        return json_reply({"ready": True})

    async def model_ready(self, exchange: Exchange) -> Reply:
        """Readiness of the model or of one version, V1 and V2. Raises NotReady or NotFound."""
        self._require_ready()
        self._predictor.model(exchange.version)
        return json_reply({"name": self._predictor.name, "ready": True})

    def _require_ready(self) -> None:
        if not self._predictor.usable:
            raise NotReady(self._predictor.why_not_ready, retry_after=5)

    async def list_models(self, _: Exchange) -> Reply:
        """Names of the models."""
        return json_reply({"models": [self._predictor.name]})

    async def server_metadata(self, _: Exchange) -> Reply:
        """V2 server metadata."""
        return json_reply(metadata.server_metadata())

    async def model_metadata(self, exchange: Exchange) -> Reply:
        """V2 model metadata. Raises NotFound for a version that is not loaded."""
        if exchange.version is not None:
            self._predictor.model(exchange.version)
        return json_reply(metadata.model_metadata(self._predictor.name, self._predictor.versions))

    async def index(self, _: Exchange) -> Reply:
        """Model repository index."""
        it = self._predictor
        return json_reply(metadata.repository_index(it.name, it.versions, it.usable, it.why_not_ready))

    async def openapi(self, _: Exchange) -> Reply:
        """The OpenAPI document."""
        return json_reply(self._document)

    async def docs(self, _: Exchange) -> Reply:
        """The OpenAPI document as a page."""
        return Reply(200, docs_page(self._document).encode(), b"text/html; charset=utf-8")
