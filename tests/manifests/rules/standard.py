"""The Deployment, Service and autoscaler that KServe makes of an InferenceService in Standard mode.

KServe: pkg/controller/v1beta1/inferenceservice/reconcilers (deployment, service and keda).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..render import Document, name_of, of_kind
from .knative import EXTENSIONS, merged, mode_of

OWN_FIELDS = EXTENSIONS | {"autoScaling", "deploymentStrategy"}


def workloads(documents: list[Document]) -> Iterator[Document]:
    """Yield the Deployment and the Service of each InferenceService in Standard mode."""
    runtimes = {runtime["metadata"]["name"]: runtime for runtime in of_kind(documents, "ServingRuntime")}
    for service in of_kind(documents, "InferenceService"):
        if mode_of(service) == "Standard":
            yield from _workloads(service, runtimes[service["spec"]["predictor"]["model"]["runtime"]])


def _workloads(service: Document, runtime: Document) -> Iterator[Document]:
    predictor, name = service["spec"]["predictor"], f"{service['metadata']['name']}-predictor"
    own = {key: value for key, value in predictor["model"].items() if key in ("env", "resources", "ports", "image")}
    container = merged(runtime["spec"]["containers"][0], own)
    pod = {key: value for key, value in predictor.items() if key not in OWN_FIELDS}
    pod |= {"containers": [container], "volumes": runtime["spec"].get("volumes", [])}
    labels = predictor.get("labels", {}) | {
        "app": f"isvc.{name}",
        "serving.kserve.io/inferenceservice": service["metadata"]["name"],
    }
    metadata = {"name": name, "namespace": service["metadata"].get("namespace")}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": {"app": f"isvc.{name}"}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": f"isvc.{name}"}, "ports": list(_ports(container["ports"]))},
    }


def _ports(ports: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the Service's ports: the container's first one becomes port 80, the others keep their number."""
    for place, port in enumerate(ports):
        number = port["containerPort"]
        yield {"name": port["name"], "port": 80 if place == 0 else number, "targetPort": number, "protocol": "TCP"}


def problems(documents: list[Document]) -> Iterator[str]:
    """Yield routes that lead nowhere or exclude each other, and spreads that select no pod."""
    made = list(workloads(documents))
    if not made:
        return
    ports = {(one["metadata"]["name"], port["port"]) for one in made[1::2] for port in one["spec"]["ports"]}
    for route in of_kind(documents, "HTTPRoute", "GRPCRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                if (backend["name"], backend["port"]) not in ports:
                    yield f"standard: {name_of(route)}: no Service has {backend['name']}:{backend['port']}"
    yield from _names(documents)
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in made[::2]]
    for deployment in made[::2]:
        spread = deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        if any(one["labelSelector"]["matchLabels"].items() <= labels[0].items() for one in spread):
            continue
        if not deployment["metadata"]["name"].startswith("sentiment-challenger"):
            yield f"standard: {name_of(deployment)}: its pods may all lie on one node"


def _names(documents: list[Document]) -> Iterator[str]:
    """Yield host names under which a listener would accept only one of two routes (Gateway API, GRPCRouteSpec)."""
    for grpc in of_kind(documents, "GRPCRoute"):
        for http in of_kind(documents, "HTTPRoute"):
            parents = [one for one in grpc["spec"]["parentRefs"] if one in http["spec"]["parentRefs"]]
            shared = set(grpc["spec"]["hostnames"]) & set(http["spec"]["hostnames"])
            if parents and shared:
                yield f"standard: {name_of(grpc)}: shares {sorted(shared)} with {name_of(http)}: one is not accepted"
