"""Requests nobody would write on purpose, over REST, gRPC and raw sockets: `make fuzz`.

python -m tests.faults.fuzz                      100,000 requests to the engine without weights
python -m tests.faults.fuzz --requests 5000
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from grpc import StatusCode, aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.benchmarks.servers import Server, fake_engine

MAX_ERROR_BYTES: Final = 64 * 1024
MAX_DETAILS_BYTES: Final = 16 * 1024
MAX_STALL_SECONDS: Final = 0.1
_REFUSALS: Final = {503, 504}
_GRPC_FAULTS: Final = {StatusCode.UNKNOWN, StatusCode.INTERNAL, StatusCode.DATA_LOSS}
_CLIENTS: Final = 16
_SHARES: Final = {"rest": 0.75, "grpc": 0.15, "raw": 0.10}

_TENSOR: Final = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["It is good.", "It is bad."]}
_BODIES: Final = [
    json.dumps({"inputs": [_TENSOR], "id": "a", "outputs": [{"name": "label"}]}).encode(),
    json.dumps({"inputs": [_TENSOR], "parameters": {"binary_data_output": True}}).encode(),
    json.dumps({"instances": ["It is good.", {"text": "It is bad."}]}).encode(),
    json.dumps({"request_id": "a", "item": 0, "label": "neutral"}).encode(),
]
_PATHS: Final = [
    *("/v2/models/sentiment/infer", "/v2/models/sentiment/versions/1/infer", "/v1/models/sentiment:predict"),
    *("/v1/models/sentiment/feedback", "/v2/models/sentiment", "/v2/models/x%2Fy/infer", "/v2", "/", "/docs/"),
]
_HEADERS: Final = [
    *("content-encoding: gzip", "content-encoding: deflate", "content-encoding: br", "accept-encoding: gzip"),
    *("inference-header-content-length: 10", "inference-header-content-length: -1", "x-user-id: a", "expect: x"),
    *("x-forwarded-for: 1.2.3.4, ::1, x", "transfer-encoding: chunked", "connection: upgrade", "upgrade: websocket"),
    *("content-length: 5", "traceparent: 00-x", "x-request-id: " + "a" * 5_000, "accept: text/html"),
]
_TOKENS: Final = [
    *(b'"', b"[", b"]", b"{", b"}", b",", b":", b"\\", b"null", b"-1", b"1e999", b"NaN", b"0", b"\0", b"\xff\xfe"),
    *(b"\\ud800", b"\\u0000", "\u0301\u0316".encode() * 300, b"[" * 2_000, b"9" * 400, b"A" * 30_000, b'"",' * 9_000),
    *("\U0001f600".encode() * 50, b"\r\n\r\n", b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x08\x01", b"\x2a\x00" * 500),
]


@dataclass
class Findings:
    """What came of a run."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    longest_error: int = 0

    def reply(self, status: int, size: int, sent: bytes) -> None:
        """Judge one reply over HTTP."""
        self.outcomes[str(status)] += 1
        if status >= 400:
            self.longest_error = max(self.longest_error, size)
        if (status >= 500 and status not in _REFUSALS) or (status >= 400 and size > MAX_ERROR_BYTES):
            self.faults.append(f"{status} with {size} bytes to {sent[:2_000]!r}")


def mutated(chosen: random.Random, content: bytes) -> bytes:
    """Return content with up to four changes: bytes flipped, cut, repeated or inserted."""
    for _ in range(chosen.choice([0, 1, 1, 2, 4])):
        start = chosen.randrange(len(content) + 1)
        end = min(len(content), start + chosen.choice([0, 1, 5, 40]))
        kind = chosen.randrange(4)
        if kind == 0:
            content = content[:start] + chosen.choice(_TOKENS) + content[end:]
        elif kind == 1:
            content = content[:start]
        elif kind == 2:
            content = content[:end] + content[start:end] * chosen.randrange(4) + content[end:]
        else:
            content = content[:start] + chosen.randbytes(end - start) + content[end:]
    return content


