"""Metadata of the server and of its model, the same for REST and gRPC."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from feature_checks.contract import LABELS
from serving.protocol.common import EXTRA_OUTPUTS, INPUT, OUTPUTS
from serving.protocol.v2 import tensor_type

SERVER_NAME: Final = "review-sentiment"
PLATFORM: Final = "onnx_onnxv1"
EXTENSIONS: Final = ("binary_tensor_data", "model_repository")
LABEL_ORDER: Final = ",".join(LABELS)

INPUT_TYPES: Final[list[dict[str, Any]]] = [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]
OUTPUT_TYPES: Final[list[dict[str, Any]]] = [
    {"name": name, "datatype": tensor_type(name, -1)[0], "shape": tensor_type(name, -1)[1]} for name in OUTPUTS
]


def server_metadata() -> dict[str, Any]:
    """Return the content of `GET /v2`."""
    return {"name": SERVER_NAME, "version": version(SERVER_NAME), "extensions": list(EXTENSIONS)}


def model_metadata(name: str, versions: list[str]) -> dict[str, Any]:
    """Return the content of `GET /v2/models/{name}`.

    `parameters.labels` is the order of every probability vector. `parameters.optional_outputs` are not among `outputs`:
    a client that asks for everything it finds there should not pay for them.
    """
    return {
        "name": name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": INPUT_TYPES,
        "outputs": OUTPUT_TYPES,
        "parameters": {"labels": LABEL_ORDER, "optional_outputs": ",".join(EXTRA_OUTPUTS)},
    }


def repository_index(name: str, versions: list[str], usable: bool, cause: str) -> list[dict[str, str]]:
    """Return the content of the repository index: one entry for each loaded version.

    `cause` says why nothing is served, if nothing is.
    """
    if not versions:
        return [{"name": name, "version": "", "state": "UNAVAILABLE", "reason": cause}]
    state = {"state": "READY", "reason": ""} if usable else {"state": "UNAVAILABLE", "reason": "not ready"}
    return [{"name": name, "version": loaded} | state for loaded in versions]
