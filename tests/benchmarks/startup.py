"""Time from start to ready, ours with its bundle on disk against a bare KServe ModelServer with an empty model.

    .venv/bin/python -m tests.benchmarks.startup BUNDLE_FOLDER [--rounds 5]

Prints one JSON object. The two are started in turn, so that a busy machine slows both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import typer

# A script finds only its own folder; the shared helpers are imported from the repository root.
sys.path.append(str(Path(__file__).parents[2]))
from tests.support.ports import free_port

BARE = """
import kserve

class Empty(kserve.Model):
    def predict(self, payload, headers=None):
        return {"predictions": []}

model = Empty("sentiment")
model.load()
kserve.ModelServer(http_port=HTTP, grpc_port=GRPC).start([model])
"""


def seconds_to_ready(command: list[str], port: int, variables: dict[str, str]) -> float:
    """Start the server, wait for readiness, stop it; return the seconds from start to ready."""
    url = f"http://127.0.0.1:{port}/v2/health/ready"
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _ready(url):
            if process.poll() is not None:
                raise RuntimeError(f"{command} ended with {process.returncode} before it was ready")
            time.sleep(0.01)
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def ours(bundle: Path) -> float:
    """Seconds until our server is ready on a bundle folder."""
    port = free_port()
    with tempfile.TemporaryDirectory() as state:
        variables = {
            "MODEL_URI": str(bundle),
            "STATE_DIR": state,
            "HTTP_PORT": str(port),
            "GRPC_PORT": str(free_port()),
        }
        return seconds_to_ready([sys.executable, "-m", "serving"], port, variables)


def bare() -> float:
    """Seconds until a bare KServe server with an empty model is ready."""
    port = free_port()
    script = BARE.replace("HTTP", str(port)).replace("GRPC", str(free_port()))
    return seconds_to_ready([sys.executable, "-c", script], port, {})


def main(bundle: Path, rounds: int = 5) -> None:
    """Measure both in turn and print the medians and their ratio."""
    ours(bundle), bare()
    pairs = [(ours(bundle), bare()) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    found = {"ours_seconds": round(mine, 2), "bare_kserve_seconds": round(theirs, 2), "ratio": round(ratio, 2)}
    typer.echo(json.dumps(found | {"rounds": rounds}))


if __name__ == "__main__":
    typer.run(main)