def http_request(chosen: random.Random) -> bytes:
    """Return a request whose framing is right, unless a header contradicts it."""
    body = mutated(chosen, chosen.choice(_BODIES))
    method = chosen.choice(["POST", "POST", "POST", "POST", "GET", "PUT", "OPTIONS"])
    extra = "".join(f"{header}\r\n" for header in chosen.sample(_HEADERS, chosen.choice([0, 0, 0, 1, 2])))
    head = f"{method} {chosen.choice(_PATHS)} HTTP/1.1\r\nhost: x\r\n{extra}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def rest(server: Server, chosen: random.Random, number: int, found: Findings) -> None:
    """Send requests over kept connections, one after another."""
    done = 0
    while done < number:
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                while done < number:
                    done += 1
                    sent = http_request(chosen)
                    writer.write(sent)
                    async with asyncio.timeout(5):
                        head = await reader.readuntil(b"\r\n\r\n")
                        length = re.search(rb"content-length: (\d+)", head)
                        body = await reader.readexactly(int(length[1])) if length else b""
                    found.reply(int(head[9:12]), len(body), sent)
                    if b"connection: close" in head:
                        break
            finally:
                writer.close()


async def raw(server: Server, chosen: random.Random, number: int, found: Findings) -> None:
    """Send bytes that were a request, each on a connection of its own, and close the client's side."""
    for _ in range(number):
        sent = (
            mutated(chosen, mutated(chosen, http_request(chosen))) if chosen.random() < 0.8 else chosen.randbytes(200)
        )
        with suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            writer.write_eof()
            try:
                async with asyncio.timeout(5):
                    reply = await reader.read()
            finally:
                writer.close()
            found.outcomes["raw"] += 1
            for part in re.split(rb"(?=HTTP/1\.1 \d{3} )", reply)[1:]:
                found.reply(int(part[9:12]), len(part), sent)


async def grpc(server: Server, chosen: random.Random, number: int, found: Findings) -> None:
    """Send messages that were an inference request."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[2])
    tensor.contents.bytes_contents.extend([b"It is good.", b"It is bad."])
    message = pb.ModelInferRequest(model_name="sentiment", id="a", inputs=[tensor]).SerializeToString()
    async with aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        names = ["ModelInfer"] * 6 + ["ModelReady", "ModelMetadata", "RepositoryModelLoad"]
        methods: list[Any] = [channel.unary_unary(f"/inference.GRPCInferenceService/{name}") for name in names]
        for _ in range(number):
            sent = mutated(chosen, message)
            try:
                await chosen.choice(methods)(sent, timeout=20)
                found.outcomes["grpc OK"] += 1
            except aio.AioRpcError as error:
                found.outcomes[f"grpc {error.code().name}"] += 1
                details = str(error.details())
                if error.code() in _GRPC_FAULTS or len(details.encode()) > MAX_DETAILS_BYTES:
                    found.faults.append(f"{error.code()} {details[:500]} to {sent[:2_000]!r}")


async def fuzz(server: Server, requests: int, seed: int) -> Findings:
    """Send the requests and return what came of them."""
    found = Findings()
    async with asyncio.TaskGroup() as tasks:
        for send in (rest, grpc, raw):
            number = int(requests * _SHARES[send.__name__]) // _CLIENTS + 1
            for client in range(_CLIENTS):
                chosen = random.Random(f"{seed} {send.__name__} {client}")
                tasks.create_task(send(server, chosen, number, found))
    return found


def run(folder: Path, requests: int, seed: int = 0) -> tuple[Findings, list[float]]:
    """Fuzz a server of its own; return the findings and the long turns of its event loop, in seconds."""
    with (folder / "server.log").open("w") as log:
        variables = {"FEEDBACK": "on", "HEADER_TIMEOUT_SECONDS": "1"}
        with fake_engine(folder / "state", log, **variables) as server:
            found = asyncio.run(fuzz(server, requests, seed))
    stalls: list[float] = json.loads((folder / "state" / "stalls.json").read_text(encoding="ascii"))
    return found, stalls


def main(
    requests: Annotated[int, typer.Option(help="how many requests")] = 100_000,
    seed: Annotated[int, typer.Option(help="another seed sends other requests")] = 0,
) -> None:
    """Fuzz, print what came of it, and exit with 1 if something is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        found, stalls = run(Path(folder), requests, seed)
    longest: Any = max(stalls, default=0.0)
    print(f"outcomes: {dict(found.outcomes)}")
    print(f"longest error: {found.longest_error} bytes; longest turn of the event loop: {longest:.3f} s")
    for fault in found.faults[:20]:
        print(fault)
    sys.exit(bool(found.faults) or longest > MAX_STALL_SECONDS)


if __name__ == "__main__":
    typer.run(main)
