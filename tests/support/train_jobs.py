"""A stand-in for the part of a Kubernetes API server that keeps TrainJobs, over HTTP as the real client calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

NAMESPACE = "reviews"
ROOT = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs"
Answer = tuple[int, dict[str, Any]]


@dataclass
class TrainJobs:
    """The jobs, and what the operator does when one of them is asked for."""

    operate: Callable[[dict[str, Any]], None] = lambda _: None
    """Called with a job each time its state is read; it may write a status."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """Return what the API server answers."""
        name = path.removeprefix(ROOT).strip("/") or body["metadata"]["name"]
        self.calls.append(f"{method} {name}")
        if method == "POST":
            if name in self.jobs:
                return 409, {"reason": "AlreadyExists"}
            self.jobs[name] = body
            return 201, body
        if name not in self.jobs:
            return 404, {"reason": "NotFound"}
        if method == "DELETE":
            return 200, self.jobs.pop(name)
        self.operate(self.jobs[name])
        return 200, self.jobs[name]


def condition(kind: str, reason: str, message: str) -> dict[str, Any]:
    """Return a status with one condition, as the operator writes it."""
    return {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": message}]}


@contextmanager
def serving(jobs: TrainJobs, folder: Path) -> Iterator[Path]:
    """Serve the jobs; yield a kubeconfig for them."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            path = self.path.partition("?")[0]
            status, reply = jobs.answer(self.command, path, json.loads(content) if content else {})
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815

        def log_request(self, *_: Any) -> None:
            """Say nothing of each request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    kubeconfig = folder / "kubeconfig"
    named = {"name": "here", "context": {"cluster": "here", "user": "here", "namespace": NAMESPACE}}
    cluster = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    content = {"contexts": [named], "clusters": [cluster], "users": [{"name": "here", "user": {}}]}
    kubeconfig.write_text(yaml.safe_dump({"current-context": "here", **content}))
    try:
        yield kubeconfig
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
