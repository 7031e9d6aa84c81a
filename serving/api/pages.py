"""The routes that say something about the server and its model: health, metadata, index, OpenAPI, pages for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import orjson

from serving.api.openapi.docs_page import docs_page
from serving.api.openapi.document import openapi_document
from serving.api.page import HTML, VARY, Asset, Page, prefers_html
from serving.api.request import JSON, HttpRequest, Reply, json_reply
from serving.errors import NotReady
from serving.predictor import Predictor
from serving.protocol import metadata
from serving.settings import Settings

_ALIVE: Final = Reply(200, orjson.dumps({"status": "alive"}), JSON, (VARY,))


class StatusPages:
    """One handler for each route."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        """Describe `predictor` and its model."""
        self._predictor = predictor
        document = openapi_document(settings.model_name)
        self._document = Asset.of(orjson.dumps(document).decode(), JSON)
        self._docs = Asset.of(docs_page(document), HTML)
        feedback = settings.feedback == "on" and settings.prediction_log != "off"
        self._page = Page(settings.model_name, feedback=feedback)
        self.static = {path: self._static_file(asset) for path, asset in self._page.assets.items()}
        """The handlers of the files that the pages load, by path."""

    async def root(self, request: HttpRequest) -> Reply:
        """The page for people where the client asks for HTML first; V1 liveness otherwise."""
        accept = request.headers.get(b"accept")
        if accept is None or not prefers_html(accept.decode("latin-1")):
            return _ALIVE
        current = self._predictor.current
        return self._page.reply(None if current is None else current.version, request.text(b"if-none-match"))

    async def live(self, _: HttpRequest) -> Reply:
        """V2 liveness: the process answers."""
        return json_reply({"live": True})

    async def ready(self, _: HttpRequest) -> Reply:
        """V2 readiness. Raises NotReady unless the model would answer and the server means to stay."""
        self._require_ready()
        return json_reply({"ready": True})

    async def model_ready(self, request: HttpRequest) -> Reply:
        """Readiness of the model or of one version, V1 and V2. Raises NotReady or NotFound."""
        self._require_ready()
        self._predictor.model(request.version)
        return json_reply({"name": self._predictor.name, "ready": True})

    def _require_ready(self) -> None:
        if not self._predictor.usable:
            raise NotReady(self._predictor.why_not_ready, retry_after=5)

    async def list_models(self, _: HttpRequest) -> Reply:
        """Names of the models."""
        return json_reply({"models": [self._predictor.name]})

    async def server_metadata(self, _: HttpRequest) -> Reply:
        """V2 server metadata."""
        return json_reply(metadata.server_metadata())

    async def model_metadata(self, request: HttpRequest) -> Reply:
        """V2 model metadata. Raises NotFound for a version that is not loaded."""
        if request.version is not None:
            self._predictor.model(request.version)
        return json_reply(metadata.model_metadata(self._predictor.name, self._predictor.versions))

    async def index(self, _: HttpRequest) -> Reply:
        """Model repository index."""
        it = self._predictor
        return json_reply(metadata.repository_index(it.name, it.versions, it.usable, it.why_not_ready))

    async def openapi(self, request: HttpRequest) -> Reply:
        """The OpenAPI document."""
        return self._document.reply(request.text(b"if-none-match"))

    async def docs(self, request: HttpRequest) -> Reply:
        """The OpenAPI document as a page."""
        return self._docs.reply(request.text(b"if-none-match"))

    @staticmethod
    def _static_file(asset: Asset) -> Callable[[HttpRequest], Awaitable[Reply]]:
        async def handler(request: HttpRequest) -> Reply:
            return asset.reply(request.text(b"if-none-match"))

        return handler
