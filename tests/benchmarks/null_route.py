"""The lower bound for a Python server: a bare Starlette route that reads JSON and returns a constant, with orjson.

python null_route.py PORT
"""

from __future__ import annotations

import sys

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def predict(request: Request) -> Response:
    """Answer as a predictor of one text would."""
    count = len(orjson.loads(await request.body())["instances"])
    answer = {
        "label": "neutral",
        "confidence": 0.5,
        "probabilities": {"negative": 0.25, "neutral": 0.5, "positive": 0.25},
    }
    return Response(orjson.dumps({"predictions": [answer] * count}), media_type="application/json")


async def ready(_: Request) -> Response:
    """Answer that it is up."""
    return Response(b"{}")


if __name__ == "__main__":
    application = Starlette(
        routes=[
            Route("/v1/models/sentiment:predict", predict, methods=["POST"]),
            Route("/v2/health/ready", ready),
        ]
    )
    uvicorn.run(
        application, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
