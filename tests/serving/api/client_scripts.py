"""What each client library does to a live server, run as `client_scripts.py CLIENT HTTP GRPC` in its own process.

tritonclient's and kserve's protocol buffers cannot live in one process. Prints one JSON object for the tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

TEXTS = ["It is good.", "Schlecht, ganz schlecht: kaputt."]


async def kserve_rest(http: str, _: str) -> dict[str, Any]:
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    found: dict[str, Any] = {}
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    found["v1"] = (await v1.infer(http, {"instances": TEXTS}, model_name="sentiment"))["predictions"]
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    tensor = InferInput("text", [2], "BYTES", TEXTS)
    reply = await v2.infer(http, InferRequest("sentiment", [tensor], request_id="mine"), model_name="sentiment")
    found["v2"] = {output.name: output.as_numpy().tolist() for output in reply.outputs}
    found["id"] = reply.id
    found["live"], found["ready"] = await v2.is_server_live(http), await v2.is_server_ready(http)
    found["model_ready"] = await v2.is_model_ready(http, "sentiment")
    await v1.close()
    await v2.close()
    return found


async def kserve_grpc(_: str, grpc: str) -> dict[str, Any]:
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    client = InferenceGRPCClient(grpc)
    tensor = InferInput("text", [2], "BYTES", [text.encode() for text in TEXTS])
    reply = await client.infer(InferRequest("sentiment", [tensor], request_id="mine"))
    found: dict[str, Any] = {"v2": {output.name: output.as_numpy().tolist() for output in reply.outputs}}
    found["v2"]["label"] = [label.decode() for label in found["v2"]["label"]]
    found["id"], found["version"] = reply.id, reply.model_version
    found["live"], found["ready"] = await client.is_server_live(), await client.is_server_ready()
    found["model_ready"] = await client.is_model_ready("sentiment")
    await client.close()
    return found


def _triton(library: Any, client: Any, binary: bool | None) -> dict[str, Any]:
    import numpy as np

    texts = np.array([text.encode() for text in TEXTS], dtype=np.object_)
    tensor = library.InferInput("text", [2], "BYTES")
    names = ("label", "confidence", "probabilities")
    if binary is None:
        tensor.set_data_from_numpy(texts)
        outputs = [library.InferRequestedOutput(name) for name in names]
    else:
        tensor.set_data_from_numpy(texts, binary_data=binary)
        outputs = [library.InferRequestedOutput(name, binary_data=binary) for name in names]
    reply = client.infer("sentiment", [tensor], request_id="mine", outputs=outputs)
    found: dict[str, Any] = {"v2": {name: reply.as_numpy(name).tolist() for name in names}}
    labels = found["v2"]["label"]
    found["v2"]["label"] = [label.decode() if isinstance(label, bytes) else label for label in labels]
    unasked = client.infer("sentiment", [tensor])
    found["all"] = unasked.as_numpy("probabilities").tolist()
    found["live"], found["ready"] = client.is_server_live(), client.is_server_ready()
    found["model_ready"] = client.is_model_ready("sentiment")
    return found


def triton_http(http: str, _: str, *, binary: bool) -> dict[str, Any]:
    import tritonclient.http as library

    client = library.InferenceServerClient(http.removeprefix("http://"))
    found = _triton(library, client, binary)
    found["version"] = client.get_model_metadata("sentiment")["versions"][-1]
    found["index"] = client.get_model_repository_index()
    tensor = library.InferInput("text", [1], "BYTES")
    import numpy as np

    tensor.set_data_from_numpy(np.array([TEXTS[0].encode()] * 1, dtype=np.object_), binary_data=binary)
    for coding in ("gzip", "deflate"):
        reply = client.infer(
            "sentiment", [tensor], request_compression_algorithm=coding, response_compression_algorithm=coding
        )
        found[coding] = reply.as_numpy("probabilities").tolist()
    client.close()
    return found


def triton_grpc(_: str, grpc: str) -> dict[str, Any]:
    import tritonclient.grpc as library

    client = library.InferenceServerClient(grpc)
    found = _triton(library, client, None)
    found["version"] = client.get_model_metadata("sentiment").versions[-1]
    client.close()
    return found


def main(client: str, http: str, grpc: str) -> None:
    """Run one client and print what it found."""
    if client == "kserve_rest":
        found = asyncio.run(kserve_rest(http, grpc))
    elif client == "kserve_grpc":
        found = asyncio.run(kserve_grpc(http, grpc))
    elif client == "triton_grpc":
        found = triton_grpc(http, grpc)
    else:
        found = triton_http(http, grpc, binary=client == "triton_http_binary")
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
