"""Paths and methods → the function that answers, or the error that says what is there instead."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from serving.api.request import HttpRequest, Reply
from serving.errors import MethodNotAllowed, NotFound
from serving.protocol.common import MAX_QUOTED_CHARS, quoted

Handler = Callable[[HttpRequest], Awaitable[Reply]]

_VERSIONED: Final = re.compile(r"(?P<model>/v2/models/[^/]+)/versions/(?P<version>[^/]+)(?P<action>/ready|/infer|)")
_MODEL: Final = re.compile(r"/v[12]/models/(?P<name>[^/:]+)")


@dataclass(frozen=True, slots=True)
class Route:
    """One path."""

    handlers: Mapping[str, Handler]
    """The function that answers each method."""
    limited: bool = True
    """Whether the requests count towards the rate limit."""
    protocol: str = "other"
    """The protocol that metrics attribute the requests to."""
    name: str = "unknown"
    """The path of the route, without a version in it, as traces name it."""

    def handler(self, method: str, path: str) -> Handler:
        """Return the method's handler; HEAD is served as GET. Raises MethodNotAllowed."""
        handler = self.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(self.handlers)
            raise MethodNotAllowed(
                f"{path[:MAX_QUOTED_CHARS]}: found method {method}; expected {allowed}", allowed=allowed
            )
        return handler


class RouteTable:
    """Every route of the server.

    Example: `RouteTable({"/v2": Route({"GET": page})}, "sentiment").find("/v2/")` returns that route and None.
    """

    def __init__(self, paths: Mapping[str, Route], model_name: str) -> None:
        """Take the routes by path; `model_name` is the one model that the paths may name."""
        self._paths = {path: replace(route, name=path) for path, route in paths.items()}
        self._model_name = model_name
        self._unknown = Route({})

    @property
    def paths(self) -> frozenset[str]:
        """The paths without a model version in them."""
        return frozenset(self._paths)

    def find(self, path: str) -> tuple[Route, str | None]:
        """Return the route of a path, and the model version in it. Requests to an unknown path raise NotFound."""
        route = self._paths.get(path)
        if route is not None:
            return route, None
        match = _VERSIONED.fullmatch(path)
        if match is not None:
            return self._paths.get(match["model"] + match["action"], self._unknown), match["version"]
        return self._paths.get(path.rstrip("/"), self._unknown), None

    def handler(self, route: Route, method: str, path: str) -> Handler:
        """Return the function that answers. Raises MethodNotAllowed."""
        return self.no_such_route if route is self._unknown else route.handler(method, path)

    async def no_such_route(self, request: HttpRequest) -> Reply:
        """Raise NotFound with the name of the known model, or with the page that lists the routes."""
        path, known = request.scope["path"], self._model_name
        match = _MODEL.match(path)
        if match is not None and match["name"] != known:
            raise NotFound(f"model {quoted(match['name'])}: unknown; the model here is {known!r}")
        raise NotFound(f"{path[:MAX_QUOTED_CHARS]}: no such route; GET /docs lists the routes")
