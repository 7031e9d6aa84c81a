"""A Kubeflow Pipelines API (v2beta1) on loopback that is as strict about a request as the SDK's own models are.

Bodies are checked against kfp_server_api's types, the pipeline against PipelineSpec and the parameters against the
pipeline, as the API server does; what does not fit is refused with 400 and google.rpc.Status as JSON.
"""

from __future__ import annotations

import email
import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

API = "/apis/v2beta1"
# Proto3's JSON takes a number or a text for int64, which the models call a text.
INT64 = ("max_concurrency", "interval_second")
PARAMETER_TYPES: dict[str, Any] = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": bool,
}
QUERIES = {"filter", "namespace", "page_token", "page_size", "sort_by", "experiment_id"}
UPLOADS = {"name", "display_name", "namespace", "pipelineid", "description", "tags"}


class Refused(Exception):
    """A request that the API would not take."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def conform(value: Any, kind: str, where: str) -> None:
    """Raise Refused unless the JSON value is one of the SDK's type `kind`, down to its last field."""
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        demand(isinstance(value, list), f"{where} is {value!r}; expected a list")
        for index, item in enumerate(value):
            conform(item, inner[1], f"{where}[{index}]")
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", kind):
        demand(isinstance(value, dict), f"{where} is {value!r}; expected an object")
        for name, item in value.items():
            conform(item, inner[1], f"{where}.{name}")
    elif kind == "datetime":
        demand(isinstance(value, str) and bool(datetime.fromisoformat(value)), f"{where} is {value!r}; expected a time")
    elif kind in {"str", "bool", "int", "float"}:
        fits = type(value).__name__ == kind or (where.rpartition(".")[2] in INT64 and type(value) is int)
        demand(fits, f"{where} is {value!r}; expected {kind}")
    elif kind != "object":
        _conform_to_model(value, getattr(kfp_server_api, kind), where)


def _conform_to_model(value: Any, model: Any, where: str) -> None:
    if hasattr(model, "allowable_values"):
        demand(value in model.allowable_values, f"{where} is {value!r}; expected one of {model.allowable_values}")
        return
    demand(isinstance(value, dict), f"{where} is {value!r}; expected an object")
    kinds = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for name, item in value.items():
        demand(name in kinds, f"unknown field {where}.{name}; {model.__name__} has {sorted(kinds)}")
        conform(item, kinds[name], f"{where}.{name}")


def demand(fits: bool, otherwise: str) -> None:
    """Raise Refused unless it fits."""
    if not fits:
        raise Refused(otherwise)


def check_pipeline(body: dict[str, Any], versions: list[dict[str, Any]]) -> None:
    """Raise Refused unless the body carries or names a pipeline, and parameters that this pipeline takes."""
    document = body.get("pipeline_spec")
    if reference := body.get("pipeline_version_reference"):
        demand(document is None, "pipeline_spec and pipeline_version_reference are both given")
        document = next((one["pipeline_spec"] for one in versions if one.items() >= reference.items()), None)
    if not isinstance(document, dict):
        raise Refused("pipeline_spec is required")
    pair = document if "pipeline_spec" in document else {"pipeline_spec": document}
    try:
        json_format.ParseDict(pair.get("platform_spec", {}), PlatformSpec())
        spec = json_format.MessageToDict(json_format.ParseDict(pair["pipeline_spec"], PipelineSpec()))
    except json_format.ParseError as error:
        raise Refused(f"pipeline_spec: {error}") from error
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    given = body.get("runtime_config", {}).get("parameters", {})
    demand(given.keys() <= inputs.keys(), f"parameter(s) not required by pipeline: {given.keys() - inputs.keys()}")
    for name, one in inputs.items():
        demand(one.get("isOptional", False) or name in given, f"parameter {name} is not optional, yet has no value")
        kind = PARAMETER_TYPES[one["parameterType"]]
        demand(name not in given or isinstance(given[name], kind), f"parameter {name} is {given.get(name)!r}")


