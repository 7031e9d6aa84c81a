"""Selectors that select nothing: the API server accepts them, and whatever they were for silently does not happen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..render import Document, name_of, of_kind
from . import knative, standard


@dataclass(frozen=True)
class Pod:
    """The pods that a document leads to: its name, and the pods' namespace, labels and specification."""

    name: str
    namespace: str
    labels: dict[str, str]
    spec: dict[str, Any]


def pods(documents: list[Document]) -> Iterator[Pod]:
    """Yield what runs: workloads, and what KServe makes of services and graphs. Raises KeyError without a runtime."""
    for document in of_kind(documents, "Deployment", "StatefulSet", "Job", "CronJob"):
        yield _pod(document, document["spec"].get("jobTemplate", document)["spec"]["template"])
    for service in knative.services(documents):
        yield _pod(service, service["spec"]["template"])
    for workload in of_kind(list(standard.workloads(documents)), "Deployment"):
        yield _pod(workload, workload["spec"]["template"])
    for graph in of_kind(documents, "InferenceGraph"):
        labels = {"serving.kserve.io/inferencegraph": graph["metadata"]["name"]}
        yield _pod(graph, {"metadata": {"labels": labels}, "spec": {"containers": []}})


def _pod(document: Document, template: dict[str, Any]) -> Pod:
    labels = template["metadata"].get("labels", {})
    return Pod(name_of(document), document["metadata"]["namespace"], labels, template["spec"])


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Return whether a label selector takes these labels. Of expressions it knows In, the only one in use here."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", [])
    )


def problems(documents: list[Document]) -> Iterator[str]:
    """Yield the Services, budgets, policies and monitors that select nothing of what the documents lead to."""
    running = list(pods(documents))
    for document in documents:
        namespace = document["metadata"].get("namespace")
        near = [pod for pod in running if pod.namespace == namespace]
        for problem in _problems(document, near, documents):
            yield f"selector: {name_of(document)}: {problem}"


def _problems(document: Document, near: list[Pod], documents: list[Document]) -> Iterator[str]:
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "Service" and spec.get("selector"):
        yield from _service(spec, near)
    elif kind == "PodDisruptionBudget" and not _any(spec["selector"], near):
        yield f"{spec['selector']} selects no pod"
    elif kind == "NetworkPolicy" and near:
        yield from _policy(spec, near)
    elif kind == "ServiceMonitor" and "namespaceSelector" not in spec:
        namespace = document["metadata"]["namespace"]
        services = [one for one in of_kind(documents, "Service") if one["metadata"]["namespace"] == namespace]
        yield from _monitor(spec, services)


def _any(selector: dict[str, Any], near: list[Pod]) -> bool:
    return any(matches(selector, pod.labels) for pod in near)


def _service(spec: dict[str, Any], near: list[Pod]) -> Iterator[str]:
    chosen = [pod for pod in near if matches({"matchLabels": spec["selector"]}, pod.labels)]
    if not chosen:
        yield f"{spec['selector']} selects no pod"
        return
    names = {port.get("name") for pod in chosen for one in pod.spec["containers"] for port in one.get("ports", [])}
    for port in spec["ports"]:
        if isinstance(port["targetPort"], str) and port["targetPort"] not in names:
            yield f"targetPort {port['targetPort']!r} is no port of its pods, which have {sorted(map(str, names))}"


def _policy(spec: dict[str, Any], near: list[Pod]) -> Iterator[str]:
    if not _any(spec["podSelector"], near):
        yield f"{spec['podSelector']} selects no pod"
    peers = [peer for rule in spec.get("ingress", []) for peer in rule.get("from", [])]
    peers += [peer for rule in spec.get("egress", []) for peer in rule.get("to", [])]
    for peer in peers:
        if "podSelector" in peer and "namespaceSelector" not in peer and not _any(peer["podSelector"], near):
            yield f"the peer {peer['podSelector']} selects no pod"


def _monitor(spec: dict[str, Any], services: list[Document]) -> Iterator[str]:
    chosen = [one for one in services if matches(spec["selector"], one["metadata"].get("labels", {}))]
    names = {port["name"] for one in chosen for port in one["spec"]["ports"]}
    for endpoint in spec["endpoints"]:
        if endpoint["port"] not in names:
            yield f"no Service with {spec['selector']} has a port {endpoint['port']!r}"