def check_trigger(body: dict[str, Any]) -> None:
    """Raise Refused unless the recurring run has one trigger, a mode and a number of runs that the API takes."""
    trigger = body.get("trigger", {})
    demand(len(trigger) == 1, f"trigger is {trigger}; expected one of cron_schedule and periodic_schedule")
    fields = trigger.get("cron_schedule", {}).get("cron", "* * * * *").split()
    demand(len(fields) in {5, 6}, f"trigger.cron_schedule.cron has {len(fields)} fields; expected 5 or 6")
    demand(1 <= int(body.get("max_concurrency", 0)) <= 10, "max_concurrency is out of range; support 1-10")
    demand(body.get("mode") in {"ENABLE", "DISABLE"}, f"mode is {body.get('mode')!r}; expected ENABLE or DISABLE")


@dataclass
class Kubeflow:
    """The host's state; what a test wants to know or to seed."""

    multi_user: bool = False
    authorization: dict[str, str] = field(default_factory=dict)
    """Headers that every request must carry."""
    login_page: bool = False
    page_limit: int = 200
    url: str = ""
    requests: list[str] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    recurringruns: list[dict[str, Any]] = field(default_factory=list)
    pipelines: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def start(cls, **settings: Any) -> Iterator[Kubeflow]:
        """Serve on a free port, in a thread of its own."""
        host = cls(**settings)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(host)) as server:
            host.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield host
            finally:
                server.shutdown()
                thread.join()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
        """Return the reply's JSON. Raises Refused."""
        if path == "healthz":
            return {"multi_user": self.multi_user}
        collection, _, key = path.partition("/")
        if collection == "pipelines":
            return self._pipelines(method, key, query, body)
        demand(query.keys() <= QUERIES, f"unknown query {query.keys() - QUERIES}")
        kinds = {"experiments": "V2beta1Experiment", "runs": "V2beta1Run", "recurringruns": "V2beta1RecurringRun"}
        if collection not in kinds:
            raise Refused("Not Found", 404)
        if method == "DELETE":
            return self._delete(getattr(self, collection), key)
        if method == "POST":
            conform(body, kinds[collection], collection)
            made: dict[str, Any] = getattr(self, f"_create_{collection}")(body)
            conform(made, kinds[collection], "reply")
            getattr(self, collection).append(made)
            return made
        return self._page(collection, query)

    def _pipelines(self, method: str, key: str, query: dict[str, str], body: Any) -> dict[str, Any]:
        """Answer for uploaded pipelines and their versions."""
        if method == "GET":
            demand(query.keys() <= QUERIES, f"unknown query {query.keys() - QUERIES}")
            if not key:
                return {"pipelines": [one for one in self.pipelines if matches(one, query.get("filter", ""))]}
            own = [one for one in self.versions if one["pipeline_id"] == key.partition("/")[0]]
            return {"pipeline_versions": [one for one in own if matches(one, query.get("filter", ""))]}
        demand(query.keys() <= UPLOADS, f"unknown query {query.keys() - UPLOADS}")
        name = query.get("name", "")
        demand(bool(name), "name is empty")
        pipeline = {"pipeline_id": query.get("pipelineid") or str(uuid.uuid4()), "display_name": name}
        if key == "upload":
            self._check_namespace(query.get("namespace", ""))
            self.pipelines.append(pipeline)
        version = pipeline | {"pipeline_version_id": str(uuid.uuid4()), "pipeline_spec": body}
        self.versions.append(version)
        return pipeline if key == "upload" else version

    def _create_experiments(self, body: dict[str, Any]) -> dict[str, Any]:
        demand(bool(body.get("display_name")), "experiments.display_name is empty")
        self._check_namespace(body.get("namespace", ""))
        return body | {"experiment_id": str(uuid.uuid4()), "storage_state": "AVAILABLE"}

    def _create_runs(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check_experiment(body)
        check_pipeline(body, self.versions)
        return body | {"run_id": str(uuid.uuid4()), "state": "PENDING", "created_at": "2026-11-23T06:00:00Z"}

    def _create_recurringruns(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check_experiment(body)
        check_pipeline(body, self.versions)
        check_trigger(body)
        return body | {"recurring_run_id": str(uuid.uuid4()), "status": "ENABLED"}

    def _check_namespace(self, name: str) -> None:
        demand(not self.multi_user or bool(name), "In multi-user mode, namespace must not be empty")
        demand(self.multi_user or not name, "In single-user mode, namespace must be empty")

    def _check_experiment(self, body: dict[str, Any]) -> None:
        demand(bool(body.get("display_name")), "display_name is empty")
        known = [one["experiment_id"] for one in self.experiments]
        demand(body.get("experiment_id") in known, f"Experiment {body.get('experiment_id')} not found")

    def _delete(self, items: list[dict[str, Any]], key: str) -> dict[str, Any]:
        found = [one for one in items if one.get("recurring_run_id") == key]
        if not found:
            raise Refused(f"{key} not found", 404)
        items.remove(found[0])
        return {}

    def _page(self, collection: str, query: dict[str, str]) -> dict[str, Any]:
        if "experiment_id" not in query:
            self._check_namespace(query.get("namespace", ""))
        found = [one for one in getattr(self, collection) if matches(one, query.get("filter", ""))]
        start = int(query.get("page_token") or 0)
        end = start + min(int(query.get("page_size") or 20), self.page_limit)
        following = {"next_page_token": str(end)} if end < len(found) else {}
        name = {"recurringruns": "recurringRuns"}.get(collection, collection)
        return {name: found[start:end], "total_size": len(found)} | following if found else {}


def uploaded_pipeline(kind: str, content: bytes) -> dict[str, Any]:
    """Return the pipeline and its platform's part in a form that was sent with a file."""
    form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
    file: Any
    (file,) = form.walk() if not form.is_multipart() else list(form.walk())[1:]
    spec, platform = yaml.safe_load_all(file.get_payload(decode=True))
    return {"pipeline_spec": spec, "platform_spec": platform}


def matches(item: dict[str, Any], written: str) -> bool:
    """Return whether an item passes a filter: a JSON object of EQUALS predicates on texts."""
    for one in json.loads(written or "{}").get("predicates", []):
        demand(one.keys() == {"operation", "key", "stringValue"}, f"filter predicate {one}")
        demand(one["operation"] in ("EQUALS", 1) and one["key"] in item, f"filter predicate {one}")
        if item[one["key"]] != one["stringValue"]:
            return False
    return True


def handler_of(host: Kubeflow) -> type[BaseHTTPRequestHandler]:
    """Return the request handler that answers for `host`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, reply = self._reply()
            kind = "application/json" if isinstance(reply, dict) else "text/html"
            content = (json.dumps(reply) if isinstance(reply, dict) else reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET  # noqa: N815 (the names of the base class)

        def _reply(self) -> tuple[int, Any]:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            target = urlsplit(self.path)
            if host.login_page:
                return 200, "<!doctype html><title>Sign in</title>"
            try:
                if any(self.headers.get(name) != value for name, value in host.authorization.items()):
                    raise Refused("Request not authenticated", 401)
                path = target.path.removeprefix(f"{API}/")
                host.requests.append(f"{self.command} {path}")
                query = dict(parse_qsl(target.query, keep_blank_values=True))
                kind = self.headers.get("Content-Type") or ""
                body = uploaded_pipeline(kind, content) if "multipart" in kind else json.loads(content or "null")
                return 200, host.answer(self.command, path, query, body)
            except Refused as refusal:
                return refusal.status, {"error": str(refusal), "code": 3, "message": str(refusal), "details": []}

        def log_message(self, *_: Any) -> None:
            """Say nothing: a request is seen in the host's state."""

    return Handler
